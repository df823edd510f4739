/** What another policy would have said of the same evidence, and what that would have meant for leases. Pure. */
import {
  fraction,
  gpuTimeOf,
  intersect,
  interval,
  NO_GPU_TIME,
  sumGpuTime,
  union,
  type EpochMs,
  type Fraction,
  type GpuTime,
} from '@poolmeter/domain';
import type { BillingClass, FaultPolicy } from '../policy/fault-policy.js';
import type { FaultEvidence, LeaseEvidence } from '../verdict/evidence.js';
import type { FaultIncident } from '../verdict/incident.js';
import { verdicts } from '../verdict/verdicts.js';

export interface SharedLease extends LeaseEvidence {
  readonly share: Fraction;
}

export interface PolicyOutcome {
  readonly version: string;
  readonly incidents: number;
  readonly byCode: ReadonlyMap<string, number>;
  /** GPU time of leases under verdicts of each class; where classes overlap C comes before H before B. */
  readonly gpuTime: Readonly<Record<BillingClass, GpuTime>>;
  /** From the opening of an incident to the end of a lease that ended under it: how early a job's loss was known. */
  readonly leadTimesMs: readonly number[];
}

export interface PolicyComparison {
  readonly before: PolicyOutcome;
  readonly after: PolicyOutcome;
  /** Told by the second policy only, and by the first only: same code, same place, overlapping time are the same. */
  readonly added: readonly FaultIncident[];
  readonly removed: readonly FaultIncident[];
}

/** Evidence may differ where the policies' limits do: each is judged with what its own limits found. */
export function comparePolicies(
  before: { readonly policy: FaultPolicy; readonly evidence: FaultEvidence },
  after: { readonly policy: FaultPolicy; readonly evidence: FaultEvidence },
  leases: readonly SharedLease[],
): PolicyComparison {
  const first = verdicts(before.evidence, before.policy);
  const second = verdicts(after.evidence, after.policy);
  const until = before.evidence.asOf;
  return {
    before: outcomeOf(first, { policy: before.policy, leases, until }),
    after: outcomeOf(second, { policy: after.policy, leases, until }),
    added: second.filter((one) => !first.some((other) => isSame(one, other))),
    removed: first.filter((one) => !second.some((other) => isSame(one, other))),
  };
}

function isSame(a: FaultIncident, b: FaultIncident): boolean {
  if (a.code !== b.code || a.node !== b.node || a.gpuUuid !== b.gpuUuid) return false;
  return a.openedAt < (b.clearedAt ?? Infinity) && b.openedAt < (a.clearedAt ?? Infinity);
}

function outcomeOf(
  incidents: readonly FaultIncident[],
  of: { readonly policy: FaultPolicy; readonly leases: readonly SharedLease[]; readonly until: EpochMs },
): PolicyOutcome {
  const byCode = new Map<string, number>();
  for (const { code } of incidents) byCode.set(code, (byCode.get(code) ?? 0) + 1);
  const times = of.leases.map((lease) => timesUnder(lease, { incidents, until: of.until }));
  const sumOf = (billingClass: BillingClass) => sumGpuTime(times.map((one) => one[billingClass]));
  return {
    version: of.policy.version,
    incidents: incidents.length,
    byCode,
    gpuTime: { B: sumOf('B'), C: sumOf('C'), H: sumOf('H') },
    leadTimesMs: of.leases.flatMap((lease) => leadOf(lease, incidents)),
  };
}

type TimeByClass = Record<BillingClass, GpuTime>;

function timesUnder(
  lease: SharedLease,
  of: { readonly incidents: readonly FaultIncident[]; readonly until: EpochMs },
): TimeByClass {
  const end = lease.end ?? (lease.start > of.until ? lease.start : of.until);
  const held = interval(lease.start, end);
  const spans = (billingClass: BillingClass) =>
    of.incidents
      .filter((one) => one.fault.billing_class === billingClass)
      .flatMap((one) => one.verdicts)
      .filter(
        (one) =>
          one.gpuUuid === lease.gpuUuid && (one.gpuInstance === '' || one.gpuInstance === lease.gpuInstance),
      )
      .flatMap(
        (one) => intersect(held, interval(one.start, one.end ?? (one.start > end ? one.start : end))) ?? [],
      );
  const total = (parts: ReturnType<typeof spans>) =>
    sumGpuTime(union(parts).map((part) => gpuTimeOf(lease.share, part)));
  const [c, h, b] = [spans('C'), spans('H'), spans('B')];
  const [upToC, upToH, upToB] = [total(c), total([...c, ...h]), total([...c, ...h, ...b])];
  return { C: upToC, H: less(upToH, upToC), B: less(upToB, upToH) };
}

function less(a: GpuTime, b: GpuTime): GpuTime {
  const minus = fraction(-b.numerator, b.denominator) as GpuTime;
  return a === b ? NO_GPU_TIME : sumGpuTime([a, minus]);
}

function leadOf(lease: SharedLease, incidents: readonly FaultIncident[]): number[] {
  const { end } = lease;
  if (end === undefined) return [];
  const opened = incidents
    .filter((one) => one.affectedLeaseIds.includes(lease.leaseId) && one.fault.blame === 'hardware')
    .filter((one) => one.openedAt <= end && (one.clearedAt ?? Infinity) >= end)
    .map((one) => end - one.openedAt);
  return opened.length === 0 ? [] : [Math.max(...opened)];
}
