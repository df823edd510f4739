/** `/v1/reconciliation`: the laws of a month, open findings, and accounts that are parked by them. */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import { PoolmeterError } from '@poolmeter/domain';
import {
  answerList,
  createRouter,
  instantSchema,
  listResponses,
  operatorOnly,
  page,
  requireScope,
  type ApiEnv,
} from '@poolmeter/http-api';
import { instantText } from '../copies/row-copies.js';
import { checkPeriod } from '../reconciliation/check-period.js';
import { reconcile } from '../reconciliation/reconcile.js';
import type { ReconciliationCheck } from '../reconciliation/reconciliation-check.js';
import { recordFor, type BillingApiDeps } from './billing-api-deps.js';
import { answer, jsonBody } from './wire-schemas.js';

const LISTED_MAX = 1_000;
const month = z.string().regex(/^\d{4}-\d{2}$/, 'write a month such as 2026-03');
const reading = [operatorOnly(), requireScope('reconciliation:read')];
const writing = [operatorOnly(), requireScope('reconciliation:write')];

const reportSchema = z.object({
  period: z.string(),
  ok: z.boolean(),
  checks: z.array(
    z.object({
      law: z.string(),
      ok: z.boolean(),
      checked: z.int(),
      findings: z.array(z.object({ object_id: z.string(), message: z.string() })),
    }),
  ),
});

const show = createRoute({
  method: 'get',
  path: '/v1/reconciliation',
  summary: 'Checks the conservation laws of a month on what is stored',
  middleware: reading,
  request: { query: z.object({ period: month }) },
  responses: answer(reportSchema, 'Every law, and what breaks it.'),
});

const run = createRoute({
  method: 'post',
  path: '/v1/reconciliation',
  summary: 'The same, keeping what was found and parking accounts on which money does not add up',
  middleware: writing,
  request: { body: jsonBody(z.strictObject({ period: month })) },
  responses: answer(reportSchema.extend({ parked: z.array(z.string()) }), 'Every law, and what breaks it.'),
});

const listFindings = createRoute({
  method: 'get',
  path: '/v1/reconciliation/findings',
  summary: 'What is found and not settled, oldest first',
  middleware: reading,
  responses: listResponses(
    z.object({
      id: z.string(),
      law: z.string(),
      object_id: z.string(),
      period: z.string(),
      message: z.string(),
      first_seen_at: instantSchema,
      last_seen_at: instantSchema,
    }),
  ),
});

const listParked = createRoute({
  method: 'get',
  path: '/v1/reconciliation/parked-accounts',
  summary: 'Customers to whom nothing is invoiced until somebody has looked',
  middleware: reading,
  responses: listResponses(
    z.object({ customer_id: z.string(), law: z.string(), reason: z.string(), parked_at: instantSchema }),
  ),
});

const release = createRoute({
  method: 'post',
  path: '/v1/reconciliation/parked-accounts/{customer}/release',
  summary: 'Releases a parked account',
  middleware: writing,
  request: {
    params: z.object({ customer: z.string().max(200) }),
    body: jsonBody(z.strictObject({ note: z.string().min(1).max(1_000) })),
  },
  responses: answer(z.object({ customer_id: z.string() }), 'Released.'),
});

export function reconciliationRoutes(deps: BillingApiDeps): OpenAPIHono<ApiEnv> {
  const router = createRouter();
  const { db } = deps.store;
  router.openapi(show, async (c) => {
    const { period } = c.req.valid('query');
    return c.json(report(period, await checkPeriod(deps, period)), 200);
  });
  router.openapi(run, async (c) => {
    const { period } = c.req.valid('json');
    const { checks, parked } = await reconcile(deps, period);
    return c.json({ ...report(period, checks), parked: [...parked] }, 200);
  });
  router.openapi(listFindings, async (c) => {
    const rows = await db
      .selectFrom('billing.findings')
      .selectAll()
      .where('resolved_at', 'is', null)
      .orderBy('first_seen_at')
      .orderBy('finding_id')
      .limit(LISTED_MAX)
      .execute();
    const data = rows.map((row) => ({
      id: row.finding_id,
      law: row.law,
      object_id: row.object_id,
      period: row.month,
      message: row.message,
      first_seen_at: instantText(row.first_seen_at),
      last_seen_at: instantText(row.last_seen_at),
    }));
    return answerList(c, page(data, null));
  });
  router.openapi(listParked, async (c) => {
    const rows = await db.selectFrom('billing.parked_accounts').selectAll().orderBy('customer_id').execute();
    const data = rows.map((row) => ({ ...row, parked_at: instantText(row.parked_at) }));
    return answerList(c, page(data, null));
  });
  router.openapi(release, async (c) => {
    const { customer } = c.req.valid('param');
    const { note } = c.req.valid('json');
    const record = recordFor(c, deps);
    await deps.store.transaction(
      async (trx) => {
        const gone = await trx
          .deleteFrom('billing.parked_accounts')
          .where('customer_id', '=', customer)
          .returning(['law', 'reason'])
          .executeTakeFirst();
        if (gone === undefined)
          throw new PoolmeterError('not_found', `The account of ${customer} is not parked.`);
        const change = { action: 'account.release', objectKind: 'customer', objectId: customer };
        await record(trx, { ...change, details: { note, ...gone } });
      },
      { isolation: 'read committed' },
    );
    return c.json({ customer_id: customer }, 200);
  });
  return router;
}

function report(period: string, checks: readonly ReconciliationCheck[]) {
  return {
    period,
    ok: checks.every((one) => one.ok),
    checks: checks.map((one) => ({ ...one, findings: [...one.findings] })),
  };
}
