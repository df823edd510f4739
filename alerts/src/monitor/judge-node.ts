/** Gathers the evidence about one node from both stores and judges it. */
import { instantFromMs, type EpochMs } from '@poolmeter/domain';
import { telemetryFault, type Fault, type FaultPolicy } from '../policy/fault-policy.js';
import type { IncidentStore } from '../store/incident-store.js';
import type { NodeJudgement } from '../store/write-judgement.js';
import type { FaultEvidence } from '../verdict/evidence.js';
import { healthOfGpus } from '../verdict/gpu-health.js';
import type { FaultIncident } from '../verdict/incident.js';
import { verdicts } from '../verdict/verdicts.js';
import type { EvidenceSource } from './evidence-source.js';

export interface JudgeNodeOptions {
  readonly source: EvidenceSource;
  readonly incidents: IncidentStore;
  readonly policy: FaultPolicy;
  readonly withLeases: boolean;
}

export interface NodeQuestion {
  readonly node: string;
  /** Since when something may have changed. */
  readonly from: EpochMs;
  readonly asOf: EpochMs;
}

/** Evidence this long before a change may still say what the change means, whatever the policy's durations are. */
const LEAST_LOOK_BACK_MS = 10 * 60_000;

/**
 * The window begins early enough for every incident that reaches into it to be judged whole, so that judging a part of
 * history gives what judging all of it would.
 */
export async function judgeNode(question: NodeQuestion, options: JudgeNodeOptions): Promise<NodeJudgement> {
  const { node, asOf } = question;
  const touched = earlier(question.from, asOf) - LEAST_LOOK_BACK_MS;
  const from = await options.incidents.reachBack(node, notNegative(touched));
  const evidence = await gatherEvidence(
    { node, from: notNegative(from - lookBackMs(options.policy)), asOf },
    options,
  );
  const found = verdicts(evidence, options.policy);
  return {
    node,
    from,
    policyVersion: options.policy.version,
    incidents: found.filter((one) => reachesInto(one, from)),
    health: healthOfGpus({ ...evidence, unseenAfterMs: unseenAfterMs(options.policy) }, found),
  };
}

/** How long a GPU may give no sample and still count as seen. */
function unseenAfterMs(policy: FaultPolicy): number {
  const silent = telemetryFault(policy, 'node_silent')?.when.after ?? policy.telemetry.proof_gap;
  const lost = telemetryFault(policy, 'gpu_lost')?.when.after ?? policy.telemetry.proof_gap;
  return Math.max(silent, lost);
}

async function gatherEvidence(question: NodeQuestion, options: JudgeNodeOptions): Promise<FaultEvidence> {
  const { node, from, asOf } = question;
  const span = { node, from, to: asOf };
  const [events, telemetry, signals, leases, resolutions] = await Promise.all([
    options.source.eventsOfNode(node, from),
    options.source.telemetryOfNode(span),
    options.source.signals(span),
    options.withLeases ? options.incidents.leasesOf(node, from) : [],
    options.incidents.resolutionsOf(node),
  ]);
  return { asOf, events, telemetry, signals, leases, resolutions };
}

/** What was over before the window began was judged then, with more evidence than is at hand now. */
function reachesInto(incident: FaultIncident, from: EpochMs): boolean {
  return incident.openedAt >= from || incident.clearedAt === undefined || incident.clearedAt > from;
}

/** Twice the longest time over which the policy looks: a condition that lasts may have begun that long ago. */
export function lookBackMs(policy: FaultPolicy): number {
  const longest = Math.max(...policy.faults.map(longestMs));
  return 2 * longest + LEAST_LOOK_BACK_MS;
}

function longestMs(fault: Fault): number {
  const clear =
    'after' in fault.clear ? fault.clear.after : 'healthy_for' in fault.clear ? fault.clear.healthy_for : 0;
  const lasting = 'for' in fault.when ? fault.when.for : 'after' in fault.when ? fault.when.after : 0;
  return Math.max(clear, lasting, fault.follows?.within ?? 0);
}

function notNegative(ms: number): EpochMs {
  return instantFromMs(Math.max(0, ms));
}

function earlier(a: EpochMs, b: EpochMs): EpochMs {
  return a < b ? a : b;
}
