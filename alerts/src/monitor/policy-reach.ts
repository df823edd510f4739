/** How far back evidence may matter, by what the policy's rules look at. */
import type { Fault, FaultPolicy } from '../policy/fault-policy.js';
import { signals } from '../policy/signals.js';

/** Evidence this long before a change may still say what the change means, whatever the policy's durations are. */
export const LEAST_LOOK_BACK_MS = 10 * 60_000;

/** Twice the longest time over which the policy looks: a condition that lasts may have begun that long ago. */
export function lookBackMs(policy: FaultPolicy): number {
  const { flapping } = policy.folding;
  const damped = flapping === undefined ? 0 : flapping.within + flapping.quiet_for;
  return 2 * Math.max(damped, ...policy.faults.map(longestMs)) + LEAST_LOOK_BACK_MS;
}

function longestMs(fault: Fault): number {
  const proof = 'healthy_for' in fault.clear ? fault.clear.healthy_for : 0;
  const absent = 'telemetry' in fault.when ? fault.when.after : 0;
  return Math.max(
    proof,
    absent,
    fault.follows?.within ?? 0,
    lastingMs(fault, 'minutes'),
    lastingMs(fault, 'peers'),
  );
}

/** The reach of one look at conditions on whole minutes. */
export function longestSignalMs(policy: FaultPolicy): number {
  return Math.max(0, ...policy.faults.map((fault) => lastingMs(fault, 'minutes'))) + LEAST_LOOK_BACK_MS;
}

/** The reach of one look at conditions on whole hours: one more hour says what the first was compared with. */
export function longestHoursMs(policy: FaultPolicy): number {
  return Math.max(0, ...policy.faults.map((fault) => lastingMs(fault, 'hours'))) + 3 * 3_600_000;
}

function lastingMs(fault: Fault, from: 'minutes' | 'hours' | 'peers'): number {
  if (!('signal' in fault.when) || signals[fault.when.signal].from !== from) return 0;
  return fault.when.for + fault.when.rejoin;
}

/** How long before the window events are counted where a fault is proved by its return. */
export function repeatsReachMs(policy: FaultPolicy): number {
  const rules = policy.faults.flatMap((fault) => ('repeats' in fault.when ? fault.when.repeats : []));
  return Math.max(0, ...rules.map((rule) => rule.within + rule.apart));
}

/** The numbers of Xid that such rules count. */
export function countedXids(policy: FaultPolicy): number[] {
  const counted = policy.faults
    .flatMap((fault) => ('repeats' in fault.when ? fault.when.repeats : []))
    .flatMap((rule) => rule.of);
  const codes = policy.faults
    .filter((fault) => counted.includes(fault.code))
    .flatMap((fault) =>
      'event' in fault.when && fault.when.event === 'xid' ? (fault.when.codes ?? []) : [],
    );
  return [...new Set(codes)];
}
