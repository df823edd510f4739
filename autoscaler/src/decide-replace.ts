/** Takes nodes with faulty GPUs out of use: no new work at once, a replacement first, removal when the last lease ends. */
import type { SchedulerAction } from '@poolmeter/scheduler';
import { planCapacity } from './capacity-plan.js';
import { removalOf } from './decide-scale-in.js';
import type { ObservedNode } from './observation.js';
import type { Proposal, Reason, Rejection, Target } from './proposal.js';
import { hasBootTimedOut, isFaulty } from './supply.js';
import type { Situation } from './situation.js';

interface Suspect {
  readonly node: ObservedNode;
  readonly why: Reason;
  readonly sinceMs: number;
}

export function decideReplace(situation: Situation): Proposal {
  const rejected: Rejection[] = [];
  const suspects = situation.observation.nodes
    .flatMap((node) => suspectFrom(node, situation, rejected))
    .sort((a, b) => a.sinceMs - b.sinceMs || (a.node.node < b.node.node ? -1 : 1));
  const running = situation.observation.memory.open.filter((open) => open.action === 'replace').length;
  const room = Math.max(0, situation.policy.replace.max_at_once - running);
  for (const { node } of suspects.slice(room)) {
    const reason = `At most ${situation.policy.replace.max_at_once} nodes are replaced at once.`;
    rejected.push({ candidate: node.node, code: 'step_limit', reason });
  }
  return proposalFor(suspects.slice(0, room), situation, rejected);
}

function suspectFrom(node: ObservedNode, situation: Situation, rejected: Rejection[]): Suspect[] {
  const { observation, policy } = situation;
  if (node.state === 'powered_down') return [];
  const open = observation.memory.open.find((each) => each.nodes.includes(node.node));
  const suspect = suspicion(node, situation);
  if (suspect === undefined) return [];
  if (open !== undefined) {
    rejected.push({
      candidate: node.node,
      code: 'in_progress',
      reason: `Decision ${open.id} is working on it.`,
    });
    return [];
  }
  if (observation.observedAtMs - suspect.sinceMs < policy.replace.after_s * 1_000) {
    const reason = `${suspect.why.text} The policy waits for ${policy.replace.after_s} s.`;
    rejected.push({ candidate: node.node, code: 'not_faulty_long', reason });
    return [];
  }
  return [suspect];
}

function suspicion(node: ObservedNode, { observation, policy }: Situation): Suspect | undefined {
  const faulty = node.gpus.filter(isFaulty);
  if (faulty.length > 0) {
    const names = faulty.map((gpu) => `${gpu.gpuUuid} is ${gpu.health}`).join(', ');
    const sinceMs = Math.min(...faulty.map((gpu) => gpu.healthSinceMs ?? observation.observedAtMs));
    return { node, sinceMs, why: { code: 'faulty_gpu', text: `On ${node.node}, ${names}.` } };
  }
  if (hasBootTimedOut(node, observation, policy)) {
    const text = `${node.node} has been booting for more than ${policy.boot_timeout_s} s.`;
    return { node, sinceMs: node.sinceMs, why: { code: 'boot_timeout', text } };
  }
  return undefined;
}

/** Without a way to get a replacement, the node is only closed to new work. */
function proposalFor(suspects: readonly Suspect[], situation: Situation, rejected: Rejection[]): Proposal {
  const { observation, supply, policy } = situation;
  const targets: Target[] = [];
  const plan: SchedulerAction[] = [];
  const replaced = new Set<string>();
  let nodes = supply.nodes;
  for (const { node } of suspects) {
    const gpuModel = node.gpus[0]?.gpuModel;
    const room = nodes < policy.max_nodes && gpuModel !== undefined;
    const added = room ? planCapacity(observation, { gpuModel, nodes: 1, except: replaced }) : undefined;
    if (added === undefined || added.nodes === 0) {
      const reason = room
        ? 'The scheduler cannot bring a replacement into use.'
        : `The pool may have ${policy.max_nodes} nodes, so there is no room for a replacement before it goes.`;
      rejected.push({
        candidate: `a replacement for ${node.node}`,
        code: room ? 'cannot_add' : 'max_nodes',
        reason,
      });
      if (node.state !== 'cordoned' && node.state !== 'draining') {
        targets.push({ node: node.node });
        plan.push({ kind: 'cordon', node: node.node });
      }
      continue;
    }
    const [cordon, ...removal] = removalOf(node.node, ['remove']);
    for (const step of added.plan) if ('node' in step) replaced.add(step.node);
    targets.push({ node: node.node });
    plan.push(...(cordon === undefined ? [] : [cordon]), ...added.plan, ...removal);
    nodes += added.nodes;
  }
  const adds = plan.some((step) => step.kind === 'add' || step.kind === 'power_up');
  const action = targets.length === 0 ? 'none' : adds ? 'replace' : 'cordon';
  const named = new Set(targets.flatMap((target) => ('node' in target ? [target.node] : [])));
  const reasons = suspects.filter(({ node }) => named.has(node.node)).map(({ why }) => why);
  return { action, targets, plan, reasons, rejected };
}
