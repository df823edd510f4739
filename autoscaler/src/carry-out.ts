/**
 * Carries a decision out, step by step: cordon, look again, drain, look again, remove. Each step is stored before the
 * next one; a repeat after a crash carries the same key, so the scheduler does it once.
 */
import { formatInstant, messageOf, type Clock } from '@poolmeter/domain';
import type { ActionOutcome, Scheduler, SchedulerAction } from '@poolmeter/scheduler';
import type { Logger } from '@poolmeter/service';
import type { DecisionStatus } from './autoscaler-database.js';
import type { DecisionRow } from './decision-row.js';
import { changeDecision, type AutoscalerStore } from './decision-store.js';
import type { PoolObservation } from './observation.js';
import type { PlanStep } from './plan-step.js';
import type { ScalingPolicy } from './scaling-policy.js';
import { isFaulty, isInUse, isProvedIdle } from './supply.js';

export interface CarryOutDeps {
  readonly store: AutoscalerStore;
  readonly scheduler: Scheduler;
  readonly policy: ScalingPolicy;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A look at the pool as it is now. */
  readonly look: () => Promise<PoolObservation>;
  /** Throws when another process decides by now. */
  readonly fence: () => Promise<void>;
}

type StepResult =
  | { readonly kind: 'done'; readonly detail: string; readonly nodes: readonly string[] }
  | { readonly kind: 'wait'; readonly detail: string }
  | { readonly kind: 'give_up'; readonly status: 'failed' | 'refused'; readonly detail: string };

/** Does as many steps as can be done now. A decision that waits for a lease to end goes on at a later call. */
export async function carryOut(deps: CarryOutDeps, decision: DecisionRow): Promise<DecisionRow> {
  let row = decision;
  for (let index = 0; index < row.steps.length; index += 1) {
    const step = row.steps[index];
    if (step === undefined || step.state !== 'waiting') continue;
    const result = await attemptStep(deps, { row, step, index });
    if (result.kind === 'wait') {
      deps.logger.debug({ decision: row.id, step: step.action.kind, why: result.detail }, 'A step waits.');
      return row;
    }
    row = await storeStep(deps, { row, index, result });
    if (result.kind === 'give_up') return row;
  }
  return change(deps, row, { status: 'done', finished_at: new Date(deps.clock.now()) });
}

async function attemptStep(
  deps: CarryOutDeps,
  { row, step, index }: { row: DecisionRow; step: PlanStep; index: number },
): Promise<StepResult> {
  const { action } = step;
  if (takesAway(action)) {
    const objection = await objectionNow(deps, { row, name: action.node });
    if (objection !== undefined) return afterObjection(deps, { row, action, objection });
  }
  await deps.fence();
  const reason = `poolmeter decision ${row.id}: ${row.reasons.map((each) => each.code).join(', ')}`;
  try {
    const outcome = await deps.scheduler.act(action, { idempotencyKey: `${row.id}/${index}`, reason });
    return await afterOutcome(deps, { row, action, outcome });
  } catch (fault) {
    deps.logger.warn(
      { decision: row.id, err: fault },
      'The scheduler could not be asked; the step is tried again.',
    );
    return { kind: 'wait', detail: messageOf(fault) };
  }
}

type NodeAction = Extract<SchedulerAction, { node: string }>;

/** These end work that runs on the node, so the node must be free. */
function takesAway(action: SchedulerAction): action is NodeAction {
  return action.kind === 'drain' || action.kind === 'remove' || action.kind === 'power_down';
}

interface Objection {
  /** True when the node is in use; false when that cannot be told now. */
  readonly inUse: boolean;
  readonly detail: string;
}

/** The second look: nothing is taken away unless scheduler, billing and telemetry all say just now that it is free. */
async function objectionNow(
  deps: CarryOutDeps,
  { row, name }: { row: DecisionRow; name: string },
): Promise<Objection | undefined> {
  const observation = await deps.look();
  const failed = Object.entries(observation.sources).filter(([, source]) => !source.ok);
  if (failed.length > 0) {
    return { inUse: false, detail: `Not known now: ${failed.map(([source]) => source).join(', ')}.` };
  }
  if (observation.paused) return { inUse: false, detail: 'The pool is paused.' };
  if (observation.scaleInPaused === true && row.action === 'scale_in') {
    return { inUse: false, detail: 'Scale-in is paused.' };
  }
  const gpus = observation.nodes.find((each) => each.node === name)?.gpus ?? [];
  const used = gpus.filter((gpu) => isInUse(gpu, deps.policy)).length;
  if (used > 0) return { inUse: true, detail: `${used} GPUs of ${name} are leased or at work.` };
  // A faulty GPU may be silent for good; one that is to be given back must be seen to be idle.
  const unseen = gpus.filter((gpu) => !isFaulty(gpu) && !isProvedIdle(gpu, observation, deps.policy)).length;
  if (unseen === 0 || row.action !== 'scale_in') return undefined;
  return { inUse: false, detail: `${unseen} GPUs of ${name} have no fresh samples.` };
}

/** A faulty node waits until its leases end. A node that was to be given back and is wanted again goes back to work. */
async function afterObjection(
  deps: CarryOutDeps,
  { row, action, objection }: { row: DecisionRow; action: NodeAction; objection: Objection },
): Promise<StepResult> {
  if (row.action !== 'scale_in' || !objection.inUse) return { kind: 'wait', detail: objection.detail };
  return giveBack(deps, { row, action, status: 'refused', detail: objection.detail });
}

async function afterOutcome(
  deps: CarryOutDeps,
  { row, action, outcome }: { row: DecisionRow; action: SchedulerAction; outcome: ActionOutcome },
): Promise<StepResult> {
  if (outcome.ok) return { kind: 'done', detail: outcome.detail, nodes: outcome.nodes };
  if (outcome.reason === 'not_found' && takesAway(action)) {
    return { kind: 'done', detail: `It is gone already: ${outcome.detail}`, nodes: [] };
  }
  if (outcome.reason === 'busy' && row.action !== 'scale_in') return { kind: 'wait', detail: outcome.detail };
  const status = outcome.reason === 'busy' ? 'refused' : 'failed';
  return giveBack(deps, { row, action, status, detail: outcome.detail });
}

/** Opens a node to work again after a scale-in that stopped half-way. A faulty node stays closed. */
async function giveBack(
  deps: CarryOutDeps,
  stopped: { row: DecisionRow; action: SchedulerAction; status: 'failed' | 'refused'; detail: string },
): Promise<StepResult> {
  const { row, action, status, detail } = stopped;
  if (row.action === 'scale_in' && 'node' in action) {
    await deps.scheduler.act(
      { kind: 'uncordon', node: action.node },
      {
        idempotencyKey: `${row.id}/uncordon/${action.node}`,
        reason: `poolmeter decision ${row.id} was given up`,
      },
    );
  }
  return { kind: 'give_up', status, detail };
}

async function storeStep(
  deps: CarryOutDeps,
  { row, index, result }: { row: DecisionRow; index: number; result: Exclude<StepResult, { kind: 'wait' }> },
): Promise<DecisionRow> {
  const now = deps.clock.now();
  const done = result.kind === 'done';
  const steps = row.steps.map((step, each): PlanStep => {
    if (each !== index) return step;
    const nodes = done ? result.nodes : [];
    return { ...step, state: done ? 'done' : 'failed', detail: result.detail, at: formatInstant(now), nodes };
  });
  if (done) return change(deps, row, { steps });
  const outcome = { effective: false, detail: result.detail, checked_at: formatInstant(now) };
  return change(deps, row, { steps, status: result.status, finished_at: new Date(now), outcome });
}

function change(
  { store, clock }: CarryOutDeps,
  row: DecisionRow,
  what: Parameters<typeof changeDecision>[1]['change'],
): Promise<DecisionRow> {
  const from: readonly DecisionStatus[] = ['acting'];
  return changeDecision(store, { id: row.id, at: clock.now(), change: what, from });
}
