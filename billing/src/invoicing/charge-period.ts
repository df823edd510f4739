/** The charges of one customer and one period: leases → intervals → priced groups → lines. A pure function of its inputs. */
import { add, interval, Money, ZERO, type Fraction } from '@poolmeter/domain';
import { foldLeases, type Lease, type LeaseSegment } from '../leases/fold-leases.js';
import { meterLeases, type MeteredInterval } from '../metering/meter-leases.js';
import { findPrices, type PriceFinder } from '../rating/find-price.js';
import { contractAt } from '../rating/price-book.js';
import type { ChargedWorld } from './charged-world.js';
import { chargeCommitments } from './charge-commitments.js';
import { chargeDurations } from './charge-durations.js';
import { chargeSla } from './charge-sla.js';
import { excludedLines } from './excluded-lines.js';
import { disputeHolds, holdsOf, missingPriceHolds } from './find-holds.js';
import type { InvoiceLine, PeriodCharges } from './invoice-line.js';
import type { PeriodInputs } from './period-inputs.js';
import { exactWorthOf, groupByPrice } from './priced-groups.js';
import { termsMismatchHolds } from './terms-mismatch.js';
import { basisOfProviders, discountLine, usageLine } from './usage-lines.js';

export function chargePeriod(inputs: PeriodInputs): PeriodCharges {
  const charges = chargeAsConfigured(inputs);
  const mismatch = termsMismatchHolds(inputs, charges, chargeAsConfigured);
  return mismatch.length === 0 ? charges : { ...charges, holds: [...charges.holds, ...mismatch] };
}

function chargeAsConfigured(inputs: PeriodInputs): PeriodCharges {
  const prices = pricesOf(inputs);
  const leases = foldLeases(inputs.leaseEvents);
  return chargeIntervals(meter(leases, inputs, prices), { inputs, leases, prices });
}

/** The metered intervals of a period, sorted by time. */
export function meterPeriod(inputs: PeriodInputs): MeteredInterval[] {
  return meter(foldLeases(inputs.leaseEvents), inputs, pricesOf(inputs));
}

export function pricesOf(inputs: PeriodInputs): PriceFinder {
  const { books, contracts, period, customer } = inputs;
  return findPrices({ books, contracts, currency: customer.currency }, period);
}

function meter(leases: readonly Lease[], inputs: PeriodInputs, prices: PriceFinder): MeteredInterval[] {
  const { customerId } = inputs.customer;
  const segments: LeaseSegment[] = [];
  for (const lease of leases) {
    for (const segment of lease.segments) if (segment.customerId === customerId) segments.push(segment);
  }
  const metered = meterLeases(segments, {
    within: interval(inputs.period.start, inputs.period.end),
    asOf: inputs.asOf,
    verdicts: inputs.verdicts,
    cutsOf: (lease) => prices.cutsOf(lease),
    overlapping: new Map(inputs.overlapping.map((one) => [one.leaseId, one.otherLeaseIds])),
    faultTimeAt: (at) => contractAt(inputs.contracts, at)?.faultTime ?? 'exclude',
  });
  return metered.toSorted((a, b) => a.span.start - b.span.start || (a.intervalId < b.intervalId ? -1 : 1));
}

/** Rates what was metered. */
export function chargeIntervals(intervals: readonly MeteredInterval[], world: ChargedWorld): PeriodCharges {
  const { inputs, prices } = world;
  const { currency } = inputs.customer;
  const { billed, excluded, held } = byOutcome(intervals);
  const { groups, unpriced } = groupByPrice(billed, prices);
  const usage = groups.map((group) => usageLine(group, currency));
  const discounts = groups.flatMap((group) => discountLine(group, currency));
  const durations = chargeDurations(intervals, world);
  const charged = sumLines([...usage, ...discounts, ...durations.lines], currency);
  const commitments = chargeCommitments(inputs, charged);
  const sla = chargeSla({ inputs, intervals, groups, charged: charged.plus(commitments.discount) });
  const lines = [
    ...usage,
    ...excludedLines(excluded, { inputs, prices }),
    ...discounts,
    ...durations.lines,
    ...commitments.lines,
    ...sla.lines,
  ];
  const basis = basisOfProviders(groups);
  for (const [provider, amount] of durations.basis) addTo(basis, provider, amount);
  for (const [provider, amount] of sla.basis) addTo(basis, provider, amount);
  return {
    lines,
    intervals,
    holds: [
      ...holdsOf(held, { inputs, prices }),
      ...missingPriceHolds(unpriced, inputs),
      ...durations.holds,
      ...commitments.holds,
      ...sla.holds,
      ...disputeHolds(inputs),
    ],
    net: sumLines(lines, currency),
    providerBasis: basis,
    providerFaults: faultsOf(excluded, { prices, slaBasis: sla.basis }),
  };
}

/** One pass over what may be very many. */
function byOutcome(intervals: readonly MeteredInterval[]) {
  const parts = {
    billed: [] as MeteredInterval[],
    excluded: [] as MeteredInterval[],
    held: [] as MeteredInterval[],
  };
  for (const one of intervals) parts[one.outcome].push(one);
  return parts;
}

/** What providers lose to faults: time that was not charged, and credits that were given. */
function faultsOf(
  excluded: readonly MeteredInterval[],
  { prices, slaBasis }: { readonly prices: PriceFinder; readonly slaBasis: ReadonlyMap<string, Fraction> },
): Map<string, Fraction> {
  const faults = new Map<string, Fraction>();
  for (const one of excluded) {
    const worth = exactWorthOf([one], prices);
    if (worth !== undefined) addTo(faults, one.lease.providerId, worth);
  }
  for (const [provider, amount] of slaBasis) {
    addTo(faults, provider, { ...amount, numerator: -amount.numerator });
  }
  return faults;
}

function sumLines(lines: readonly InvoiceLine[], currency: string): Money {
  return Money.sum(
    lines.map((line) => line.amount),
    currency,
  );
}

function addTo(totals: Map<string, Fraction>, key: string, value: Fraction): void {
  totals.set(key, add(totals.get(key) ?? ZERO, value));
}
