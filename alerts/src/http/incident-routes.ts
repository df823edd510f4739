/** `/v1/incidents`: what is wrong, why, and the operator's word on it. */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import type { Clock, IdSource } from '@poolmeter/domain';
import {
  answerList,
  createRouter,
  listQuery,
  listResponses,
  operatorOnly,
  requireScope,
  type ApiEnv,
} from '@poolmeter/http-api';
import type { RelationalStore } from '@poolmeter/relational-store';
import type { Context } from 'hono';
import type { AlertsDatabase } from '../store/alerts-database.js';
import { acknowledge, classify, resolve, type OperatorRequest } from '../store/operator-actions.js';
import { explainIncident } from './explain-incident.js';
import {
  ackInput,
  actionToJson,
  classifyInput,
  evidenceSchema,
  evidenceToJson,
  incidentDetailSchema,
  incidentQuery,
  incidentSchema,
  incidentToJson,
  resolveInput,
  verdictToJson,
} from './incident-shapes.js';
import { listIncidents, readEvidence, readIncident } from './read-incidents.js';

export interface IncidentRoutesOptions {
  readonly store: RelationalStore<AlertsDatabase>;
  readonly clock: Clock;
  readonly ids: IdSource;
}

const reading = [requireScope('incidents:read')];
const writing = [operatorOnly(), requireScope('incidents:write')];
const params = z.object({ id: z.string().min(1).max(200) });
const jsonBody = <S extends z.ZodType>(schema: S) => ({ content: { 'application/json': { schema } } });
const detailAnswer = {
  200: { description: 'The incident.', content: { 'application/json': { schema: incidentDetailSchema } } },
} as const;

const listRoute = createRoute({
  method: 'get',
  path: '/v1/incidents',
  summary: 'Incidents, newest first',
  middleware: reading,
  request: { query: incidentQuery },
  responses: listResponses(incidentSchema),
});

const showRoute = createRoute({
  method: 'get',
  path: '/v1/incidents/{id}',
  summary: 'One incident, with its verdicts and why it is what it is',
  middleware: reading,
  request: { params },
  responses: detailAnswer,
});

const evidenceRoute = createRoute({
  method: 'get',
  path: '/v1/incidents/{id}/evidence',
  summary: 'The raw lines and stretches behind an incident, oldest first',
  middleware: reading,
  request: { params, query: listQuery },
  responses: listResponses(evidenceSchema),
});

const ackRoute = createRoute({
  method: 'post',
  path: '/v1/incidents/{id}/ack',
  summary: 'Somebody has taken it on',
  middleware: writing,
  request: { params, body: { ...jsonBody(ackInput), required: false } },
  responses: detailAnswer,
});

const resolveRoute = createRoute({
  method: 'post',
  path: '/v1/incidents/{id}/resolve',
  summary: 'It is over, by the word of an operator',
  middleware: writing,
  request: { params, body: jsonBody(resolveInput) },
  responses: detailAnswer,
});

const classifyRoute = createRoute({
  method: 'post',
  path: '/v1/incidents/{id}/classify',
  summary: 'Who is to blame and who pays, by the word of an operator',
  middleware: writing,
  request: { params, body: jsonBody(classifyInput) },
  responses: detailAnswer,
});

export function incidentRoutes(options: IncidentRoutesOptions): OpenAPIHono<ApiEnv> {
  const { store } = options;
  const router = createRouter();
  router.openapi(listRoute, async (c) => {
    const page = await listIncidents(store.db, c.req.valid('query'), c.get('principal'));
    return answerList(c, { ...page, data: page.data.map(incidentToJson) });
  });
  router.openapi(showRoute, async (c) => c.json(await detail(c, options), 200));
  router.openapi(evidenceRoute, async (c) => {
    const record = await readIncident(store.db, c.req.valid('param').id, c.get('principal'));
    const page = await readEvidence(store.db, record, c.req.valid('query'));
    return answerList(c, { ...page, data: page.data.map(evidenceToJson) });
  });
  router.openapi(ackRoute, async (c) => {
    const { reason } = { reason: undefined, ...(c.req.valid('json') as { reason?: string } | undefined) };
    await acknowledge(store, requestOf(c, { reason: reason ?? '', options }));
    return c.json(await detail(c, options), 200);
  });
  router.openapi(resolveRoute, async (c) => {
    const { reason, cleared_at } = c.req.valid('json');
    const request = requestOf(c, { reason, options });
    await resolve(store, {
      ...request,
      endsAt: cleared_at ?? request.at,
    });
    return c.json(await detail(c, options), 200);
  });
  router.openapi(classifyRoute, async (c) => {
    const { reason, billing_class, blame } = c.req.valid('json');
    await classify(store, { ...requestOf(c, { reason, options }), billingClass: billing_class, blame });
    return c.json(await detail(c, options), 200);
  });
  return router;
}

function requestOf(
  c: Context<ApiEnv>,
  of: { reason: string; options: IncidentRoutesOptions },
): OperatorRequest {
  return {
    incidentId: c.req.param('id') ?? '',
    at: of.options.clock.now(),
    reason: of.reason,
    principal: c.get('principal'),
    requestId: c.get('requestId'),
    ids: of.options.ids,
  };
}

async function detail(
  c: Context<ApiEnv>,
  { store }: IncidentRoutesOptions,
): Promise<z.output<typeof incidentDetailSchema>> {
  const record = await readIncident(store.db, c.req.param('id') ?? '', c.get('principal'));
  const evidence = await readEvidence(store.db, record, { limit: 1_000 });
  return {
    ...incidentToJson(record.incident),
    explanation: explainIncident({ ...record, evidence: evidence.data }),
    verdicts: record.verdicts.map(verdictToJson),
    actions: record.actions.map(actionToJson),
  };
}
