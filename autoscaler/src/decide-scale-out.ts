/** Adds nodes for work that would wait too long, and for headroom. Gangs get all of their GPUs or none. */
import type { SchedulerAction } from '@poolmeter/scheduler';
import { planCapacity } from './capacity-plan.js';
import { isDue, type Shortage } from './place-demand.js';
import type { Proposal, Reason, Rejection, Target } from './proposal.js';
import { sum } from './supply.js';
import type { Situation } from './situation.js';

/** How many nodes each model gets, and what was learned while counting. */
interface Order {
  readonly nodes: Map<string, number>;
  readonly missing: Map<string, number>;
  readonly reasons: Reason[];
  readonly rejected: Rejection[];
}

export function decideScaleOut(situation: Situation): Proposal {
  const order: Order = { nodes: new Map(), missing: new Map(), reasons: [], rejected: [] };
  for (const demand of situation.placement.impossible) {
    const reason = `No node of this pool has ${demand.gpuModel ?? 'a GPU'}.`;
    order.rejected.push({ candidate: `work ${demand.id}`, code: 'model_unknown', reason });
  }
  for (const shortage of situation.placement.shortages) orderForShortage(shortage, { situation, order });
  orderForHeadroom(situation, order);
  return proposalFrom(situation, order);
}

function orderForShortage(
  shortage: Shortage,
  { situation, order }: { situation: Situation; order: Order },
): void {
  const { observation, policy } = situation;
  const { demand, gpuModel, missingGpus } = shortage;
  const candidate = `nodes for work ${demand.id}`;
  if (!isDue(demand, observation, policy)) {
    const reason = `It waits for ${missingGpus} GPUs, but not long enough yet for the target of ${policy.target_wait_s} s.`;
    order.rejected.push({ candidate, code: 'not_due', reason });
    return;
  }
  const missing = (order.missing.get(gpuModel) ?? 0) + missingGpus;
  const wanted = Math.ceil(missing / perNode(situation, gpuModel));
  const ordered = order.nodes.get(gpuModel) ?? 0;
  const room = roomFor(situation, order, gpuModel);
  const extra = Math.min(wanted - ordered, room.nodes);
  if (extra < wanted - ordered && (demand.gang || extra <= 0)) {
    const all = demand.gang ? `It needs ${wanted - ordered} more nodes at once` : 'It needs another node';
    order.rejected.push({ candidate, code: room.code, reason: `${all}; ${room.text}` });
    return;
  }
  order.nodes.set(gpuModel, ordered + extra);
  order.missing.set(gpuModel, missing);
  if (extra < wanted - ordered) order.rejected.push({ candidate, code: room.code, reason: room.text });
  order.reasons.push({
    code: 'waiting_work',
    text: `Work ${demand.id} lacks ${missingGpus} of ${demand.gpus} ${gpuModel} and would wait longer than ${policy.target_wait_s} s.`,
  });
}

function orderForHeadroom(situation: Situation, order: Order): void {
  const { supply, placement, reserveGpus } = situation;
  const added = sum([...order.nodes].map(([model, nodes]) => nodes * perNode(situation, model)));
  const spent = sum([...order.missing.values()]);
  const free = sum([...placement.left.values()]) + Math.max(0, added - spent);
  // With work unplaced, whatever is free belongs to it; headroom comes after it.
  const short = reserveGpus - free;
  const model = [...supply.byModel].sort(
    (a, b) => b.healthy - a.healthy || (a.gpuModel < b.gpuModel ? -1 : 1),
  )[0];
  if (short <= 0 || model === undefined) return;
  const wanted = Math.ceil(short / model.gpusPerNode);
  const room = roomFor(situation, order, model.gpuModel);
  const extra = Math.min(wanted, room.nodes);
  if (extra < wanted) {
    order.rejected.push({ candidate: 'nodes for headroom', code: room.code, reason: room.text });
  }
  if (extra <= 0) return;
  order.nodes.set(model.gpuModel, (order.nodes.get(model.gpuModel) ?? 0) + extra);
  order.reasons.push({
    code: 'headroom',
    text: `${free} GPUs are free or coming, ${reserveGpus} should be: headroom and expected growth.`,
  });
}

interface Room {
  readonly nodes: number;
  readonly code: string;
  readonly text: string;
}

/** What the step limit and the caps still allow; the tightest one gives the reason. */
function roomFor(situation: Situation, order: Order, gpuModel: string): Room {
  const { supply, policy } = situation;
  const ordered = sum([...order.nodes.values()]);
  const orderedGpus = sum([...order.nodes].map(([model, nodes]) => nodes * perNode(situation, model)));
  const step = policy.scale_out.max_nodes_per_step;
  const gpusLeft = policy.max_gpus - supply.gpus - orderedGpus;
  const rooms: Room[] = [
    { nodes: step - ordered, code: 'step_limit', text: `At most ${step} nodes are added at once.` },
    {
      nodes: policy.max_nodes - supply.nodes - ordered,
      code: 'max_nodes',
      text: `The pool may have ${policy.max_nodes} nodes.`,
    },
    {
      nodes: Math.floor(gpusLeft / perNode(situation, gpuModel)),
      code: 'max_gpus',
      text: `The pool may have ${policy.max_gpus} GPUs.`,
    },
  ];
  const tightest = rooms.reduce((least, room) => (room.nodes < least.nodes ? room : least));
  return { ...tightest, nodes: Math.max(0, tightest.nodes) };
}

function perNode({ supply }: Situation, gpuModel: string): number {
  return supply.byModel.find((model) => model.gpuModel === gpuModel)?.gpusPerNode ?? 8;
}

function proposalFrom(situation: Situation, order: Order): Proposal {
  const targets: Target[] = [];
  const plan: SchedulerAction[] = [];
  for (const [gpuModel, nodes] of order.nodes) {
    if (nodes === 0) continue;
    const capacity = planCapacity(situation.observation, { gpuModel, nodes });
    targets.push(...capacity.targets);
    plan.push(...capacity.plan);
    if (capacity.nodes < nodes) {
      const reason = `The scheduler can bring ${capacity.nodes} of ${nodes} nodes into use.`;
      order.rejected.push({ candidate: `${nodes} nodes of ${gpuModel}`, code: 'cannot_add', reason });
    }
  }
  const action = targets.length > 0 ? 'scale_out' : 'none';
  return { action, targets, plan, reasons: order.reasons, rejected: order.rejected };
}
