/** The credits that contracts promise for what did not hold, computed at close without a claim (billing rule 7). */
import {
  compare,
  fraction,
  interval,
  minus,
  Money,
  NO_GPU_TIME,
  over,
  times,
  toDecimalText,
  ZERO,
  type Fraction,
  type Interval,
} from '@poolmeter/domain';
import type { MeteredInterval } from '../metering/meter-leases.js';
import { plainDecimal } from '../rating/plain-decimal.js';
import { contractAt, type ContractVersion } from '../rating/price-book.js';
import { assessSla, type CoveredTime, type Outage, type SlaAssessment } from '../sla/assess-sla.js';
import type { SlaTerms } from '../sla/sla-terms.js';
import type { Hold, HoldReason, InvoiceLine } from './invoice-line.js';
import type { PeriodInputs } from './period-inputs.js';
import { exactChargeOf, type PricedGroup } from './priced-groups.js';
import { basisOfProviders } from './usage-lines.js';

export interface SlaWorldInputs {
  readonly inputs: PeriodInputs;
  readonly intervals: readonly MeteredInterval[];
  readonly groups: readonly PricedGroup[];
  /** What credits together may never exceed. */
  readonly charged: Money;
}

export interface SlaCharges {
  readonly lines: readonly InvoiceLine[];
  readonly holds: readonly Hold[];
  /** By provider whose hardware failed, exact and negative. */
  readonly basis: ReadonlyMap<string, Fraction>;
}

export function chargeSla(world: SlaWorldInputs): SlaCharges {
  const { inputs } = world;
  const contract = contractAt(inputs.contracts, lastInstant(inputs));
  if (contract === undefined || contract.sla.length === 0 || inputs.asOf < inputs.period.end) return NOTHING;
  const covered = coveredBy(contract, world);
  const charges = { lines: [] as InvoiceLine[], holds: [] as Hold[], basis: new Map<string, Fraction>() };
  let left = world.charged;
  // Two promises about the same time take back no more than a provider's hardware was charged with.
  const room = basisOfProviders(world.groups);
  for (const terms of contract.sla) {
    const own = covered.filter(({ lease }) => isCovered(terms, lease)).map(({ time }) => time);
    const window = windowOf(terms, inputs.period);
    const outages = outagesOf(inputs);
    const assessment = assessSla(terms, { window, covered: own, outages, maintenance: inputs.maintenance });
    if (assessment.units.length === 0) continue;
    const reason = heldFor(terms);
    if (reason !== undefined) {
      charges.holds.push(creditHold(terms, assessment, { reason, inputs }));
      continue;
    }
    const line = creditLine(contract, terms, { assessment, left, inputs });
    if (line === undefined) continue;
    charges.lines.push(line);
    left = left.plus(line.amount);
    const given = over(line.amount.negated().toFraction(), assessment.credit);
    for (const [provider, part] of assessment.creditByProvider) {
      const [lost, rest] = [times(part, given), room.get(provider) ?? ZERO];
      const taken = compare(lost, rest) > 0 ? rest : lost;
      room.set(provider, minus(rest, taken));
      charges.basis.set(provider, minus(charges.basis.get(provider) ?? ZERO, taken));
    }
  }
  return charges;
}

const NOTHING: SlaCharges = { lines: [], holds: [], basis: new Map() };
const ROLLING_MS = 30 * 86_400_000;

function lastInstant({ period }: PeriodInputs) {
  return (period.end - 1) as typeof period.end;
}

/** Thirty days end with the period; in February they reach back before it, where nothing is known to be down. */
function windowOf({ entry }: SlaTerms, period: Interval): Interval {
  if (entry.window !== 'rolling_30_days') return interval(period.start, period.end);
  return interval((period.end - ROLLING_MS) as typeof period.end, period.end);
}

interface Covered {
  readonly lease: MeteredInterval['lease'];
  readonly time: CoveredTime;
}

/** The time that was leased under the contract, with the exact charge of each stretch. */
function coveredBy(contract: ContractVersion, { inputs, intervals, groups }: SlaWorldInputs): Covered[] {
  const charges = new Map<string, Fraction>();
  for (const group of groups) {
    const charge = exactChargeOf(group);
    for (const one of group.intervals) {
      charges.set(one.intervalId, times(charge, over(one.gpuTime, group.gpuTime)));
    }
  }
  return intervals
    .filter((one) => contractAt(inputs.contracts, one.span.start) === contract)
    .map(({ intervalId, lease, span }) => {
      const { gpuUuid, node, providerId } = lease;
      const time = { gpuUuid, node, providerId, span, charge: charges.get(intervalId) ?? ZERO };
      return { lease, time };
    });
}

function isCovered({ entry }: SlaTerms, lease: MeteredInterval['lease']): boolean {
  const { gpu_models, pools, pricing_modes } = entry.covers ?? {};
  return (
    (gpu_models?.includes(lease.gpuModel) ?? true) &&
    (pools?.includes(lease.pool) ?? true) &&
    (pricing_modes?.includes(lease.pricingMode) ?? true)
  );
}

/** What the fault monitor decided. Undecided incidents hold the invoice, so they are not counted. */
function outagesOf({ verdicts, asOf }: PeriodInputs): Outage[] {
  return verdicts
    .filter((verdict) => verdict.billingClass !== 'H' && verdict.start < (verdict.end ?? asOf))
    .map((verdict) => ({
      ...interval(verdict.start, verdict.end ?? asOf),
      gpuUuid: verdict.gpuUuid,
      code: verdict.code,
      incidentId: verdict.incidentId,
      customerCaused: verdict.blame === 'application',
      credited: verdict.billingClass === 'C',
    }));
}

/** Why a credit that is due waits for people: no amount is ever made up. */
function heldFor({ remedy, entry }: SlaTerms): HoldReason | undefined {
  if (remedy.kind === 'undefined') return 'amount_undefined';
  if (remedy.kind === 'goodwill') return 'goodwill_review';
  if (entry.clock_start === 'notice') return 'notice_disputed';
  return entry.auto_credit === false ? 'goodwill_review' : undefined;
}

function creditHold(
  terms: SlaTerms,
  assessment: SlaAssessment,
  { reason, inputs }: { readonly reason: HoldReason; readonly inputs: PeriodInputs },
): Hold {
  const known = assessment.credit.numerator > 0n;
  return {
    reason,
    description: `A credit under ${terms.id} is due for ${inputs.period.month}; ${known ? 'people decide about it' : 'the terms do not define its amount'}.`,
    gpuTime: NO_GPU_TIME,
    blocked: known ? Money.round(assessment.credit, inputs.customer.currency) : undefined,
    suggestedOwner: 'finance',
    clearedBy: 'a contract version that says what is credited',
    leaseIds: [],
    incidentIds: incidentsOf(assessment),
  };
}

interface Crediting {
  readonly assessment: SlaAssessment;
  readonly left: Money;
  readonly inputs: PeriodInputs;
}

/** Rounded once; never more than what is charged, and nothing below the contract's smallest credit. */
function creditLine(
  contract: ContractVersion,
  terms: SlaTerms,
  { assessment, left, inputs }: Crediting,
): InvoiceLine | undefined {
  const { currency } = inputs.customer;
  const wanted = Money.round(assessment.credit, currency);
  const amount = wanted.compare(left) > 0 ? left : wanted;
  const least = terms.entry.minimum_credit;
  const tooSmall = least !== undefined && amount.compare(Money.of(least, currency)) < 0;
  if (tooSmall || amount.isZero() || amount.isNegative()) return undefined;
  return {
    key: `sla:${contract.contractId}:${terms.id}`,
    kind: 'sla_credit',
    description: `Credit under ${terms.id} of contract ${contract.contractId}`,
    gpuTime: NO_GPU_TIME,
    unitPrice: undefined,
    amount: amount.negated(),
    formula: assessment.units
      .map((one) => `${one.unit}: ${minutesText(one.downMs)} min down, ${toDecimalText(one.credit, 9)}`)
      .slice(0, UNITS_IN_FORMULA_MAX)
      .join('; '),
    priceVersion: `contract ${contract.contractId} version ${contract.version}`,
    parts: [],
    intervals: [],
    details: {
      terms: terms.entry,
      incident_ids: incidentsOf(assessment),
      units: assessment.units.map((one) => ({
        unit: one.unit,
        down_minutes: minutesText(one.downMs),
        uptime_percent: plainDecimal(times(one.uptime, fraction(100n))),
        downtime_percent: plainDecimal(times(minus(fraction(1n), one.uptime), fraction(100n))),
        events: one.events,
        affected_charge: toDecimalText(one.affectedCharge, 9),
        credit: toDecimalText(one.credit, 9),
      })),
    },
  };
}

const UNITS_IN_FORMULA_MAX = 20;

function minutesText(ms: bigint): string {
  return plainDecimal(fraction(ms, 60_000n));
}

function incidentsOf({ units }: SlaAssessment): string[] {
  return [...new Set(units.flatMap((one) => one.incidentIds))].sort();
}
