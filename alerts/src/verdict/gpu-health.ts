/** The state of each GPU that follows from its incidents. A silent GPU is neither healthy nor faulty. */
import { instantFromMs, type EpochMs } from '@poolmeter/domain';
import type { FaultEvidence, GpuTelemetry } from './evidence.js';
import type { FaultIncident, GpuHealth, GpuState } from './incident.js';
import { compareText } from './read-events.js';

/** Which state wins where several incidents concern one GPU: what is not known cannot be called faulty. */
const precedence: readonly GpuState[] = ['unknown', 'lost', 'faulty', 'verifying', 'healthy'];

export interface HealthEvidence extends Pick<FaultEvidence, 'asOf' | 'telemetry'> {
  /** A GPU that gave no sample for longer is not known to be healthy, whatever its incidents say. */
  readonly unseenAfterMs: number;
}

/** The states as of the evidence's end, by GPU. */
export function healthOfGpus(evidence: HealthEvidence, incidents: readonly FaultIncident[]): GpuHealth[] {
  const byGpu = new Map<string, GpuTelemetry[]>();
  for (const one of evidence.telemetry) byGpu.set(one.gpuUuid, [...(byGpu.get(one.gpuUuid) ?? []), one]);
  return [...byGpu.values()]
    .map((telemetry) => healthOfGpu(telemetry, { ...evidence, incidents }))
    .sort((a, b) => compareText(a.gpuUuid, b.gpuUuid));
}

function healthOfGpu(
  telemetry: readonly GpuTelemetry[],
  by: {
    readonly asOf: EpochMs;
    readonly unseenAfterMs: number;
    readonly incidents: readonly FaultIncident[];
  },
): GpuHealth {
  // Facts about one GPU may come in pieces; the smallest stands for its place, whatever their order.
  const place = [...telemetry].sort((a, b) => compareText(placeKey(a), placeKey(b)))[0];
  if (place === undefined) throw new Error('Invariant broken: a GPU with a state has telemetry.');
  const { gpuUuid, node, pool } = place;
  const concerning = by.incidents.filter((one) => one.verdicts.some((each) => each.gpuUuid === gpuUuid));
  const states = concerning.flatMap((incident) => stateOf(incident));
  const worst = states.sort((a, b) => rank(a.state) - rank(b.state) || a.since - b.since)[0];
  if (worst !== undefined) return { gpuUuid, node, pool, sinceFirstSeen: false, ...worst };
  const seen = telemetry.flatMap((one) => one.seen);
  const lastSeen = seen.reduce((last, one) => Math.max(last, one.end), 0);
  if (by.asOf - lastSeen >= by.unseenAfterMs) {
    const since = lastSeen === 0 ? by.asOf : instantFromMs(lastSeen);
    return {
      gpuUuid,
      node,
      pool,
      state: 'unknown',
      since,
      sinceFirstSeen: lastSeen === 0,
      incident: undefined,
    };
  }
  const firstSeen = seen.reduce((first, one) => Math.min(first, one.start), Number(by.asOf));
  const cleared = concerning
    .filter((one) => one.fault.health !== 'unaffected')
    .map((one) => one.clearedAt ?? 0);
  const since = instantFromMs(Math.max(firstSeen, ...cleared));
  return {
    gpuUuid,
    node,
    pool,
    state: 'healthy',
    since,
    sinceFirstSeen: since === firstSeen,
    incident: undefined,
  };
}

function placeKey(gpu: GpuTelemetry): string {
  return `${gpu.node}|${gpu.pool}`;
}

function stateOf(incident: FaultIncident): { state: GpuState; since: EpochMs; incident: FaultIncident }[] {
  if (incident.clearedAt !== undefined || incident.fault.health === 'unaffected') return [];
  if (incident.state === 'verifying') {
    return [{ state: 'verifying', since: incident.verifyingSince ?? incident.openedAt, incident }];
  }
  return [{ state: incident.fault.health, since: incident.openedAt, incident }];
}

function rank(state: GpuState): number {
  return precedence.indexOf(state);
}
