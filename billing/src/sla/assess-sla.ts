/**
 * Measures one promise about availability over one window: which time counts as down, what share of the window that is,
 * and what is due for it. Pure; instants are milliseconds and everything else is exact.
 */
import {
  compare,
  durationMs,
  fraction,
  intersect,
  minus,
  ONE,
  over,
  parseFraction,
  subtract,
  sum,
  times,
  union,
  ZERO,
  type EpochMs,
  type Fraction,
  type Interval,
} from '@poolmeter/domain';
import type { SlaTerms } from './sla-terms.js';

/** Time of one GPU that a customer held, and what was charged for it. */
export interface CoveredTime {
  readonly gpuUuid: string;
  readonly node: string;
  readonly providerId: string;
  readonly span: Interval;
  /** Exact, after discounts; zero for time that was not charged. */
  readonly charge: Fraction;
}

/** A stretch in which a GPU did not do what was promised. */
export interface Outage extends Interval {
  readonly gpuUuid: string;
  readonly code: string;
  readonly incidentId: string;
  /** Caused by the customer's own program: never counts. */
  readonly customerCaused: boolean;
  /** Whether its time is not charged anyway: such incidents count where the terms name no codes. */
  readonly credited: boolean;
}

export interface Maintenance extends Interval {
  readonly id: string;
  readonly announcedAt: EpochMs;
  /** `*` for all. */
  readonly pool: string;
  readonly node: string;
  readonly gpuUuid: string;
}

export interface SlaWorld {
  readonly window: Interval;
  readonly covered: readonly CoveredTime[];
  readonly outages: readonly Outage[];
  /** Those of the pools at hand. */
  readonly maintenance: readonly Maintenance[];
}

interface UnitAssessment {
  readonly unit: string;
  readonly downMs: bigint;
  /** Of the window. */
  readonly uptime: Fraction;
  readonly events: number;
  readonly affectedCharge: Fraction;
  /** Before the cap and the minimum. */
  readonly credit: Fraction;
  readonly incidentIds: readonly string[];
}

export interface SlaAssessment {
  /** Units with something due, or that would have been. */
  readonly units: readonly UnitAssessment[];
  /** Exact, capped per unit. */
  readonly credit: Fraction;
  readonly creditByProvider: ReadonlyMap<string, Fraction>;
}

export function assessSla(terms: SlaTerms, world: SlaWorld): SlaAssessment {
  const units = new Map<string, CoveredTime[]>();
  for (const one of world.covered) {
    const key = unitOf(terms, one);
    const known = units.get(key);
    if (known === undefined) units.set(key, [one]);
    else known.push(one);
  }
  const assessed = [...units.keys()]
    .sort()
    .map((unit) => assessUnit(terms, { unit, covered: units.get(unit) ?? [] }, world));
  const due = assessed.filter(({ result }) => result.events > 0);
  const creditByProvider = new Map<string, Fraction>();
  for (const { result, covered } of due) {
    for (const [provider, part] of shareOut(result.credit, covered)) {
      creditByProvider.set(provider, sum([creditByProvider.get(provider) ?? ZERO, part]));
    }
  }
  return {
    units: due.map(({ result }) => result),
    credit: sum(due.map(({ result }) => result.credit)),
    creditByProvider,
  };
}

function unitOf(terms: SlaTerms, one: CoveredTime): string {
  switch (terms.entry.unit) {
    case 'gpu':
      return one.gpuUuid;
    case 'node':
      return one.node;
    case 'customer':
      return 'all';
  }
}

interface Unit {
  readonly unit: string;
  readonly covered: readonly CoveredTime[];
}

function assessUnit(
  terms: SlaTerms,
  { unit, covered }: Unit,
  world: SlaWorld,
): { result: UnitAssessment; covered: readonly CoveredTime[] } {
  const down = downTime(terms, covered, world);
  const { thresholdMs, entry } = terms;
  const perEvent = thresholdMs !== undefined && entry.threshold?.per === 'event';
  const events = perEvent ? down.filter((one) => compare(lengthOf(one), thresholdMs) > 0) : down;
  const downMs = events.reduce((total, one) => total + durationMs(one), 0n);
  const enough = perEvent || thresholdMs === undefined || compare(fraction(downMs), thresholdMs) > 0;
  const counted = enough ? events : [];
  const lost = over(fraction(enough ? downMs : 0n), fraction(durationMs(world.window)));
  const uptime = minus(ONE, lost);
  const affectedCharge = sum(covered.map((one) => one.charge));
  const wanted = creditFor(terms, { counted, uptime, affectedCharge, covered });
  const limit = times(affectedCharge, terms.cap);
  const result = {
    unit,
    downMs: enough ? downMs : 0n,
    uptime,
    events: counted.length,
    affectedCharge,
    credit: compare(wanted, limit) > 0 ? limit : wanted,
    incidentIds: incidentsOf(counted, covered, world),
  };
  return { result, covered };
}

interface Due {
  readonly counted: readonly Interval[];
  readonly uptime: Fraction;
  readonly affectedCharge: Fraction;
  readonly covered: readonly CoveredTime[];
}

function creditFor({ remedy }: SlaTerms, due: Due): Fraction {
  if (due.counted.length === 0) return ZERO;
  switch (remedy.kind) {
    case 'prorated':
      return sum(due.covered.map((one) => times(one.charge, downShare(one, due.counted))));
    case 'tiers': {
      const reached = remedy.tiers.filter((tier) => compare(due.uptime, tier.below) < 0);
      const lowest = reached.toSorted((a, b) => compare(a.below, b.below))[0];
      return lowest === undefined ? ZERO : times(due.affectedCharge, lowest.credit);
    }
    case 'flat': {
      const count = remedy.per === 'event' ? BigInt(due.counted.length) : 1n;
      return times(parseFraction(remedy.amount), fraction(count));
    }
    case 'goodwill':
    case 'undefined':
      return ZERO;
  }
}

/** The part of a stretch that lies in the time that counts. */
function downShare(one: CoveredTime, counted: readonly Interval[]): Fraction {
  const common = counted.reduce((total, event) => {
    const part = intersect(one.span, event);
    return total + (part === undefined ? 0n : durationMs(part));
  }, 0n);
  return common === 0n ? ZERO : fraction(common, durationMs(one.span));
}

/** When the unit was down while it was held, without what does not count; each stretch is an event. */
function downTime(terms: SlaTerms, covered: readonly CoveredTime[], world: SlaWorld): Interval[] {
  const gpus = [...new Set(covered.map((one) => one.gpuUuid))];
  const byGpu = gpus.map((gpu) => {
    const own = covered.filter((one) => one.gpuUuid === gpu);
    const held = within(union(own.map((one) => one.span)), world.window);
    return { held, down: downOfGpu(terms, own[0] as CoveredTime, { held, world }) };
  });
  if (terms.entry.down_when !== 'all' || byGpu.length === 1) return union(byGpu.flatMap(({ down }) => down));
  // Down is what is held by somebody and up for nobody.
  const up = byGpu.flatMap(({ held, down }) => held.flatMap((one) => subtract(one, down)));
  return union(byGpu.flatMap(({ down }) => down)).flatMap((one) => subtract(one, up));
}

function downOfGpu(
  terms: SlaTerms,
  gpu: CoveredTime,
  { held, world }: { readonly held: readonly Interval[]; readonly world: SlaWorld },
): Interval[] {
  const outages = world.outages.filter((one) => one.gpuUuid === gpu.gpuUuid && countsAsDown(terms, one));
  const excused = world.maintenance.filter((one) => isExcused(terms, one, gpu));
  return union(outages)
    .flatMap((one) => held.flatMap((stretch) => intersect(one, stretch) ?? []))
    .flatMap((one) => subtract(one, excused));
}

function countsAsDown({ entry }: SlaTerms, outage: Outage): boolean {
  if (outage.customerCaused || entry.upstream_codes?.includes(outage.code) === true) return false;
  if (entry.impacts === undefined) return outage.credited;
  return entry.impacts.some(({ codes }) => codes.includes(outage.code) || codes.includes('*'));
}

/** Announced early enough, and about this GPU. What goes beyond the announced time counts. */
function isExcused({ noticeMs }: SlaTerms, one: Maintenance, gpu: CoveredTime): boolean {
  if (noticeMs === undefined || one.announcedAt > one.start - noticeMs) return false;
  return ['*', gpu.node].includes(one.node) && ['*', gpu.gpuUuid].includes(one.gpuUuid);
}

function within(stretches: readonly Interval[], window: Interval): Interval[] {
  return stretches.flatMap((one) => intersect(one, window) ?? []);
}

function lengthOf(one: Interval): Fraction {
  return fraction(durationMs(one));
}

function incidentsOf(
  counted: readonly Interval[],
  covered: readonly CoveredTime[],
  { outages }: SlaWorld,
): string[] {
  const gpus = new Set(covered.map((one) => one.gpuUuid));
  const met = outages.filter(
    (one) => gpus.has(one.gpuUuid) && counted.some((event) => intersect(one, event) !== undefined),
  );
  return [...new Set(met.map((one) => one.incidentId))].sort();
}

/** By what each provider's hardware was charged; evenly by time where nothing was. */
function shareOut(credit: Fraction, covered: readonly CoveredTime[]): Map<string, Fraction> {
  const whole = sum(covered.map((one) => one.charge));
  const parts = new Map<string, Fraction>();
  if (whole.numerator === 0n) return parts;
  for (const one of covered) {
    const part = times(credit, over(one.charge, whole));
    parts.set(one.providerId, sum([parts.get(one.providerId) ?? ZERO, part]));
  }
  return parts;
}
