/** What the autoscaler remembers of a pool. All of it is in the database, so that a restart forgets nothing. */
import { sql } from 'kysely';
import type { AutoscalerStore } from './decision-store.js';
import type { DecisionRow } from './decision-row.js';
import type { Mode, OpenDecision, RecentAction } from './observation.js';
import type { PlanStep } from './plan-step.js';
import { addedNodes, nodesOf } from './proposal.js';
import type { Pool } from './pools-file.js';
import { policyDigestOf } from './scaling-policy.js';

const RECENT_MS = 3_600_000;
const FAILURES_READ_MOST = 8;

export interface RequestedNodes {
  /** null for nodes that exist and are switched on: their own GPUs say it. */
  readonly gpuModel: string | null;
  readonly nodes: readonly string[];
}

export interface PoolMemory {
  readonly mode: Mode;
  /** By its own switch or by the one for all pools. */
  readonly paused: boolean;
  readonly scaleInPaused: boolean;
  readonly recent: readonly RecentAction[];
  readonly failedAdditions: { readonly count: number; readonly lastMs: number };
  readonly lastScaleOutMs: number | null;
  readonly lastScaleInMs: number | null;
  readonly lastReplaceMs: number | null;
  readonly demandHistory: readonly { readonly atMs: number; readonly gpus: number }[];
  readonly open: readonly (Omit<OpenDecision, 'coming'> & {
    readonly requested: readonly RequestedNodes[];
  })[];
}

/** Keeps what pools.yaml says of a pool; a mode that was set over the API stays. */
export async function registerPool(
  store: AutoscalerStore,
  { pool, at }: { pool: Pool; at: Date },
): Promise<void> {
  const configured = {
    provider_id: pool.providerId,
    scheduler_kind: pool.scheduler?.kind ?? null,
    node_patterns: pool.nodePatterns,
    configured_mode: pool.mode,
    policy_digest: policyDigestOf(pool.policy),
    updated_at: at,
  };
  await store.db
    .insertInto('autoscaler.pools')
    .values({ id: pool.id, ...configured })
    .onConflict((conflict) => conflict.column('id').doUpdateSet(configured))
    .execute();
}

export async function readMemory(
  store: AutoscalerStore,
  { pool, nowMs }: { pool: Pool; nowMs: number },
): Promise<PoolMemory> {
  const [settings, recent, failedAdditions, last, demandHistory, open] = await Promise.all([
    readSwitches(store, pool.id),
    readRecent(store, { pool: pool.id, nowMs }),
    readFailedAdditions(store, pool.id),
    readLastActions(store, pool.id),
    readDemand(store, { pool, nowMs }),
    readOpen(store, pool.id),
  ]);
  return {
    mode: settings.mode_override ?? settings.configured_mode,
    paused: settings.paused || settings.pulled,
    scaleInPaused: settings.scale_in_paused,
    recent,
    failedAdditions,
    lastScaleOutMs: last.get('scale_out') ?? null,
    lastScaleInMs: last.get('scale_in') ?? null,
    lastReplaceMs: maxOrNull([last.get('replace'), last.get('cordon')]),
    demandHistory,
    open: open.map(openFrom),
  };
}

/** A pool stands still by its own switch, or by the one that stops all (`pulled`). */
interface Switches {
  readonly configured_mode: Mode;
  readonly mode_override: Mode | null;
  readonly paused: boolean;
  readonly scale_in_paused: boolean;
  readonly pulled: boolean;
}

export function readSwitches(store: AutoscalerStore, pool: string): Promise<Switches> {
  return store.db
    .selectFrom(['autoscaler.pools', 'autoscaler.kill_switch'])
    .select(['configured_mode', 'mode_override', 'paused', 'scale_in_paused', 'pulled'])
    .where('id', '=', pool)
    .executeTakeFirstOrThrow();
}

/** Everything that was set going in the last hour, whatever became of it. */
async function readRecent(
  store: AutoscalerStore,
  { pool, nowMs }: { pool: string; nowMs: number },
): Promise<RecentAction[]> {
  const rows = await store.db
    .selectFrom('autoscaler.decisions')
    .select(['action', 'acted_at', 'steps', 'targets'])
    .where('pool', '=', pool)
    .where('acted_at', '>', new Date(nowMs - RECENT_MS))
    .orderBy('acted_at')
    .orderBy('id')
    .execute();
  return rows.flatMap(({ action, acted_at, steps, targets }) =>
    action === 'none' || acted_at === null
      ? []
      : [
          {
            action,
            atMs: acted_at.getTime(),
            nodesAdded: addedNodes(steps.map((step) => step.action)),
            nodesRemoved: action === 'scale_in' ? nodesOf({ targets }).length : 0,
          },
        ],
  );
}

/** How many of the newest additions in a row had no effect. */
async function readFailedAdditions(
  store: AutoscalerStore,
  pool: string,
): Promise<{ count: number; lastMs: number }> {
  const rows = await store.db
    .selectFrom('autoscaler.decisions')
    .select('outcome')
    .where('pool', '=', pool)
    .where('action', '=', 'scale_out')
    .where('acted_at', 'is not', null)
    .where('outcome', 'is not', null)
    .orderBy('acted_at', 'desc')
    .orderBy('id', 'desc')
    .limit(FAILURES_READ_MOST)
    .execute();
  const good = rows.findIndex((row) => row.outcome?.effective === true);
  const failed = good < 0 ? rows : rows.slice(0, good);
  const times = failed.map((row) => Date.parse(row.outcome?.checked_at ?? ''));
  return { count: failed.length, lastMs: Math.max(0, ...times) };
}

async function readLastActions(store: AutoscalerStore, pool: string): Promise<Map<string, number>> {
  const rows = await store.db
    .selectFrom('autoscaler.decisions')
    .select(['action', sql<Date>`max(acted_at)`.as('acted_at')])
    .where('pool', '=', pool)
    .where('acted_at', 'is not', null)
    .groupBy('action')
    .execute();
  return new Map(rows.map((row) => [row.action, row.acted_at.getTime()]));
}

async function readDemand(store: AutoscalerStore, { pool, nowMs }: { pool: Pool; nowMs: number }) {
  const rows = await store.db
    .selectFrom('autoscaler.demand_points')
    .select(['observed_at', 'gpus'])
    .where('pool', '=', pool.id)
    .where('observed_at', '>=', new Date(nowMs - pool.policy.forecast.window_s * 1_000))
    .where('observed_at', '<', new Date(nowMs))
    .orderBy('observed_at')
    .execute();
  return rows.map((row) => ({ atMs: row.observed_at.getTime(), gpus: row.gpus }));
}

/** Decisions under way, and finished ones whose outcome is not known yet: their nodes may still be on their way. */
function readOpen(store: AutoscalerStore, pool: string): Promise<DecisionRow[]> {
  return store.db
    .selectFrom('autoscaler.decisions')
    .selectAll()
    .where('pool', '=', pool)
    .where((where) =>
      where.or([
        where('status', '=', 'acting'),
        where.and([where('status', '=', 'done'), where('outcome', 'is', null)]),
      ]),
    )
    .orderBy('id')
    .execute();
}

function openFrom(row: DecisionRow): PoolMemory['open'][number] {
  const requested = row.steps.flatMap((step) => requestedBy(step, row.id));
  const switchedOn = requested.flatMap((each) => (each.gpuModel === null ? each.nodes : []));
  return {
    id: row.id,
    action: row.action === 'none' ? 'cordon' : row.action,
    nodes: row.status === 'acting' ? [...new Set([...nodesOf(row), ...switchedOn])].sort() : switchedOn,
    requested,
    sinceMs: (row.acted_at ?? row.decided_at).getTime(),
  };
}

/** A scheduler that names no nodes for an addition still owes them: they get names that nothing else has. */
function requestedBy({ action, state, nodes }: PlanStep, id: string): RequestedNodes[] {
  if (state === 'failed') return [];
  if (action.kind === 'power_up') return [{ gpuModel: null, nodes: [action.node] }];
  if (action.kind !== 'add' || state !== 'done') return [];
  const unnamed = Array.from({ length: action.count }, (_, index) => `${id}#${index}`);
  return [{ gpuModel: action.gpuModel, nodes: nodes.length > 0 ? nodes : unnamed }];
}

function maxOrNull(values: readonly (number | undefined)[]): number | null {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? null : Math.max(...known);
}

export async function recordDemand(
  store: AutoscalerStore,
  point: { pool: string; at: Date; gpus: number },
): Promise<void> {
  await store.db
    .insertInto('autoscaler.demand_points')
    .values({ pool: point.pool, observed_at: point.at, gpus: point.gpus })
    .onConflict((conflict) => conflict.columns(['pool', 'observed_at']).doNothing())
    .execute();
}

const DEMAND_KEPT_MS = 86_400_000;
/** A decision can be replayed for this long; its row, with reasons and outcome, stays for ever. */
const INPUTS_KEPT_MS = 90 * 86_400_000;

/** Drops demand that no forecast looks at any more, and observations that are too old to be replayed. */
export async function dropOldHistory(
  store: AutoscalerStore,
  { pool, nowMs }: { pool: string; nowMs: number },
): Promise<void> {
  await store.db
    .deleteFrom('autoscaler.demand_points')
    .where('pool', '=', pool)
    .where('observed_at', '<', new Date(nowMs - DEMAND_KEPT_MS))
    .execute();
  await store.db
    .deleteFrom('autoscaler.inputs')
    .where('seen_at', '<', new Date(nowMs - INPUTS_KEPT_MS))
    .execute();
}
