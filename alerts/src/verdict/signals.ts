/** Conditions on samples that have to last before they mean anything: hot, and idle while leased. */
import { durationMs, instantFromMs, intersect, interval, type EpochMs } from '@poolmeter/domain';
import { telemetryFault, type Fault, type FaultPolicy } from '../policy/fault-policy.js';
import type { FaultEvidence, SignalStretch } from './evidence.js';
import type { Symptom } from './incident.js';

type SignalEvidence = Pick<FaultEvidence, 'asOf' | 'signals' | 'leases' | 'telemetry'>;

/** Minutes are whole and arrive late by up to one: a stretch that ended this recently may still go on. */
const MINUTE_MS = 60_000;

export function symptomsOfSignals(evidence: SignalEvidence, policy: FaultPolicy): Symptom[] {
  const hot = telemetryFault(policy, 'hot');
  const idle = telemetryFault(policy, 'idle_leased');
  const symptoms: Symptom[] = [];
  for (const stretches of bySubject(evidence.signals)) {
    const rule = stretches[0]?.signal === 'hot' ? hot : idle;
    if (rule === undefined) continue;
    const joined = rejoin(stretches, rule.when.rejoin);
    const counted = rule === idle ? joined.flatMap((one) => whileLeased(one, evidence)) : joined;
    const lasting = counted.filter((one) => durationMs(one.during) >= BigInt(rule.when.for));
    const cut = { evidence, rejoinMs: rule.when.rejoin };
    symptoms.push(...lasting.map((one) => symptomOf(one, { fault: rule.fault, ...cut })));
  }
  return symptoms;
}

function bySubject(signals: readonly SignalStretch[]): SignalStretch[][] {
  const groups = new Map<string, SignalStretch[]>();
  for (const one of signals) {
    const key = `${one.signal}|${one.gpuUuid}|${one.gpuInstance}`;
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups.values()];
}

/** A pause that is shorter than `rejoinMs` does not end a stretch. */
function rejoin(stretches: readonly SignalStretch[], rejoinMs: number): SignalStretch[] {
  const sorted = [...stretches].sort(
    (a, b) => a.during.start - b.during.start || a.during.end - b.during.end,
  );
  const joined: SignalStretch[] = [];
  for (const next of sorted) {
    const last = joined.at(-1);
    if (last === undefined || next.during.start - last.during.end > rejoinMs) {
      joined.push(next);
      continue;
    }
    const end = next.during.end > last.during.end ? next.during.end : last.during.end;
    const extreme = Math.max(last.extreme, next.extreme);
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

function symptomOf(
  stretch: SignalStretch,
  of: { fault: Fault; evidence: SignalEvidence; rejoinMs: number },
): Symptom {
  const gpu = of.evidence.telemetry.find((one) => one.gpuUuid === stretch.gpuUuid);
  const goesOn =
    of.evidence.asOf - stretch.during.end <= of.rejoinMs + 2 * MINUTE_MS && !isEnded(stretch, of.evidence);
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
    message: sentenceOf(stretch),
    bootId: '',
    pool: gpu?.pool ?? '',
    providerId: gpu?.providerId ?? '',
    demo: gpu?.demo ?? false,
    position: undefined,
  };
}

/** The lease is over: an idle stretch that was cut by it does not go on, however recent. */
function isEnded(stretch: SignalStretch, evidence: SignalEvidence): boolean {
  if (stretch.signal === 'hot') return false;
  return evidence.leases.some(
    (lease) => lease.gpuUuid === stretch.gpuUuid && lease.end === stretch.during.end,
  );
}

function sentenceOf(stretch: SignalStretch): string {
  const minutes = Math.round(Number(durationMs(stretch.during)) / MINUTE_MS);
  if (stretch.signal === 'hot') return `Up to ${stretch.extreme} °C over ${minutes} minutes.`;
  const percent = (stretch.extreme * 100).toFixed(2);
  return `At most ${percent} % active over ${minutes} minutes, with memory in use.`;
}

function latest(a: EpochMs, b: EpochMs): EpochMs {
  return instantFromMs(Math.max(a, b));
}
