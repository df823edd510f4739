/** Faults that are proved by their return: the same evidence in several bursts within some time. */
import type { RepeatRule } from '../policy/conditions.js';
import type { Fault, FaultPolicy } from '../policy/fault-policy.js';
import type { LeaseEvidence } from './evidence.js';
import type { Symptom } from './incident.js';
import { compareText, type Sighting } from './read-events.js';

interface Burst {
  readonly first: Sighting;
  lastAt: number;
  readonly jobs: Set<string>;
}

export interface RepeatQuestion {
  /** In time order; what lies before the window that is judged counts, but opens nothing. */
  readonly sightings: readonly Sighting[];
  readonly leases: readonly LeaseEvidence[];
  readonly policyOf: (pool: string) => FaultPolicy;
}

/** One symptom per burst that completes a count, at the first line of that burst. */
export function symptomsOfRepeats(question: RepeatQuestion): Symptom[] {
  const pools = [...new Set(question.sightings.map((one) => one.event.pool))].sort(compareText);
  return pools.flatMap((pool) => {
    const faults = question.policyOf(pool).faults;
    return faults.flatMap((fault) => {
      if (!('repeats' in fault.when)) return [];
      const found = new Map<string, Symptom>();
      for (const rule of fault.when.repeats) {
        for (const one of symptomsOfRule(rule, { ...question, fault, pool })) {
          if (!found.has(one.id)) found.set(one.id, one);
        }
      }
      return [...found.values()];
    });
  });
}

function symptomsOfRule(
  rule: RepeatRule,
  of: RepeatQuestion & { readonly fault: Fault; readonly pool: string },
): Symptom[] {
  const counted = of.sightings.filter((one) => one.gpuUuid !== '' && rule.of.includes(one.fault.code));
  const groups = new Map<string, Sighting[]>();
  for (const one of counted) {
    const key = groupKey(rule, one);
    if (key === undefined || one.event.pool !== of.pool) continue;
    const known = groups.get(key);
    if (known === undefined) groups.set(key, [one]);
    else known.push(one);
  }
  return [...groups.values()].flatMap((sightings) => symptomsOfGroup(sightings, { rule, counted, ...of }));
}

/** Undefined where the event lacks a detail that has to be equal: such a line proves nothing. */
function groupKey(rule: RepeatRule, { event, gpuUuid }: Sighting): string | undefined {
  const values = rule.same.map((name) => (name === 'code' ? event.code : event.detail[name]));
  return values.includes(undefined) ? undefined : JSON.stringify([gpuUuid, ...values]);
}

function symptomsOfGroup(
  sightings: readonly Sighting[],
  of: { rule: RepeatRule; counted: readonly Sighting[]; leases: readonly LeaseEvidence[]; fault: Fault },
): Symptom[] {
  const bursts = burstsOf(sightings, of);
  return bursts.flatMap((burst, index) => {
    const since = burst.first.event.ts - of.rule.within;
    const recent = bursts.slice(0, index + 1).filter((one) => one.lastAt >= since);
    if (countOf(recent, of.rule) < of.rule.at_least) return [];
    if (of.rule.not_elsewhere && isElsewhere(burst, { ...of, since })) return [];
    return [
      symptomOf(burst.first, { fault: of.fault, times: countOf(recent, of.rule), withinMs: of.rule.within }),
    ];
  });
}

function burstsOf(
  sightings: readonly Sighting[],
  of: { rule: RepeatRule; leases: readonly LeaseEvidence[] },
): Burst[] {
  const bursts: Burst[] = [];
  for (const one of sightings) {
    const last = bursts.at(-1);
    const job = jobOf(one, of.leases);
    if (last === undefined || one.event.ts - last.lastAt >= of.rule.apart) {
      bursts.push({ first: one, lastAt: one.event.ts, jobs: new Set([job]) });
      continue;
    }
    last.lastAt = one.event.ts;
    last.jobs.add(job);
  }
  return bursts;
}

/** The lease that held the GPU, else the process that the line names. Lines that name neither may all be of one job. */
function jobOf({ event, gpuUuid }: Sighting, leases: readonly LeaseEvidence[]): string {
  const holding = leases
    .filter(
      (lease) => lease.gpuUuid === gpuUuid && lease.start <= event.ts && (lease.end ?? Infinity) > event.ts,
    )
    .map((lease) => lease.leaseId)
    .sort(compareText)[0];
  if (holding !== undefined) return `lease ${holding}`;
  const pid = event.detail['pid'];
  return typeof pid === 'number' ? `process ${pid}` : 'unknown';
}

/** Bursts, or the jobs that they come from where one job counts once. */
function countOf(bursts: readonly Burst[], rule: RepeatRule): number {
  if (!rule.different_jobs) return bursts.length;
  const jobs = new Set(bursts.flatMap((one) => [...one.jobs]));
  return Math.min(bursts.length, jobs.size);
}

/** Another GPU of the node shows the same within the time that counts. */
function isElsewhere(
  burst: Burst,
  of: { rule: RepeatRule; counted: readonly Sighting[]; since: number },
): boolean {
  const until = burst.first.event.ts + of.rule.apart;
  return of.counted.some(
    ({ gpuUuid, event }) => gpuUuid !== burst.first.gpuUuid && event.ts >= of.since && event.ts <= until,
  );
}

function symptomOf(
  { event, gpuUuid }: Sighting,
  of: { readonly fault: Fault; readonly times: number; readonly withinMs: number },
): Symptom {
  const hours = of.withinMs / 3_600_000;
  return {
    id: `repeat/${of.fault.code}/${gpuUuid}/${event.ts}`,
    fault: of.fault,
    node: event.node,
    gpuUuid,
    gpuInstance: '',
    pciBusId: '',
    ts: event.ts,
    until: event.ts,
    kind: 'repeat',
    code: event.code,
    message: `${of.times} times within ${hours} hours, the last with: ${event.message}`,
    bootId: event.bootId,
    pool: event.pool,
    providerId: event.providerId,
    demo: event.demo,
    position: undefined,
    recoveryAction: 0,
  };
}
