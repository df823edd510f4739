/** `/v1/decisions`: list, show, replay, approve, explain. */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import {
  answerList,
  decodeCursor,
  encodeCursor,
  instantInput,
  instantSchema,
  listQuery,
  listResponses,
  operatorOnly,
  pageOf,
  requireScope,
  writeAudit,
  type ApiEnv,
} from '@poolmeter/http-api';
import { decisionStatuses } from './autoscaler-database.js';
import { decisionView } from './decision-row.js';
import { changeIn, findDecision } from './decision-store.js';
import { explainDecision } from './explain-decision.js';
import { actions } from './proposal.js';
import { replayDecision } from './replay-decision.js';
import type { AutoscalerRoutesDeps } from './routes-deps.js';

const reasonSchema = z.object({ code: z.string(), text: z.string() });
const targetSchema = z.union([
  z.object({ node: z.string() }),
  z.object({ gpu_model: z.string(), count: z.int() }),
]);
const stepSchema = z.object({
  kind: z.string(),
  node: z.string().nullable(),
  gpu_model: z.string().nullable(),
  count: z.int().nullable(),
  state: z.string(),
  detail: z.string(),
  at: instantSchema.nullable(),
  nodes: z.array(z.string()).readonly(),
});
const forecastSchema = z.object({
  method: z.string(),
  window_s: z.int(),
  points: z.int(),
  demand_gpus: z.int(),
  expected_gpus: z.int(),
});

const decisionSchema = z
  .object({
    id: z.string(),
    pool: z.string(),
    decided_at: instantSchema,
    mode: z.string(),
    action: z.enum(actions),
    status: z.enum(decisionStatuses),
    targets: z.array(targetSchema).readonly(),
    reasons: z.array(reasonSchema).readonly(),
    rejected: z.array(z.object({ candidate: z.string(), code: z.string(), reason: z.string() })).readonly(),
    guards: z.array(z.object({ guard: z.string(), effect: z.string(), text: z.string() })).readonly(),
    policy_digest: z.string(),
    input_digest: z.string(),
    forecast: forecastSchema,
    outcome: z.object({ effective: z.boolean(), detail: z.string(), checked_at: instantSchema }).nullable(),
    steps: z.array(stepSchema).readonly(),
    approved_by: z.string().nullable(),
    acted_at: instantSchema.nullable(),
    finished_at: instantSchema.nullable(),
  })
  .openapi('Decision');

const replaySchema = z
  .object({
    id: z.string(),
    identical: z.boolean(),
    code_version: z.object({ stored: z.string(), now: z.string() }),
    differences: z
      .array(z.object({ field: z.string(), stored: z.string(), recomputed: z.string() }))
      .readonly()
      .openapi({ description: 'Values as canonical JSON.' }),
  })
  .openapi('DecisionReplay');

const reading = [operatorOnly(), requireScope('decisions:read')];
const writing = [operatorOnly(), requireScope('decisions:write')];
const params = z.object({ id: z.string().max(100) });
const oneDecision = {
  200: { description: 'The decision.', content: { 'application/json': { schema: decisionSchema } } },
} as const;

const listDecisions = createRoute({
  method: 'get',
  path: '/v1/decisions',
  summary: 'Scaling decisions, newest first',
  middleware: reading,
  request: {
    query: listQuery.extend({
      pool: z.string().optional(),
      action: z.enum(actions).optional(),
      status: z.enum(decisionStatuses).optional(),
      from: instantInput.optional(),
      to: instantInput.optional(),
    }),
  },
  responses: listResponses(decisionSchema),
});

const showDecision = createRoute({
  method: 'get',
  path: '/v1/decisions/{id}',
  summary: 'One decision with its reasons, the candidates that were left, and its steps',
  middleware: reading,
  request: { params },
  responses: oneDecision,
});

const explain = createRoute({
  method: 'get',
  path: '/v1/decisions/{id}/explain',
  summary: 'One decision in plain sentences',
  middleware: reading,
  request: { params },
  responses: {
    200: {
      description: 'Text.',
      content: { 'application/json': { schema: z.object({ text: z.string() }) } },
    },
  },
});

const replay = createRoute({
  method: 'post',
  path: '/v1/decisions/{id}/replay',
  summary: 'Decide again from the stored inputs, and compare',
  middleware: reading,
  request: { params },
  responses: {
    200: { description: 'The comparison.', content: { 'application/json': { schema: replaySchema } } },
  },
});

const approve = createRoute({
  method: 'post',
  path: '/v1/decisions/{id}/approve',
  summary: 'Let a recommendation be carried out; the world is looked at again first',
  middleware: writing,
  request: { params },
  responses: oneDecision,
});

const LIST = 'decisions';
const cursorSchema = z.tuple([z.number().int(), z.string()]);

export function addDecisionRoutes(router: OpenAPIHono<ApiEnv>, { store, clock }: AutoscalerRoutesDeps): void {
  router.openapi(listDecisions, async (c) => {
    const { limit, cursor, pool, action, status, from, to } = c.req.valid('query');
    let query = store.db.selectFrom('autoscaler.decisions').selectAll();
    if (pool !== undefined) query = query.where('pool', '=', pool);
    if (action !== undefined) query = query.where('action', '=', action);
    if (status !== undefined) query = query.where('status', '=', status);
    if (from !== undefined) query = query.where('decided_at', '>=', new Date(from));
    if (to !== undefined) query = query.where('decided_at', '<', new Date(to));
    if (cursor !== undefined) {
      const [decidedMs, id] = decodeCursor(LIST, cursor, cursorSchema);
      query = query.where((where) =>
        where(where.refTuple('decided_at', 'id'), '<', where.tuple(new Date(decidedMs), id)),
      );
    }
    const rows = await query
      .orderBy('decided_at', 'desc')
      .orderBy('id', 'desc')
      .limit(limit + 1)
      .execute();
    const answer = pageOf(rows, limit, (last) => encodeCursor(LIST, [last.decided_at.getTime(), last.id]));
    return answerList(c, { ...answer, data: answer.data.map(decisionView) });
  });

  router.openapi(showDecision, async (c) => {
    return c.json(decisionView(await findDecision(store, c.req.valid('param').id)), 200);
  });

  router.openapi(explain, async (c) => {
    const row = await findDecision(store, c.req.valid('param').id);
    return c.json({ text: explainDecision(decisionView(row)) }, 200);
  });

  router.openapi(replay, async (c) => {
    return c.json(await replayDecision(store, c.req.valid('param').id), 200);
  });

  router.openapi(approve, async (c) => {
    const { id } = c.req.valid('param');
    const principal = c.get('principal');
    const at = clock.now();
    const row = await store.transaction(async (trx) => {
      const change = { status: 'approved', approved_by: principal.tokenId } as const;
      const changed = await changeIn(trx, { id, at, change, from: ['recommended'] });
      await writeAudit(trx, {
        at,
        principal,
        action: 'decision.approve',
        objectKind: 'decision',
        objectId: id,
        requestId: c.get('requestId'),
      });
      return changed;
    });
    return c.json(decisionView(row), 200);
  });
}
