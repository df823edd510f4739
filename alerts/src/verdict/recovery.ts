/** When a fault is over. Telemetry has to prove it: silence after a fault is not health. */
import { instantFromMs, interval, subtract, union, type EpochMs, type Interval } from '@poolmeter/domain';
import type { Fault, FaultPolicy } from '../policy/fault-policy.js';
import type { EventEvidence, GpuTelemetry } from './evidence.js';
import type { Symptom } from './incident.js';
import { busIdOf, eventMatches } from './read-events.js';

/** What is known about one node that recovery is judged by. */
export interface RecoveryFacts {
  readonly asOf: EpochMs;
  /** Times at which the whole node shows a reset: driver reloads and the like. */
  readonly nodeSigns: readonly EpochMs[];
  /** The same for one GPU. */
  readonly gpuSigns: ReadonlyMap<string, readonly EpochMs[]>;
  /** The first event of each boot. */
  readonly boots: readonly { readonly bootId: string; readonly ts: EpochMs }[];
  /** Stretches of healthy telemetry per GPU, in order. */
  readonly healthy: ReadonlyMap<string, readonly Interval[]>;
  /** When another board took the slot of a GPU, by the GPU that was there. */
  readonly replacements: ReadonlyMap<string, readonly EpochMs[]>;
}

export interface Recovery {
  readonly state: 'open' | 'verifying' | 'resolved' | 'expired';
  readonly verifyingSince: EpochMs | undefined;
  readonly clearedAt: EpochMs | undefined;
  readonly lookAgainAt: EpochMs | undefined;
  readonly reason: string;
}

export function recoveryFacts(
  node: {
    readonly asOf: EpochMs;
    readonly events: readonly EventEvidence[];
    readonly telemetry: readonly GpuTelemetry[];
  },
  policy: FaultPolicy,
): RecoveryFacts {
  const nodeSigns: EpochMs[] = [];
  const gpuSigns = new Map<string, EpochMs[]>();
  const boots = new Map<string, EpochMs>();
  for (const { event } of node.events) {
    if (isKernelLine(event.kind) && event.bootId !== '' && !boots.has(event.bootId))
      boots.set(event.bootId, event.ts);
    if (!policy.recovery_signs.some((sign) => eventMatches(sign, event, policy))) continue;
    if (event.gpuUuid === '') nodeSigns.push(event.ts);
    else gpuSigns.set(event.gpuUuid, [...(gpuSigns.get(event.gpuUuid) ?? []), event.ts]);
  }
  const healthy = new Map<string, Interval[]>();
  for (const gpu of node.telemetry) {
    const stretches = healthyStretches(gpu);
    healthy.set(gpu.gpuUuid, stretches);
    const signs = stretches
      .map((one) => one.start)
      .filter((start) => gpu.unwell.some((one) => one.end === start));
    gpuSigns.set(gpu.gpuUuid, [...(gpuSigns.get(gpu.gpuUuid) ?? []), ...signs]);
  }
  const replacements = replacementsOf(node.events);
  return { asOf: node.asOf, nodeSigns, gpuSigns, boots: bootList(boots), healthy, replacements };
}

/** `events` in time order. A slot that shows another board than before lost the one that it had. */
function replacementsOf(events: readonly EventEvidence[]): Map<string, EpochMs[]> {
  const inSlot = new Map<string, string>();
  const replaced = new Map<string, EpochMs[]>();
  for (const { event } of events) {
    const busId = busIdOf(event);
    if (busId === '' || event.gpuUuid === '') continue;
    const before = inSlot.get(busId);
    if (event.kind === 'gpu.appeared' && before !== undefined && before !== event.gpuUuid) {
      replaced.set(before, [...(replaced.get(before) ?? []), event.ts]);
    }
    inSlot.set(busId, event.gpuUuid);
  }
  return replaced;
}

/** Only the kernel's own lines tell of a boot: an agent's events carry what the agent knew, which may lag behind. */
function isKernelLine(kind: string): boolean {
  return kind === 'xid' || kind === 'sxid' || kind === 'gpu.fallen_off_bus';
}

/** Seen and not unwell. A defect that the GPU reported and no longer reports was mended: its end is a sign too. */
function healthyStretches(gpu: GpuTelemetry): Interval[] {
  // A single sample is a stretch without length, which interval arithmetic would drop: widen, cut, narrow again.
  const seen = union(gpu.seen.map((one) => interval(one.start, instantFromMs(one.end + 1))));
  return seen
    .flatMap((one) => subtract(one, gpu.unwell))
    .map((one) => interval(one.start, instantFromMs(one.end - 1)));
}

function bootList(boots: ReadonlyMap<string, EpochMs>): RecoveryFacts['boots'] {
  return [...boots].map(([bootId, ts]) => ({ bootId, ts }));
}

export interface JudgedIncident {
  readonly fault: Fault;
  /** All its evidence, in time order. */
  readonly symptoms: readonly Symptom[];
  /** The GPUs that it concerns. */
  readonly gpuUuids: readonly string[];
  /** How long it has to be quiet because it comes and goes; 0 when it does not. */
  readonly quietMs: number;
}

export function recoveryOf(incident: JudgedIncident, facts: RecoveryFacts): Recovery {
  const replacedAt = replacementOf(incident, facts);
  if (replacedAt !== undefined) return cleared('resolved', replacedAt, 'Another board took its place.');
  const evidenceEnd = endOfEvidence(incident.symptoms);
  if (evidenceEnd === undefined) return open('The evidence goes on.');
  if (incident.symptoms.some((one) => one.fault.clear.by === 'operator')) {
    return open(
      'Nothing that telemetry says mends this; an operator has to resolve it, or replace the board.',
    );
  }
  return recoveryAfter(evidenceEnd, incident, facts);
}

function recoveryAfter(evidenceEnd: EpochMs, incident: JudgedIncident, facts: RecoveryFacts): Recovery {
  const { clear } = incident.fault;
  const atLeast = (ms: number) => Math.max(ms, incident.quietMs);
  switch (clear.by) {
    case 'operator':
      throw new Error('Invariant broken: a sticky fault was handled before.');
    case 'signal':
      if (facts.asOf - evidenceEnd < incident.quietMs) {
        const at = instantFromMs(evidenceEnd + incident.quietMs);
        return { ...open('It comes and goes; it is over when it has stayed away.'), lookAgainAt: at };
      }
      return cleared('resolved', evidenceEnd, 'The condition no longer holds.');
    case 'expiry': {
      const end = instantFromMs(evidenceEnd + atLeast(clear.after));
      if (end <= facts.asOf) return cleared('expired', end, 'It was not seen again; it expired by itself.');
      return { ...open('It expires by itself unless it is seen again.'), lookAgainAt: end };
    }
    case 'healthy':
      return proved({ ...incident, from: evidenceEnd, healthyForMs: atLeast(clear.healthy_for), facts });
    case 'reset':
    case 'return': {
      const sign = firstSign(incident, { facts, anyAbsence: clear.by === 'return' });
      if (sign === undefined) return open(waitingFor(clear.by));
      const from = sign > evidenceEnd ? sign : evidenceEnd;
      return proved({ ...incident, from, healthyForMs: atLeast(clear.healthy_for), facts });
    }
  }
}

/** The first time after the evidence began at which the only GPU of an incident was another board's predecessor. */
function replacementOf(incident: JudgedIncident, facts: RecoveryFacts): EpochMs | undefined {
  const [gpuUuid, ...others] = incident.gpuUuids;
  if (gpuUuid === undefined || others.length > 0 || incident.fault.scope === 'node') return undefined;
  const from = lastOf(incident.symptoms);
  return facts.replacements.get(gpuUuid)?.find((at) => at >= from);
}

/** The last instant of the evidence, or undefined while some of it goes on. */
function endOfEvidence(symptoms: readonly Symptom[]): EpochMs | undefined {
  let end = symptoms[0]?.until;
  for (const { until } of symptoms) {
    if (until === undefined) return undefined;
    if (end === undefined || until > end) end = until;
  }
  return end;
}

interface Proof {
  readonly from: EpochMs;
  readonly healthyForMs: number;
  readonly gpuUuids: readonly string[];
  readonly facts: RecoveryFacts;
}

/** The instant at which every GPU has been healthy for long enough; the verdict ends exactly there. */
function proved(proof: Proof): Recovery {
  if (proof.gpuUuids.length === 0) return open('No GPU is known whose telemetry could prove a recovery.');
  const each = proof.gpuUuids.map((gpu) => proofOf(proof.facts.healthy.get(gpu) ?? [], proof));
  const started = each.map((one) => one.since).filter((since) => since !== undefined);
  if (each.every((one) => one.provedAt !== undefined)) {
    const at = each.reduce((latest, one) => Math.max(latest, one.provedAt ?? latest), Number(proof.from));
    return cleared('resolved', instantFromMs(at), 'Healthy telemetry has proved the recovery.');
  }
  if (started.length < each.length) return open('No healthy telemetry since the last evidence.');
  const since = instantFromMs(Math.max(...started));
  return {
    state: 'verifying',
    verifyingSince: since,
    clearedAt: undefined,
    lookAgainAt: instantFromMs(since + proof.healthyForMs),
    reason: 'Telemetry is healthy again; it has to stay so before the fault is cleared.',
  };
}

function proofOf(
  healthy: readonly Interval[],
  proof: Proof,
): { since: EpochMs | undefined; provedAt: EpochMs | undefined } {
  for (const [index, stretch] of healthy.entries()) {
    if (stretch.end < proof.from) continue;
    const since = stretch.start > proof.from ? stretch.start : proof.from;
    if (stretch.end - since >= proof.healthyForMs) {
      return { since, provedAt: instantFromMs(since + proof.healthyForMs) };
    }
    // Only the last stretch can still grow into a proof.
    if (index === healthy.length - 1) return { since, provedAt: undefined };
  }
  return { since: undefined, provedAt: undefined };
}

/** The first sign of a reset after the last line of evidence. A GPU that was away and came back is one by itself. */
function firstSign(
  incident: { readonly symptoms: readonly Symptom[]; readonly gpuUuids: readonly string[] },
  how: { readonly facts: RecoveryFacts; readonly anyAbsence: boolean },
): EpochMs | undefined {
  const { facts } = how;
  const points = incident.symptoms.filter((one) => one.until === one.ts);
  const after = points.length === 0 ? firstOf(incident.symptoms) : lastOf(points);
  const bootIds = new Set(points.map((one) => one.bootId).filter((bootId) => bootId !== ''));
  const otherBoots = facts.boots.filter((boot) => bootIds.size > 0 && !bootIds.has(boot.bootId));
  const returns = incident.symptoms.filter((one) => one.until !== one.ts).map((one) => one.until);
  const gpuSigns = incident.gpuUuids.flatMap((gpu) => facts.gpuSigns.get(gpu) ?? []);
  const signs = [...facts.nodeSigns, ...otherBoots.map((boot) => boot.ts), ...returns, ...gpuSigns];
  if (how.anyAbsence)
    signs.push(...incident.gpuUuids.flatMap((gpu) => returnsOf(facts.healthy.get(gpu) ?? [], after)));
  const later = signs.filter((sign) => sign !== undefined && sign >= after).map(Number);
  return later.length === 0 ? undefined : instantFromMs(Math.min(...later));
}

/** Starts of stretches after the evidence: the GPU was away in between. */
function returnsOf(healthy: readonly Interval[], after: EpochMs): EpochMs[] {
  return healthy.map((stretch) => stretch.start).filter((start) => start > after);
}

function lastOf(symptoms: readonly Symptom[]): EpochMs {
  return instantFromMs(symptoms.reduce((latest, one) => Math.max(latest, one.ts), 0));
}

function firstOf(symptoms: readonly Symptom[]): EpochMs {
  return instantFromMs(symptoms.reduce((first, one) => Math.min(first, one.ts), Number.MAX_SAFE_INTEGER));
}

function waitingFor(by: 'reset' | 'return'): string {
  return by === 'reset'
    ? 'No reset or reboot has been seen since the last evidence.'
    : 'The GPU has not come back since the last evidence.';
}

function open(reason: string): Recovery {
  return { state: 'open', verifyingSince: undefined, clearedAt: undefined, lookAgainAt: undefined, reason };
}

function cleared(state: 'resolved' | 'expired', at: EpochMs, reason: string): Recovery {
  return { state, verifyingSince: undefined, clearedAt: at, lookAgainAt: undefined, reason };
}
