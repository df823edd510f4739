/** One look at one pool: go on with what is under way, observe, decide, guard, store, and act where that is allowed. */
import { formatInstant, type Clock, type IdSource } from '@poolmeter/domain';
import type { Scheduler } from '@poolmeter/scheduler';
import type { Logger } from '@poolmeter/service';
import type { Counter } from '@opentelemetry/api';
import type { PoolNode } from './autoscaler-database.js';
import { carryOut } from './carry-out.js';
import { findOutcome } from './check-outcome.js';
import type { DecisionRow } from './decision-row.js';
import { changeDecision, storeDecision, type AutoscalerStore } from './decision-store.js';
import { evaluate, signatureOf, type Evaluation } from './evaluate.js';
import { holdsTerm } from './leadership.js';
import type { PoolObservation } from './observation.js';
import { demandPointOf, observePool } from './observe.js';
import { dropOldHistory, readSwitches, recordDemand } from './pool-memory.js';
import type { Pool } from './pools-file.js';
import { nodesOf, type GuardedProposal } from './proposal.js';
import type { SampleReader } from './sample-reader.js';
import { isInUse } from './supply.js';

export interface PoolTurnDeps {
  readonly store: AutoscalerStore;
  readonly samples: SampleReader;
  readonly clock: Clock;
  readonly ids: IdSource;
  readonly logger: Logger;
  readonly decisions?: Counter;
}

export interface PoolTarget {
  readonly pool: Pool;
  readonly scheduler: Scheduler;
  readonly decidingSinceMs: number;
  /** The fence of this process's term; absent where nobody else could decide. */
  readonly epoch?: bigint;
  readonly signal?: AbortSignal;
}

/** A decision that says the same as the last one is stored again only after this long. */
const REPEAT_NONE_MS = 300_000;

export async function takePoolTurn(deps: PoolTurnDeps, target: PoolTarget): Promise<void> {
  await goOn(deps, target);
  const observation = await observePool(deps, target);
  await checkOutcomes(deps, { target, observation });
  await answerApprovals(deps, { target, observation });
  const evaluation = evaluate(observation, target.pool.policy);
  if (target.epoch !== undefined) await holdsTerm(deps.store, target.epoch);
  await storeWhatIsNew(deps, { target, observation, evaluation });
  await keepLook(deps, { target, observation });
  await dropOldHistory(deps.store, { pool: target.pool.id, nowMs: observation.observedAtMs });
}

/** Paused pools stand still, half-way through a decision too. */
async function goOn(deps: PoolTurnDeps, target: PoolTarget): Promise<void> {
  for (const row of await decisionsWith(deps.store, { pool: target.pool.id, status: 'acting' })) {
    const { paused, pulled } = await readSwitches(deps.store, target.pool.id);
    if (!paused && !pulled) await carry(deps, { target, row });
  }
}

async function carry(
  deps: PoolTurnDeps,
  { target, row }: { target: PoolTarget; row: DecisionRow },
): Promise<void> {
  await carryOut(
    {
      store: deps.store,
      scheduler: target.scheduler,
      policy: target.pool.policy,
      clock: deps.clock,
      logger: deps.logger,
      look: () => observePool(deps, target),
      fence: () => (target.epoch === undefined ? Promise.resolve() : holdsTerm(deps.store, target.epoch)),
    },
    row,
  );
}

async function checkOutcomes(
  deps: PoolTurnDeps,
  { target, observation }: { target: PoolTarget; observation: PoolObservation },
): Promise<void> {
  for (const row of await decisionsWith(deps.store, { pool: target.pool.id, status: 'done' })) {
    const finding = findOutcome(row, { observation, policy: target.pool.policy });
    if (finding === undefined) continue;
    const at = deps.clock.now();
    const outcome = { ...finding, checked_at: formatInstant(at) };
    await changeDecision(deps.store, { id: row.id, at, change: { outcome }, from: ['done'] });
  }
}

/** A person's approval replaces the mode, nothing else: the world is looked at again before anything is done. */
async function answerApprovals(
  deps: PoolTurnDeps,
  { target, observation }: { target: PoolTarget; observation: PoolObservation },
): Promise<void> {
  for (const row of await decisionsWith(deps.store, { pool: target.pool.id, status: 'approved' })) {
    const { proposals } = evaluate({ ...observation, mode: 'full', approved: true }, target.pool.policy);
    const still = proposals.find(
      (proposal) => proposal.action === row.action && coversTargets(proposal, row),
    );
    const at = deps.clock.now();
    if (still?.disposition === 'act') {
      const change = { status: 'acting', acted_at: new Date(at) } as const;
      const acting = await changeDecision(deps.store, { id: row.id, at, change, from: ['approved'] });
      await carry(deps, { target, row: acting });
      continue;
    }
    const blocks = still?.guards.map((hit) => hit.text).join(' ') ?? 'It would not be decided so any more.';
    const outcome = {
      effective: false,
      detail: `Approved, but not done: ${blocks}`,
      checked_at: formatInstant(at),
    };
    const change = { status: 'refused', outcome, finished_at: new Date(at) } as const;
    await changeDecision(deps.store, { id: row.id, at, change, from: ['approved'] });
  }
}

function coversTargets(proposal: GuardedProposal, row: DecisionRow): boolean {
  const now = new Set(nodesOf(proposal));
  return row.action === 'scale_out' || nodesOf(row).every((node) => now.has(node));
}

/** Only `done` decisions without an outcome are of interest; the others by their status alone. */
function decisionsWith(
  store: AutoscalerStore,
  { pool, status }: { pool: string; status: 'acting' | 'approved' | 'done' },
): Promise<DecisionRow[]> {
  const query = store.db.selectFrom('autoscaler.decisions').selectAll().where('pool', '=', pool);
  const withStatus = query.where('status', '=', status).orderBy('id');
  return (status === 'done' ? withStatus.where('outcome', 'is', null) : withStatus).execute();
}

async function storeWhatIsNew(
  deps: PoolTurnDeps,
  {
    target,
    observation,
    evaluation,
  }: { target: PoolTarget; observation: PoolObservation; evaluation: Evaluation },
): Promise<void> {
  const open = await deps.store.db
    .selectFrom('autoscaler.decisions')
    .select(['id', 'action', 'signature'])
    .where('pool', '=', target.pool.id)
    .where('status', 'in', ['recommended', 'held'])
    .execute();
  const proposed = new Set(evaluation.proposals.map(signatureOf));
  const outdated = open.filter((row) => !proposed.has(row.signature)).map((row) => row.id);
  for (const proposal of evaluation.proposals) {
    const signature = signatureOf(proposal);
    if (open.some((row) => row.signature === signature)) continue;
    if (proposal.action === 'none' && (await wasJustSaid(deps, { pool: target.pool.id, signature })))
      continue;
    const row = await storeDecision(deps, {
      observation,
      policy: target.pool.policy,
      proposal,
      forecast: evaluation.forecast,
      at: deps.clock.now(),
      supersedes: outdated.splice(0),
    });
    deps.decisions?.add(1, { pool: row.pool, action: row.action, status: row.status });
    const fields = { decision: row.id, pool: row.pool, action: row.action, status: row.status };
    if (row.action !== 'none') deps.logger.info(fields, 'A scaling decision was made.');
    if (row.status === 'acting') await carry(deps, { target, row });
  }
  await withdraw(deps, outdated);
}

/** What is proposed no longer, and nothing new takes its place. */
async function withdraw(deps: PoolTurnDeps, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    const at = deps.clock.now();
    const outcome = {
      effective: false,
      detail: 'It would not be decided so any more.',
      checked_at: formatInstant(at),
    };
    const change = { status: 'superseded', finished_at: new Date(at), outcome } as const;
    await changeDecision(deps.store, { id, at, change });
  }
}

/** Whether the newest decision of the pool is a `none` with the same reasons, not older than five minutes. */
async function wasJustSaid(
  deps: PoolTurnDeps,
  { pool, signature }: { pool: string; signature: string },
): Promise<boolean> {
  const last = await deps.store.db
    .selectFrom('autoscaler.decisions')
    .select(['signature', 'decided_at'])
    .where('pool', '=', pool)
    .orderBy('decided_at', 'desc')
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst();
  return last?.signature === signature && deps.clock.now() - last.decided_at.getTime() < REPEAT_NONE_MS;
}

async function keepLook(
  deps: PoolTurnDeps,
  { target, observation }: { target: PoolTarget; observation: PoolObservation },
): Promise<void> {
  const gpus = demandPointOf(observation);
  if (gpus === undefined) return;
  const at = new Date(observation.observedAtMs);
  await recordDemand(deps.store, { pool: target.pool.id, at, gpus });
  const nodes = observation.nodes.map((node): PoolNode => ({
    node: node.node,
    state: node.state,
    gpus: node.gpus.length,
    free_gpus: node.gpus.filter((gpu) => !isInUse(gpu, target.pool.policy)).length,
  }));
  await deps.store.db
    .updateTable('autoscaler.pools')
    .set({ nodes, observed_at: at, updated_at: at })
    .where('id', '=', target.pool.id)
    .execute();
}
