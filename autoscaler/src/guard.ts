/**
 * The last word before anything is done: rules that hold whatever was proposed and why. Pure, and checked against
 * random worlds. It may block or trim a proposal; it never adds to one.
 */
import type { SchedulerAction } from '@poolmeter/scheduler';
import { approval, costCap } from './guard-money.js';
import { backOff, flapping, rateLimit } from './guard-pace.js';
import { addedByModel, advise, block, type Judged, type Rule } from './guard-rule.js';
import type { ObservedNode, PoolObservation } from './observation.js';
import {
  addedNodes,
  nodesOf,
  type Disposition,
  type GuardedProposal,
  type GuardHit,
  type Proposal,
} from './proposal.js';
import type { ScalingPolicy } from './scaling-policy.js';
import { hasBootTimedOut, isFaulty, isProvedIdle, sum, supplyOf, type PoolSupply } from './supply.js';

export function guard(
  proposal: Proposal,
  {
    observation,
    policy,
    supply = supplyOf(observation, policy),
  }: { observation: PoolObservation; policy: ScalingPolicy; supply?: PoolSupply },
): GuardedProposal {
  if (proposal.action === 'none') return { ...proposal, guards: [], disposition: 'none' };
  const { trimmed, hits } = withoutUnsafeNodes({ proposal, observation, policy, supply });
  const judged: Judged = { proposal: trimmed, observation, policy, supply };
  const guards = [...hits, ...rules.flatMap((rule) => rule(judged))];
  return { ...trimmed, guards, disposition: dispositionOf(guards) };
}

function dispositionOf(guards: readonly GuardHit[]): Disposition {
  if (guards.some((hit) => hit.effect === 'block')) return 'hold';
  return guards.some((hit) => hit.effect === 'advise') ? 'recommend' : 'act';
}

/** Nodes whose GPUs are leased, at work or out of sight are struck from a scale-in, one by one. */
function withoutUnsafeNodes({ proposal, observation, policy }: Judged): {
  trimmed: Proposal;
  hits: GuardHit[];
} {
  if (proposal.action !== 'scale_in') return { trimmed: proposal, hits: [] };
  const unsafe = new Set(
    nodesOf(proposal).filter((name) => {
      const node = observation.nodes.find((each) => each.node === name);
      return node === undefined || !node.gpus.every((gpu) => isProvedIdle(gpu, observation, policy));
    }),
  );
  if (unsafe.size === 0) return { trimmed: proposal, hits: [] };
  const kept = (step: SchedulerAction) => !('node' in step) || !unsafe.has(step.node);
  const targets = proposal.targets.filter((target) => !('node' in target) || !unsafe.has(target.node));
  const text = `Leased, busy or out of sight: ${[...unsafe].join(', ')}.`;
  const hit: GuardHit = { guard: 'leased_or_busy', effect: targets.length === 0 ? 'block' : 'trim', text };
  return { trimmed: { ...proposal, targets, plan: proposal.plan.filter(kept) }, hits: [hit] };
}

type StepKind = SchedulerAction['kind'];

const onTargets: Readonly<Record<GuardedProposal['action'], readonly StepKind[]>> = {
  none: [],
  scale_out: [],
  scale_in: ['cordon', 'drain', 'remove', 'power_down'],
  replace: ['cordon', 'drain', 'remove'],
  cordon: ['cordon'],
};

/** An action does what its name says, to the nodes that it names, and nothing else. */
const planFits: Rule = ({ proposal }) => {
  const named = new Set(nodesOf(proposal));
  const adds = proposal.action === 'scale_out' || proposal.action === 'replace';
  const strange = proposal.plan.filter((step) => {
    if (step.kind === 'add' || step.kind === 'power_up') return !adds;
    return !onTargets[proposal.action].includes(step.kind) || !named.has(step.node);
  });
  if (strange.length === 0) return [];
  const steps = strange.map((step) => ('node' in step ? `${step.kind} ${step.node}` : step.kind)).join(', ');
  return block('plan_fits', `These steps are no part of ${proposal.action}: ${steps}.`);
};

const paused: Rule = ({ observation, proposal }) => {
  if (observation.paused) return block('paused', 'The pool is paused.');
  if (observation.scaleInPaused === true && proposal.action === 'scale_in') {
    return block('scale_in_paused', 'Nothing is given back while scale-in is paused.');
  }
  return [];
};

const mode: Rule = ({ proposal, observation }) => {
  if (observation.mode === 'full') return [];
  if (observation.mode === 'scale_out' && proposal.action === 'scale_out') return [];
  const text =
    observation.mode === 'recommend'
      ? 'The pool is in mode recommend.'
      : 'The pool only scales out by itself.';
  return advise('mode', text);
};

/** Removing on doubtful data could take what is in use; adding on it is bounded by the caps. */
const doubtfulData: Rule = ({ proposal, observation, supply }) => {
  if (!observation.sources.scheduler.ok) return block('scheduler_failed', 'The scheduler does not answer.');
  if (proposal.action === 'scale_out') return [];
  return supply.faults.flatMap((fault) => block(fault.code, fault.text));
};

const restartWindow: Rule = ({ proposal, observation, policy }) => {
  const sinceS = (observation.observedAtMs - observation.memory.decidingSinceMs) / 1_000;
  if (proposal.action !== 'scale_in' || sinceS >= policy.scale_in.after_restart_s) return [];
  return block(
    'restart_window',
    `Nothing is removed in the first ${policy.scale_in.after_restart_s} s after a start.`,
  );
};

const cooldown: Rule = ({ proposal, observation, policy }) => {
  const { lastScaleOutMs, lastScaleInMs, lastReplaceMs } = observation.memory;
  const within = (lastMs: number | null, limitS: number) =>
    lastMs !== null && observation.observedAtMs - lastMs < limitS * 1_000;
  const text = (limitS: number) => `The last such action was less than ${limitS} s ago.`;
  switch (proposal.action) {
    case 'scale_out':
      return within(lastScaleOutMs, policy.scale_out.cooldown_s)
        ? block('cooldown', text(policy.scale_out.cooldown_s))
        : [];
    case 'scale_in':
      return within(lastScaleOutMs, policy.scale_in.cooldown_s) ||
        within(lastScaleInMs, policy.scale_in.cooldown_s)
        ? block('cooldown', text(policy.scale_in.cooldown_s))
        : [];
    case 'replace':
    case 'cordon':
      return within(lastReplaceMs, policy.replace.cooldown_s)
        ? block('cooldown', text(policy.replace.cooldown_s))
        : [];
    case 'none':
      return [];
  }
};

const stepLimit: Rule = ({ proposal, policy }) => {
  const added = addedNodes(proposal.plan);
  const removed = nodesOf(proposal).length;
  if (proposal.action === 'scale_out' && added > policy.scale_out.max_nodes_per_step) {
    return block(
      'step_limit',
      `${added} nodes at once; the policy allows ${policy.scale_out.max_nodes_per_step}.`,
    );
  }
  if (proposal.action === 'scale_in' && removed > policy.scale_in.max_nodes_per_step) {
    return block(
      'step_limit',
      `${removed} nodes at once; the policy allows ${policy.scale_in.max_nodes_per_step}.`,
    );
  }
  if (proposal.action === 'replace' && removed > policy.replace.max_at_once) {
    return block('step_limit', `${removed} nodes at once; the policy allows ${policy.replace.max_at_once}.`);
  }
  return [];
};

const caps: Rule = ({ proposal, observation, policy, supply }) => {
  const nodes = supply.nodes + addedNodes(proposal.plan);
  const gpus = supply.gpus + sum(addedByModel(proposal.plan, { supply, observation }).map((one) => one.gpus));
  const added = addedNodes(proposal.plan) > 0;
  return [
    ...(added && nodes > policy.max_nodes
      ? block('max_nodes', `It would make ${nodes} nodes; the cap is ${policy.max_nodes}.`)
      : []),
    ...(added && proposal.action === 'scale_out' && gpus > policy.max_gpus
      ? block('max_gpus', `It would make ${gpus} GPUs; the cap is ${policy.max_gpus}.`)
      : []),
    ...(proposal.action === 'scale_in' && supply.nodes - nodesOf(proposal).length < policy.min_nodes
      ? block('min_nodes', `It would leave fewer than ${policy.min_nodes} nodes.`)
      : []),
  ];
};

/** Many nodes at fault at once is more likely a fault of what looks at them. Booting nodes are not sick. */
const breaker: Rule = ({ observation, policy }) => {
  const judged = observation.nodes.filter(
    (node) => node.state !== 'powered_down' && node.state !== 'booting',
  );
  const sick = judged.filter((node) => isSick(node) || hasBootTimedOut(node, observation, policy)).length;
  const { unhealthy_ratio: ratio, floor_nodes: floor } = policy.breaker;
  if (sick <= floor || sick <= ratio * judged.length) return [];
  return block(
    'circuit_breaker',
    `${sick} of ${judged.length} nodes look unhealthy: a person should look first.`,
  );
};

function isSick(node: ObservedNode): boolean {
  return node.state === 'down' || node.state === 'unknown' || node.gpus.some(isFaulty);
}

const capable: Rule = ({ proposal, observation }) => {
  const missing = proposal.plan.filter((step) => !observation.capabilities.includes(step.kind));
  if (missing.length === 0) return [];
  const kinds = [...new Set(missing.map((step) => step.kind))].join(', ');
  return advise('capability', `The scheduler cannot do this by itself: ${kinds}.`);
};

const rules: readonly Rule[] = [
  planFits,
  paused,
  mode,
  doubtfulData,
  restartWindow,
  cooldown,
  backOff,
  flapping,
  stepLimit,
  rateLimit,
  caps,
  costCap,
  breaker,
  capable,
  approval,
];
