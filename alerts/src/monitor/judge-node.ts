/** Gathers the evidence about one node from both stores and judges it. */
import { instantFromMs, type EpochMs } from '@poolmeter/domain';
import { telemetryFault, type FaultPolicy } from '../policy/fault-policy.js';
import type { IncidentStore } from '../store/incident-store.js';
import type { NodeJudgement } from '../store/write-judgement.js';
import type { FaultEvidence } from '../verdict/evidence.js';
import { healthOfGpus } from '../verdict/gpu-health.js';
import type { FaultIncident } from '../verdict/incident.js';
import { verdicts } from '../verdict/verdicts.js';
import type { EvidenceSource } from './evidence-source.js';
import { countedXids, LEAST_LOOK_BACK_MS, lookBackMs, repeatsReachMs } from './policy-reach.js';

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
  const earlier = { node, from: notNegative(from - repeatsReachMs(options.policy)), to: from };
  const [events, history, telemetry, signals, peers, leases, resolutions] = await Promise.all([
    options.source.eventsOfNode(node, from),
    options.source.xidsOfNode(earlier, countedXids(options.policy)),
    options.source.telemetryOfNode(span),
    options.source.signals(span),
    options.incidents.peerFindingsOf(node, from),
    options.withLeases ? options.incidents.leasesOf(node, earlier.from) : [],
    options.incidents.resolutionsOf(node),
  ]);
  return { asOf, events, history, telemetry, signals: [...signals, ...peers], leases, resolutions };
}

/** What was over before the window began was judged then, with more evidence than is at hand now. */
function reachesInto(incident: FaultIncident, from: EpochMs): boolean {
  return incident.openedAt >= from || incident.clearedAt === undefined || incident.clearedAt > from;
}

function notNegative(ms: number): EpochMs {
  return instantFromMs(Math.max(0, ms));
}

function earlier(a: EpochMs, b: EpochMs): EpochMs {
  return a < b ? a : b;
}
