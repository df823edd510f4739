/** The steps of a decision as they are carried out and stored. */
import type { SchedulerAction } from '@poolmeter/scheduler';

export interface PlanStep {
  readonly action: SchedulerAction;
  readonly state: 'waiting' | 'done' | 'failed';
  readonly detail: string;
  /** RFC 3339; null while it waits. */
  readonly at: string | null;
  /** Nodes that the scheduler named in its answer. */
  readonly nodes: readonly string[];
}

export function stepsOf(plan: readonly SchedulerAction[]): PlanStep[] {
  return plan.map((action) => ({ action, state: 'waiting', detail: '', at: null, nodes: [] }));
}
