/** Conditions on samples that have to last before they mean anything: heat, throttling, idling while leased. */
import { durationMs, instantFromMs, intersect, interval, type EpochMs } from '@poolmeter/domain';
import { limitOf, type SignalCondition } from '../policy/conditions.js';
import type { Fault, FaultPolicy } from '../policy/fault-policy.js';
import { policyOfPool } from '../policy/policy-of-pool.js';
import { signals, type SignalName } from '../policy/signals.js';
import type { EventEvidence, FaultEvidence, SignalStretch } from './evidence.js';
import type { Symptom } from './incident.js';

export type SignalEvidence = Pick<FaultEvidence, 'asOf' | 'signals' | 'leases' | 'telemetry' | 'events'>;

/** How late the end of a stretch shows: its last piece is whole and arrives after it. */
const SETTLE_MS = { minutes: 120_000, hours: 7_200_000, peers: 900_000, agent: 60_000 } as const;

export function symptomsOfSignals(evidence: SignalEvidence, policy: FaultPolicy): Symptom[] {
  const gpus = new Map(evidence.telemetry.map((one) => [one.gpuUuid, one]));
  const symptoms: Symptom[] = [];
  for (const stretches of bySubject([...evidence.signals, ...toldStretches(evidence, policy)])) {
    const [first] = stretches;
    if (first === undefined) continue;
    const rule = signalFault(policyOfPool(policy, gpus.get(first.gpuUuid)?.pool ?? ''), first.signal);
    if (rule === undefined) continue;
    const joined = rejoin(stretches, rule.when);
    const counted = rule.when.while_leased ? joined.flatMap((one) => whileLeased(one, evidence)) : joined;
    const lasting = counted.filter((one) => durationMs(one.during) >= BigInt(rule.when.for));
    symptoms.push(...lasting.map((one) => symptomOf(one, { ...rule, evidence })));
  }
  return symptoms;
}

/** The fault of a signal with its condition; undefined where the policy makes nothing of it. */
export function signalFault(
  policy: FaultPolicy,
  signal: SignalName,
): { readonly fault: Fault; readonly when: SignalCondition } | undefined {
  for (const fault of policy.faults) {
    if ('signal' in fault.when && fault.when.signal === signal) return { fault, when: fault.when };
  }
  return undefined;
}

/** What agents tell of conditions that begin and end. One that has not ended goes on. */
function toldStretches(evidence: SignalEvidence, policy: FaultPolicy): SignalStretch[] {
  const open = new Map<
    string,
    { readonly signal: SignalName; readonly told: EventEvidence; readonly value: number }
  >();
  const stretches: SignalStretch[] = [];
  const close = (key: string, end: EpochMs) => {
    const begun = open.get(key);
    if (begun === undefined) return;
    open.delete(key);
    const { node, gpuUuid, gpuInstance, ts } = begun.told.event;
    const during = interval(ts, end > ts ? end : ts);
    stretches.push({ signal: begun.signal, node, gpuUuid, gpuInstance, during, extreme: begun.value });
  };
  for (const told of evidence.events) {
    const { event } = told;
    const name = event.detail['signal'];
    const value = event.detail['value'];
    if (event.kind !== 'gpu.condition' || typeof name !== 'string' || typeof value !== 'number') continue;
    const rule =
      name in signals ? signalFault(policyOfPool(policy, event.pool), name as SignalName) : undefined;
    if (rule === undefined) continue;
    const key = `${name}|${event.gpuUuid}|${event.gpuInstance}`;
    const bad = signals[rule.when.signal].bad;
    const isBad = bad === 'below' ? value < limitOf(rule.when) : value >= limitOf(rule.when);
    if (!isBad) close(key, event.ts);
    else if (!open.has(key)) open.set(key, { signal: rule.when.signal, told, value });
  }
  for (const key of [...open.keys()]) close(key, evidence.asOf);
  return stretches;
}

function bySubject(stretches: readonly SignalStretch[]): SignalStretch[][] {
  const groups = new Map<string, SignalStretch[]>();
  for (const one of stretches) {
    const key = `${one.signal}|${one.gpuUuid}|${one.gpuInstance}`;
    const known = groups.get(key);
    if (known === undefined) groups.set(key, [one]);
    else known.push(one);
  }
  return [...groups.values()];
}

/** A pause that is shorter than the policy's `rejoin` does not end a stretch. */
function rejoin(stretches: readonly SignalStretch[], when: SignalCondition): SignalStretch[] {
  const sorted = [...stretches].sort(
    (a, b) => a.during.start - b.during.start || a.during.end - b.during.end,
  );
  const worse = signals[when.signal].bad === 'below' ? Math.min : Math.max;
  const joined: SignalStretch[] = [];
  for (const next of sorted) {
    const last = joined.at(-1);
    if (last === undefined || next.during.start - last.during.end > when.rejoin) {
      joined.push(next);
      continue;
    }
    const end = next.during.end > last.during.end ? next.during.end : last.during.end;
    const extreme = worse(last.extreme, next.extreme);
    joined[joined.length - 1] = { ...last, during: interval(last.during.start, end), extreme };
  }
  return joined;
}

/** The parts of a stretch in which one lease held the GPU; two leases one after the other are two stretches. */
function whileLeased(stretch: SignalStretch, evidence: SignalEvidence): SignalStretch[] {
  const leases = new Map(evidence.leases.map((lease) => [lease.leaseId, lease]));
  return [...leases.values()].flatMap((lease) => {
    if (lease.gpuUuid !== stretch.gpuUuid || lease.gpuInstance !== stretch.gpuInstance) return [];
    const end = lease.end ?? latest(stretch.during.end, lease.start);
    const during = intersect(stretch.during, interval(lease.start, end));
    return during === undefined ? [] : [{ ...stretch, during }];
  });
}

interface SymptomSource {
  readonly fault: Fault;
  readonly when: SignalCondition;
  readonly evidence: SignalEvidence;
}

function symptomOf(stretch: SignalStretch, of: SymptomSource): Symptom {
  const gpu = of.evidence.telemetry.find((one) => one.gpuUuid === stretch.gpuUuid);
  const settleMs = of.when.rejoin + SETTLE_MS[signals[stretch.signal].from];
  const goesOn = of.evidence.asOf - stretch.during.end <= settleMs && !isEnded(stretch, of);
  return {
    id: `telemetry/${stretch.node}/${stretch.signal}/${stretch.gpuUuid}/${stretch.gpuInstance}/${stretch.during.start}`,
    fault: of.fault,
    node: stretch.node,
    gpuUuid: stretch.gpuUuid,
    gpuInstance: stretch.gpuInstance,
    pciBusId: '',
    ts: stretch.during.start,
    until: goesOn ? undefined : stretch.during.end,
    kind: `telemetry.${stretch.signal}`,
    code: 0,
    message: sentenceOf(stretch, of.when),
    bootId: '',
    pool: gpu?.pool ?? '',
    providerId: gpu?.providerId ?? '',
    demo: gpu?.demo ?? false,
    position: undefined,
    recoveryAction: stretch.signal === 'recovery_action' ? Math.round(stretch.extreme) : 0,
  };
}

/** The lease is over: a stretch that was cut by it does not go on, however recent. */
function isEnded(stretch: SignalStretch, of: SymptomSource): boolean {
  if (!of.when.while_leased) return false;
  return of.evidence.leases.some(
    (lease) => lease.gpuUuid === stretch.gpuUuid && lease.end === stretch.during.end,
  );
}

function sentenceOf(stretch: SignalStretch, when: SignalCondition): string {
  const { bad } = signals[stretch.signal];
  const minutes = Math.round(Number(durationMs(stretch.during)) / 60_000);
  const words = stretch.signal.replaceAll('_', ' ');
  const value = Number(stretch.extreme.toPrecision(4));
  const limit = bad === 'below' ? `below ${limitOf(when)}` : `at least ${limitOf(when)}`;
  return `The ${words} was ${limit} for ${minutes} minutes, at worst ${value}.`;
}

function latest(a: EpochMs, b: EpochMs): EpochMs {
  return instantFromMs(Math.max(a, b));
}
