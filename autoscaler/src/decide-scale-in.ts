/** Gives back nodes that nobody uses, longest idle first, while enough stays free for work, headroom and forecast. */
import type { SchedulerAction } from '@poolmeter/scheduler';
import type { ObservedNode } from './observation.js';
import type { Proposal, Reason, Rejection } from './proposal.js';
import { isBusy, isFaulty, isProvedIdle, sum } from './supply.js';
import type { Situation } from './situation.js';

export function decideScaleIn(situation: Situation): Proposal {
  const { observation, policy } = situation;
  const rejected: Rejection[] = [];
  const usable: ObservedNode[] = [];
  for (const node of observation.nodes) {
    const objection = objectionTo(node, situation);
    if (objection === undefined) usable.push(node);
    else if (objection.code !== 'not_running') rejected.push({ candidate: node.node, ...objection });
  }
  usable.sort((a, b) => (a.idleSinceMs ?? 0) - (b.idleSinceMs ?? 0) || (a.node < b.node ? -1 : 1));
  const budget = budgetOf(situation);
  const chosen: ObservedNode[] = [];
  for (const node of usable) {
    const refusal = spend(budget, node, { chosen: chosen.length, situation });
    if (refusal === undefined) chosen.push(node);
    else rejected.push({ candidate: node.node, ...refusal });
  }
  return {
    action: chosen.length > 0 ? 'scale_in' : 'none',
    targets: chosen.map(({ node }) => ({ node })),
    plan: chosen.flatMap((node) => removalOf(node.node, observation.capabilities)),
    reasons: chosen.map((node) => idleReason(node, observation.observedAtMs, policy.scale_in.idle_for_s)),
    rejected,
  };
}

/** Cordon, drain, then switch off where that is possible, else remove. */
export function removalOf(node: string, capabilities: readonly string[]): SchedulerAction[] {
  const last = capabilities.includes('power_down') ? 'power_down' : 'remove';
  return [
    { kind: 'cordon', node },
    { kind: 'drain', node },
    { kind: last, node },
  ];
}

type Objection = Omit<Rejection, 'candidate'>;

function objectionTo(node: ObservedNode, situation: Situation): Objection | undefined {
  const { observation, policy } = situation;
  if (node.state !== 'ready') return { code: 'not_running', reason: `It is ${node.state}.` };
  const open = observation.memory.open.find((each) => each.nodes.includes(node.node));
  if (open !== undefined) return { code: 'in_progress', reason: `Decision ${open.id} is working on it.` };
  const leases = new Set(node.gpus.flatMap((gpu) => gpu.leaseIds));
  if (leases.size > 0) return { code: 'leased', reason: `${leases.size} leases run on it.` };
  const busy = node.gpus.filter((gpu) => isBusy(gpu, policy)).length;
  if (busy > 0) return { code: 'busy', reason: `${busy} of its GPUs are at work without a lease.` };
  if (node.gpus.some(isFaulty))
    return { code: 'faulty', reason: 'It has a faulty GPU: it is replaced, not given back.' };
  if (!node.gpus.every((gpu) => isProvedIdle(gpu, observation, policy))) {
    return {
      code: 'unseen',
      reason: 'Not all of its GPUs have fresh samples of their activity, so idle is not proved.',
    };
  }
  const idleMs = node.idleSinceMs === null ? 0 : observation.observedAtMs - node.idleSinceMs;
  if (idleMs >= policy.scale_in.idle_for_s * 1_000) return undefined;
  return { code: 'not_idle_long', reason: `It has not been idle for ${policy.scale_in.idle_for_s} s yet.` };
}

interface Budget {
  readonly spareByModel: Map<string, number>;
  /** Nodes that waiting work needs no GPU of; a gang's are spoken for as a whole. */
  readonly wholeByModel: Map<string, number>;
  spare: number;
  nodes: number;
}

/** What is free now and needed neither by waiting work nor as a reserve. Booting nodes are not counted on for this. */
function budgetOf({ supply, placement, reserveGpus }: Situation): Budget {
  const spareByModel = new Map(
    supply.byModel.map((model) => [
      model.gpuModel,
      Math.max(0, Math.min(model.free, (placement.left.get(model.gpuModel) ?? 0) - model.coming)),
    ]),
  );
  const wholeByModel = new Map(
    supply.byModel.map(({ gpuModel, gpusPerNode, coming }) => [
      gpuModel,
      (placement.wholeLeft.get(gpuModel) ?? 0) - Math.floor(coming / gpusPerNode),
    ]),
  );
  return {
    spareByModel,
    wholeByModel,
    spare: sum([...spareByModel.values()]) - reserveGpus,
    nodes: supply.nodes,
  };
}

function spend(
  budget: Budget,
  node: ObservedNode,
  { chosen, situation: { policy, supply } }: { chosen: number; situation: Situation },
): Objection | undefined {
  if (budget.nodes - 1 < policy.min_nodes) {
    return { code: 'min_nodes', reason: `The pool keeps at least ${policy.min_nodes} nodes.` };
  }
  const model = node.gpus[0]?.gpuModel ?? '';
  const spare = Math.min(budget.spare, budget.spareByModel.get(model) ?? 0);
  const perNode = supply.byModel.find((each) => each.gpuModel === model)?.gpusPerNode;
  const spokenFor = node.gpus.length === perNode && (budget.wholeByModel.get(model) ?? 0) < 1;
  if (node.gpus.length > spare || spokenFor) {
    return { code: 'needed', reason: 'Its GPUs are needed for waiting work, headroom or expected growth.' };
  }
  if (chosen >= policy.scale_in.max_nodes_per_step) {
    return {
      code: 'step_limit',
      reason: `At most ${policy.scale_in.max_nodes_per_step} nodes are given back at once.`,
    };
  }
  budget.nodes -= 1;
  budget.wholeByModel.set(model, (budget.wholeByModel.get(model) ?? 0) - 1);
  budget.spare -= node.gpus.length;
  budget.spareByModel.set(model, (budget.spareByModel.get(model) ?? 0) - node.gpus.length);
  return undefined;
}

function idleReason(node: ObservedNode, nowMs: number, idleForS: number): Reason {
  const minutes = Math.floor((nowMs - (node.idleSinceMs ?? nowMs)) / 60_000);
  return {
    code: 'idle',
    text: `${node.node} has had no lease for ${minutes} min (limit ${idleForS} s), and enough stays free without it.`,
  };
}
