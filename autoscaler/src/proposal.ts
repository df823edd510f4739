/** What `decide` proposes and what `guard` makes of it. Plain values: they are stored, compared and explained. */
import type { SchedulerAction } from '@poolmeter/scheduler';

export const actions = ['none', 'scale_out', 'scale_in', 'replace', 'cordon'] as const;
export type Action = (typeof actions)[number];

/** A stable code, and the same as a sentence with the numbers of the moment. */
export interface Reason {
  readonly code: string;
  readonly text: string;
}

/** A node by name, or `count` new nodes of a model. */
export type Target = { readonly node: string } | { readonly gpu_model: string; readonly count: number };

/** Something that could have been done, and why it is not. */
export interface Rejection {
  readonly candidate: string;
  readonly code: string;
  readonly reason: string;
}

export interface Proposal {
  readonly action: Action;
  readonly targets: readonly Target[];
  /** In this order; removal steps wait until the node is free. */
  readonly plan: readonly SchedulerAction[];
  readonly reasons: readonly Reason[];
  readonly rejected: readonly Rejection[];
}

export interface GuardHit {
  readonly guard: string;
  /** `block`: nothing is done. `trim`: a part is left out. `advise`: it is left to a person. */
  readonly effect: 'block' | 'trim' | 'advise';
  readonly text: string;
}

/** `act` is carried out, `recommend` waits for a person, `hold` is not safe now, `none` asks for nothing. */
export type Disposition = 'act' | 'recommend' | 'hold' | 'none';

export interface GuardedProposal extends Proposal {
  readonly guards: readonly GuardHit[];
  readonly disposition: Disposition;
}

export function nodesOf(proposal: Pick<Proposal, 'targets'>): string[] {
  return proposal.targets.flatMap((target) => ('node' in target ? [target.node] : []));
}

/** Nodes that a proposal brings into use, by the plan. */
export function addedNodes(plan: readonly SchedulerAction[]): number {
  return plan.reduce(
    (all, step) => all + (step.kind === 'add' ? step.count : step.kind === 'power_up' ? 1 : 0),
    0,
  );
}
