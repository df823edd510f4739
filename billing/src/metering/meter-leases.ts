/**
 * Cuts leases into intervals that are each wholly billed, excluded or held, at one price (billing rules 1, 5 and 8). No
 * millisecond is lost or counted twice: the intervals of a lease follow one another and cover exactly its time.
 */
import {
  cutAt,
  fraction,
  gpuTimeOf,
  idFromFacts,
  interval,
  sumGpuTime,
  type EpochMs,
  type GpuTime,
  type Interval,
} from '@poolmeter/domain';
import type { LeaseSegment } from '../leases/fold-leases.js';
import type { Verdict } from './verdict.js';

/** `billed` is charged, `excluded` is shown and not charged, `held` waits for a decision. */
type Outcome = 'billed' | 'excluded' | 'held';

export interface MeteredInterval {
  readonly intervalId: string;
  readonly lease: LeaseSegment;
  readonly span: Interval;
  readonly gpuTime: GpuTime;
  readonly outcome: Outcome;
  /** Why it is excluded or held. */
  readonly verdicts: readonly Verdict[];
  /** The leases that it overlaps with, when that is why it is held. */
  readonly overlapsWith: readonly string[];
}

export interface MeteringOptions {
  /** Only time within is metered. */
  readonly within: Interval;
  /** A lease without an end is metered up to here. */
  readonly asOf: EpochMs;
  readonly verdicts: readonly Verdict[];
  /** Instants at which the price or the terms of a lease may change. */
  readonly cutsOf: (lease: LeaseSegment) => readonly EpochMs[];
  /** Leases that overlap with others, and with which. */
  readonly overlapping: ReadonlyMap<string, readonly string[]>;
  /** What the contract says about faulty time, at each instant (rule 7). */
  readonly faultTimeAt: (at: EpochMs) => 'exclude' | 'bill';
}

export function meterLeases(segments: readonly LeaseSegment[], options: MeteringOptions): MeteredInterval[] {
  const verdictsByGpu = decidingVerdicts(options.verdicts);
  return segments.flatMap((segment) =>
    meterSegment(segment, verdictsByGpu.get(segment.gpuUuid) ?? [], options),
  );
}

/** Verdicts that change what is charged, by GPU. B says that time is billable, which it is anyway. */
function decidingVerdicts(verdicts: readonly Verdict[]): Map<string, Verdict[]> {
  const byGpu = new Map<string, Verdict[]>();
  const inOrder = verdicts.toSorted((a, b) => (a.verdictId < b.verdictId ? -1 : 1));
  for (const verdict of inOrder) {
    if (verdict.billingClass === 'B') continue;
    const sameGpu = byGpu.get(verdict.gpuUuid);
    if (sameGpu === undefined) byGpu.set(verdict.gpuUuid, [verdict]);
    else sameGpu.push(verdict);
  }
  return byGpu;
}

function meterSegment(
  segment: LeaseSegment,
  verdicts: readonly Verdict[],
  options: MeteringOptions,
): MeteredInterval[] {
  const { within } = options;
  const start = segment.start > within.start ? segment.start : within.start;
  const open = segment.end ?? options.asOf;
  const end = open < within.end ? open : within.end;
  if (end <= start) return [];
  const applicable = verdicts.filter((verdict) => touchesLease(verdict, segment));
  const edges = applicable.flatMap((verdict) =>
    verdict.end === undefined ? [verdict.start] : [verdict.start, verdict.end],
  );
  const cuts = options.cutsOf(segment);
  const whole = interval(start, end);
  const spans = edges.length + cuts.length === 0 ? [whole] : cutAt(whole, [...edges, ...cuts]);
  return spans.map((span) => classify(segment, span, { applicable, options }));
}

/** A verdict on one instance concerns the leases of that instance and those of the whole GPU. */
function touchesLease(verdict: Verdict, segment: LeaseSegment): boolean {
  return (
    verdict.gpuInstance === '' || segment.gpuInstance === '' || verdict.gpuInstance === segment.gpuInstance
  );
}

/** Credited time stays credited whatever else is undecided; then an overlap, then an undecided fault, holds. */
function classify(
  lease: LeaseSegment,
  span: Interval,
  { applicable, options }: { applicable: readonly Verdict[]; options: MeteringOptions },
): MeteredInterval {
  const intervalId = idFromFacts('int', lease.leaseId, lease.gpuUuid, lease.gpuInstance, span.start);
  const known = { intervalId, lease, span, gpuTime: gpuTimeOf(lease.share, span) };
  const overlapsWith = options.overlapping.get(lease.leaseId) ?? NOBODY;
  if (applicable.length + overlapsWith.length === 0)
    return { ...known, outcome: 'billed', verdicts: NO_VERDICTS, overlapsWith: NOBODY };
  const covering = applicable.filter(
    (verdict) => verdict.start <= span.start && (verdict.end === undefined || verdict.end >= span.end),
  );
  const excludes = options.faultTimeAt(span.start) === 'exclude';
  const credited = excludes ? covering.filter((verdict) => verdict.billingClass === 'C') : [];
  const undecided = excludes ? covering.filter((verdict) => verdict.billingClass === 'H') : [];
  if (credited.length > 0) return { ...known, outcome: 'excluded', verdicts: credited, overlapsWith: [] };
  if (overlapsWith.length > 0) return { ...known, outcome: 'held', verdicts: undecided, overlapsWith };
  if (undecided.length > 0) return { ...known, outcome: 'held', verdicts: undecided, overlapsWith: [] };
  return { ...known, outcome: 'billed', verdicts: [], overlapsWith: [] };
}

const NO_VERDICTS: readonly Verdict[] = [];
const NOBODY: readonly string[] = [];

export interface UsageTotals {
  readonly leased: GpuTime;
  readonly billed: GpuTime;
  readonly excluded: GpuTime;
  readonly held: GpuTime;
}

/** GPU time by outcome; billed + excluded + held = leased. */
export function totalsOf(intervals: readonly MeteredInterval[]): UsageTotals {
  const of = (outcome: Outcome) =>
    sumTimes(intervals.filter((one) => one.outcome === outcome).map((one) => one.gpuTime));
  return {
    leased: sumTimes(intervals.map((one) => one.gpuTime)),
    billed: of('billed'),
    excluded: of('excluded'),
    held: of('held'),
  };
}

/** Adds whole numbers per denominator first: shares repeat, and reducing a fraction at every step is slow. */
export function sumTimes(times: readonly GpuTime[]): GpuTime {
  const byDenominator = new Map<bigint, bigint>();
  let [denominator, numerator] = [1n, 0n];
  for (const time of times) {
    if (time.denominator !== denominator) {
      byDenominator.set(denominator, (byDenominator.get(denominator) ?? 0n) + numerator);
      [denominator, numerator] = [time.denominator, 0n];
    }
    numerator += time.numerator;
  }
  byDenominator.set(denominator, (byDenominator.get(denominator) ?? 0n) + numerator);
  return sumGpuTime([...byDenominator].map(([below, above]) => fraction(above, below) as GpuTime));
}
