/** `/v1/pools`: list, show, pause, resume, and how far poolmeter may go. */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import { formatInstant, instantFromMs, PoolmeterError } from '@poolmeter/domain';
import {
  answerList,
  decodeCursor,
  encodeCursor,
  instantSchema,
  listQuery,
  listResponses,
  operatorOnly,
  pageOf,
  requireScope,
  writeAudit,
  type ApiEnv,
} from '@poolmeter/http-api';
import type { Context } from 'hono';
import type { Selectable, Updateable } from 'kysely';
import type { AutoscalerDatabase } from './autoscaler-database.js';
import { modes } from './observation.js';
import type { AutoscalerRoutesDeps } from './routes-deps.js';

const poolSchema = z
  .object({
    id: z.string(),
    provider_id: z.string(),
    scheduler_kind: z.string().nullable(),
    mode: z.enum(modes),
    configured_mode: z.enum(modes),
    paused: z.boolean(),
    scale_in_paused: z.boolean(),
    node_patterns: z.array(z.string()),
    policy_digest: z.string(),
    nodes: z.array(
      z.object({ node: z.string(), state: z.string(), gpus: z.number(), free_gpus: z.number() }),
    ),
    observed_at: instantSchema.nullable(),
  })
  .openapi('Pool');

const reading = [operatorOnly(), requireScope('pools:read')];
const writing = [operatorOnly(), requireScope('pools:write')];
const params = z.object({ id: z.string().max(100) });
const onePool = {
  200: { description: 'The pool.', content: { 'application/json': { schema: poolSchema } } },
} as const;

const listPools = createRoute({
  method: 'get',
  path: '/v1/pools',
  summary: 'Pools, their nodes as last observed, and how far poolmeter may go there',
  middleware: reading,
  request: { query: listQuery },
  responses: listResponses(poolSchema),
});

const showPool = createRoute({
  method: 'get',
  path: '/v1/pools/{id}',
  summary: 'One pool',
  middleware: reading,
  request: { params },
  responses: onePool,
});

const pausePool = createRoute({
  method: 'post',
  path: '/v1/pools/{id}/pause',
  summary: 'Stop all actions in a pool, those half-way included; decisions are still made and stored',
  middleware: writing,
  request: {
    params,
    query: z.strictObject({ only: z.enum(['scale_in']).optional() }),
  },
  responses: onePool,
});

const resumePool = createRoute({
  method: 'post',
  path: '/v1/pools/{id}/resume',
  summary: 'Let a paused pool go on',
  middleware: writing,
  request: { params },
  responses: onePool,
});

const setMode = createRoute({
  method: 'patch',
  path: '/v1/pools/{id}',
  summary: 'Set how far poolmeter may go in a pool; null goes back to what pools.yaml says',
  middleware: writing,
  request: {
    params,
    body: {
      content: { 'application/json': { schema: z.strictObject({ mode: z.enum(modes).nullable() }) } },
    },
  },
  responses: onePool,
});

type PoolRow = Selectable<AutoscalerDatabase['autoscaler.pools']>;

export function addPoolRoutes(router: OpenAPIHono<ApiEnv>, deps: AutoscalerRoutesDeps): void {
  const { store } = deps;
  router.openapi(listPools, async (c) => {
    const { limit, cursor } = c.req.valid('query');
    let query = store.db.selectFrom('autoscaler.pools').selectAll();
    if (cursor !== undefined) query = query.where('id', '>', decodeCursor('pools', cursor, z.string()));
    const rows = await query
      .orderBy('id')
      .limit(limit + 1)
      .execute();
    const answer = pageOf(rows, limit, (last) => encodeCursor('pools', last.id));
    return answerList(c, { ...answer, data: answer.data.map(poolView) });
  });

  router.openapi(showPool, async (c) => {
    const { id } = c.req.valid('param');
    const row = await store.db
      .selectFrom('autoscaler.pools')
      .selectAll()
      .where('id', '=', id)
      .executeTakeFirst();
    if (row === undefined) throw noPool(id);
    return c.json(poolView(row), 200);
  });

  router.openapi(pausePool, async (c) => {
    const { id } = c.req.valid('param');
    const set = c.req.valid('query').only === 'scale_in' ? { scale_in_paused: true } : { paused: true };
    return c.json(await changePool(c, deps, { id, action: 'pool.pause', set }), 200);
  });

  router.openapi(resumePool, async (c) => {
    const { id } = c.req.valid('param');
    const set = { paused: false, scale_in_paused: false };
    return c.json(await changePool(c, deps, { id, action: 'pool.resume', set }), 200);
  });

  router.openapi(setMode, async (c) => {
    const { id } = c.req.valid('param');
    const set = { mode_override: c.req.valid('json').mode };
    return c.json(await changePool(c, deps, { id, action: 'pool.mode', set }), 200);
  });
}

async function changePool(
  c: Context<ApiEnv>,
  { store, clock }: AutoscalerRoutesDeps,
  change: { id: string; action: string; set: Updateable<AutoscalerDatabase['autoscaler.pools']> },
) {
  const at = clock.now();
  const row = await store.transaction(async (trx) => {
    const changed = await trx
      .updateTable('autoscaler.pools')
      .set({ ...change.set, updated_at: new Date(at) })
      .where('id', '=', change.id)
      .returningAll()
      .executeTakeFirst();
    if (changed === undefined) throw noPool(change.id);
    await writeAudit(trx, {
      at,
      principal: c.get('principal'),
      action: change.action,
      objectKind: 'pool',
      objectId: change.id,
      requestId: c.get('requestId'),
      details: { ...change.set },
    });
    return changed;
  });
  return poolView(row);
}

function poolView(row: PoolRow) {
  return {
    id: row.id,
    provider_id: row.provider_id,
    scheduler_kind: row.scheduler_kind,
    mode: row.mode_override ?? row.configured_mode,
    configured_mode: row.configured_mode,
    paused: row.paused,
    scale_in_paused: row.scale_in_paused,
    node_patterns: [...row.node_patterns],
    policy_digest: row.policy_digest,
    nodes: row.nodes.map((node) => ({ ...node })),
    observed_at: row.observed_at === null ? null : formatInstant(instantFromMs(row.observed_at.getTime())),
  };
}

function noPool(id: string): PoolmeterError {
  return new PoolmeterError('not_found', `There is no pool ${id}.`);
}
