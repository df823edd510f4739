/** The charges of one customer and one period: leases → intervals → priced groups → lines. A pure function of its inputs. */
import {
  add,
  compare,
  fraction,
  gpuHours,
  interval,
  Money,
  NO_GPU_TIME,
  over,
  times,
  ZERO,
  type Fraction,
} from '@poolmeter/domain';
import { foldLeases } from '../leases/fold-leases.js';
import { meterLeases, sumTimes, type MeteredInterval } from '../metering/meter-leases.js';
import { plainDecimal } from '../rating/plain-decimal.js';
import { contractAt, priceCuts } from '../rating/price-book.js';
import { rateUsage } from '../rating/rate-usage.js';
import { chargeCommitments } from './charge-commitments.js';
import { excludedLines } from './excluded-lines.js';
import { holdsOf, missingPriceHolds } from './find-holds.js';
import type { InvoiceLine, PeriodCharges } from './invoice-line.js';
import type { PeriodInputs } from './period-inputs.js';
import { exactChargeOf, groupByPrice, whatOf, type PricedGroup } from './priced-groups.js';

export function chargePeriod(inputs: PeriodInputs): PeriodCharges {
  const { currency } = inputs.customer;
  const intervals = meterPeriod(inputs);
  const { groups, unpriced } = groupByPrice(
    intervals.filter((one) => one.outcome === 'billed'),
    inputs,
  );
  const usage = groups.map((group) => usageLine(group, currency));
  const discounts = groups.flatMap((group) => discountLine(group, currency));
  const excluded = excludedLines(
    intervals.filter((one) => one.outcome === 'excluded'),
    inputs,
  );
  const charged = Money.sum(
    [...usage, ...discounts].map((line) => line.amount),
    currency,
  );
  const commitments = chargeCommitments(inputs, charged);
  const lines = [...usage, ...excluded, ...discounts, ...commitments.lines];
  return {
    lines,
    intervals,
    holds: [...holdsOf(intervals, inputs), ...missingPriceHolds(unpriced, inputs), ...commitments.holds],
    net: Money.sum(
      lines.map((line) => line.amount),
      currency,
    ),
    providerBasis: basisOf(groups),
  };
}

/** The metered intervals of a period, sorted by time. */
export function meterPeriod(inputs: PeriodInputs): MeteredInterval[] {
  const segments = foldLeases(inputs.leaseEvents)
    .flatMap((lease) => lease.segments)
    .filter((segment) => segment.customerId === inputs.customer.customerId);
  const metered = meterLeases(segments, {
    within: interval(inputs.period.start, inputs.period.end),
    asOf: inputs.asOf,
    verdicts: inputs.verdicts,
    cuts: priceCuts(inputs),
    overlapping: new Map(inputs.overlapping.map((one) => [one.leaseId, one.otherLeaseIds])),
    faultTimeAt: (at) => contractAt(inputs.contracts, at)?.faultTime ?? 'exclude',
  });
  return metered.toSorted((a, b) => a.span.start - b.span.start || (a.intervalId < b.intervalId ? -1 : 1));
}

function usageLine(group: PricedGroup, currency: string): InvoiceLine {
  const { price } = group;
  const gpuTime = sumTimes(group.intervals.map((one) => one.gpuTime));
  const rating = rateUsage(gpuHours(gpuTime), price.rate.shape);
  return {
    key: `usage:${group.key}`,
    kind: 'usage',
    description: `${whatOf(group)}, ${price.versionLabel}`,
    gpuTime,
    unitPrice: price.rate.source.per_gpu_hour,
    amount: Money.round(rating.amount, currency),
    formula: rating.parts
      .map((part) => `${plainDecimal(part.gpuHours)} GPU-h × ${plainDecimal(part.perGpuHour)}`)
      .join(' + '),
    priceVersion: price.versionLabel,
    parts: rating.parts,
    intervals: group.intervals,
    details: { rate: price.rate.source },
  };
}

/** The discount on a list-price line, rounded once. */
function discountLine(group: PricedGroup, currency: string): InvoiceLine[] {
  const { discount } = group.price;
  if (discount === undefined || compare(discount, ZERO) === 0) return [];
  const gpuTime = sumTimes(group.intervals.map((one) => one.gpuTime));
  const { amount } = rateUsage(gpuHours(gpuTime), group.price.rate.shape);
  const percent = `${plainDecimal(times(discount, fraction(100n)))} %`;
  return [
    {
      key: `discount:${group.key}`,
      kind: 'discount',
      description: `Discount of ${percent} on ${whatOf(group)}`,
      gpuTime: NO_GPU_TIME,
      unitPrice: undefined,
      amount: Money.round(times(amount, discount), currency).negated(),
      formula: `−${percent} × ${plainDecimal(amount)}`,
      priceVersion: group.price.versionLabel,
      parts: [],
      intervals: [],
      details: { percent, on_line_key: `usage:${group.key}` },
    },
  ];
}

/** The charge of each group, shared out to providers by the GPU time that their hardware gave to it. */
function basisOf(groups: readonly PricedGroup[]): Map<string, Fraction> {
  const basis = new Map<string, Fraction>();
  for (const group of groups) {
    const whole = gpuHours(sumTimes(group.intervals.map((one) => one.gpuTime)));
    const charge = exactChargeOf(group);
    const providers = new Set(group.intervals.map((one) => one.lease.providerId));
    for (const provider of providers) {
      const own = group.intervals.filter((one) => one.lease.providerId === provider);
      const part = over(gpuHours(sumTimes(own.map((one) => one.gpuTime))), whole);
      basis.set(provider, add(basis.get(provider) ?? ZERO, times(charge, part)));
    }
  }
  return basis;
}
