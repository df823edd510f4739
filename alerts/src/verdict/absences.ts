/** Absence of telemetry as evidence: a silent node, and a GPU that vanished from a node that still talks. */
import { instantFromMs, interval, subtract, union, type EpochMs, type Interval } from '@poolmeter/domain';
import { telemetryFault, type Fault, type FaultPolicy } from '../policy/fault-policy.js';
import { policyOfPool } from '../policy/policy-of-pool.js';
import { eventId, FOREVER, type EventEvidence, type FaultEvidence, type GpuTelemetry } from './evidence.js';
import type { Symptom } from './incident.js';

/** The kind of a symptom that no event tells of: samples simply stopped. */
export const INFERRED_GAP = 'telemetry.gap';

/** A stretch without telemetry; `end` is undefined while it goes on. */
interface Absence {
  readonly start: EpochMs;
  readonly end: EpochMs | undefined;
  readonly id: string;
  readonly message: string;
  readonly event: EventEvidence | undefined;
}

/** The symptoms of `gpu_lost` and `node_silent` on one node. `events` are distinct and in time order. */
export function symptomsOfAbsence(
  evidence: FaultEvidence & { readonly node: string },
  policy: FaultPolicy,
): Symptom[] {
  const silence = telemetryFault(policyOfPool(policy, evidence.telemetry[0]?.pool ?? ''), 'node_silent');
  const nodeSeen = unionOfStretches(evidence.telemetry.flatMap((gpu) => gpu.seen));
  const silences =
    silence === undefined ? [] : nodeSilences({ evidence, nodeSeen, afterMs: silence.when.after });
  const symptoms = silences.map((one) => symptomOf(one, { fault: silence?.fault, evidence, gpu: undefined }));
  const known = new Map(evidence.telemetry.map((gpu) => [gpu.gpuUuid, gpu]));
  for (const { event } of evidence.events) {
    if (event.kind === 'gpu.lost' && event.gpuUuid !== '' && !known.has(event.gpuUuid)) {
      known.set(event.gpuUuid, unseenGpu(event));
    }
  }
  for (const gpu of known.values()) {
    const lost = telemetryFault(policyOfPool(policy, gpu.pool), 'gpu_lost');
    if (lost === undefined) continue;
    const absences = gpuAbsences({ evidence, gpu, silences, nodeSeen, afterMs: lost.when.after });
    symptoms.push(...absences.map((one) => symptomOf(one, { fault: lost.fault, evidence, gpu })));
  }
  return symptoms.flat();
}

interface NodeQuestion {
  readonly evidence: FaultEvidence & { readonly node: string };
  /** When any GPU of the node gave samples. */
  readonly nodeSeen: readonly Interval[];
  readonly afterMs: number;
}

/** The collector's word about its source comes first; a gap counts where the collector said nothing (it was gone too). */
function nodeSilences(question: NodeQuestion): Absence[] {
  const told = toldAbsences(question.evidence.events, {
    startKind: 'source.down',
    endKind: 'source.back',
    seen: question.nodeSeen,
    concerns: () => true,
  });
  const id = `telemetry/${question.evidence.node}/node_silent`;
  const gaps = gapsIn(question.nodeSeen, { asOf: question.evidence.asOf, afterMs: question.afterMs });
  const limits = { told, afterMs: question.afterMs };
  return [
    ...told,
    ...untold(gaps, limits).map((gap) => inferred(gap, id, 'No GPU of the node gave a sample')),
  ];
}

/** A GPU is lost while its node is seen: what the node's silence explains is no loss of the GPU. */
function gpuAbsences(
  question: NodeQuestion & { gpu: GpuTelemetry; silences: readonly Absence[] },
): Absence[] {
  const { evidence, gpu } = question;
  const told = toldAbsences(evidence.events, {
    startKind: 'gpu.lost',
    endKind: 'gpu.appeared',
    seen: gpu.seen,
    concerns: (event) => event.gpuUuid === gpu.gpuUuid,
  });
  const id = `telemetry/${gpu.node}/gpu_lost/${gpu.gpuUuid}`;
  const unwatched = [...question.silences.map(asInterval), ...pausesBetween(question.nodeSeen)];
  const gaps = gapsIn(gpu.seen, { asOf: evidence.asOf, afterMs: question.afterMs }).flatMap((gap): Gap[] => {
    const whole = interval(gap.start, gap.end ?? evidence.asOf);
    const watched = subtract(whole, unwatched);
    const watchedMs = watched.reduce((sum, one) => sum + (one.end - one.start), 0);
    const first = watched[0];
    return first === undefined || watchedMs < question.afterMs ? [] : [{ start: first.start, end: gap.end }];
  });
  const limits = { told, afterMs: question.afterMs };
  return [...told, ...untold(gaps, limits).map((gap) => inferred(gap, id, 'The GPU gave no sample'))];
}

/** Time in which nobody can say that a GPU is missing, because its node gave nothing. */
function pausesBetween(seen: readonly Interval[]): Interval[] {
  return seen.flatMap((one, index) => {
    const next = seen[index + 1];
    return interval(one.end, next === undefined ? FOREVER : next.start);
  });
}

interface Gap {
  readonly start: EpochMs;
  readonly end: EpochMs | undefined;
}

/** Pauses of at least `afterMs`, the one up to `asOf` included. Time before the first sample is no pause. */
function gapsIn(seen: readonly Interval[], limits: { asOf: EpochMs; afterMs: number }): Gap[] {
  const stretches = unionOfStretches(seen);
  return stretches.flatMap((one, index): Gap[] => {
    const end = stretches[index + 1]?.start;
    return (end ?? limits.asOf) - one.end >= limits.afterMs ? [{ start: one.end, end }] : [];
  });
}

interface ToldOptions {
  readonly startKind: string;
  readonly endKind: string;
  readonly seen: readonly Interval[];
  readonly concerns: (event: EventEvidence['event']) => boolean;
}

/** Absences that events tell of. One ends at its own end event or at the next sample, whichever is first. */
function toldAbsences(events: readonly EventEvidence[], options: ToldOptions): Absence[] {
  const absences: Absence[] = [];
  for (const [index, one] of events.entries()) {
    if (one.event.kind !== options.startKind || !options.concerns(one.event)) continue;
    const start = firstMissedAt(one.event);
    const last = absences.at(-1);
    if (last !== undefined && (last.end === undefined || start < last.end)) continue;
    const back = events
      .slice(index + 1)
      .find(({ event }) => event.kind === options.endKind && options.concerns(event) && event.ts > start);
    const end = endOfAbsence({ start, toldAt: back?.event.ts, seen: options.seen });
    absences.push({ start, end, id: eventId(one.event), message: one.event.message, event: one });
  }
  return absences;
}

/** A source is called down after several failures; it was the first of them that left a gap. */
function firstMissedAt(event: EventEvidence['event']): EpochMs {
  const told = event.detail['first_failure_at_ms'];
  return typeof told === 'number' && Number.isSafeInteger(told) && told <= event.ts
    ? instantFromMs(told)
    : event.ts;
}

function endOfAbsence(of: {
  start: EpochMs;
  toldAt: EpochMs | undefined;
  seen: readonly Interval[];
}): EpochMs | undefined {
  // A stretch that spans the start never broke off: the absence was shorter than the gap that ends a stretch.
  const spanned = of.seen.some((one) => one.start <= of.start && one.end > of.start);
  if (spanned) return of.toldAt ?? instantFromMs(of.start + 1);
  const sampledAt = earliest(...of.seen.map((one) => one.start).filter((start) => start > of.start));
  return earliest(of.toldAt, sampledAt);
}

/** Gaps that events leave unexplained: those that began long before the first event about them. */
function untold(gaps: readonly Gap[], by: { told: readonly Absence[]; afterMs: number }): Gap[] {
  return gaps.filter((gap) => {
    const whole = asInterval(gap);
    const inside = by.told.filter((one) => one.start < whole.end && whole.start <= asInterval(one).end);
    const firstTold = earliest(...inside.map((one) => one.start));
    return firstTold === undefined || firstTold - whole.start >= by.afterMs;
  });
}

function inferred(gap: Gap, id: string, what: string): Absence {
  return { ...gap, id: `${id}/${gap.start}`, message: `${what} after this instant.`, event: undefined };
}

function symptomOf(
  absence: Absence,
  of: { fault: Fault | undefined; evidence: NodeQuestion['evidence']; gpu: GpuTelemetry | undefined },
): Symptom[] {
  if (of.fault === undefined) return [];
  const place = of.gpu ?? of.evidence.telemetry[0];
  const event = absence.event?.event;
  return [
    {
      id: absence.id,
      fault: of.fault,
      node: of.evidence.node,
      gpuUuid: of.gpu?.gpuUuid ?? '',
      gpuInstance: '',
      pciBusId: '',
      ts: absence.start,
      until: absence.end,
      kind: event?.kind ?? INFERRED_GAP,
      code: 0,
      message: absence.message,
      bootId: '',
      pool: event?.pool ?? place?.pool ?? '',
      providerId: event?.providerId ?? place?.providerId ?? '',
      demo: event?.demo ?? place?.demo ?? false,
      position: absence.event?.position,
      recoveryAction: 0,
    },
  ];
}

function unseenGpu(event: EventEvidence['event']): GpuTelemetry {
  const { node, gpuUuid, pool, providerId, demo } = event;
  return { node, gpuUuid, pool, providerId, demo, seen: [], unwell: [] };
}

/** A single sample is a stretch without length, which interval arithmetic would drop: widen, unite, narrow again. */
function unionOfStretches(stretches: readonly Interval[]): Interval[] {
  const wide = stretches.map((one) => interval(one.start, instantFromMs(one.end + 1)));
  return union(wide).map((one) => interval(one.start, instantFromMs(one.end - 1)));
}

function asInterval(gap: Gap): Interval {
  return interval(gap.start, gap.end ?? FOREVER);
}

function earlier(a: EpochMs, b: EpochMs): EpochMs {
  return a < b ? a : b;
}

function earliest(...instants: readonly (EpochMs | undefined)[]): EpochMs | undefined {
  const known = instants.filter((one) => one !== undefined);
  return known.length === 0 ? undefined : known.reduce(earlier);
}
