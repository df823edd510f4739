/** `/v1/usage`. */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import { interval } from '@poolmeter/domain';
import {
  createRouter,
  inputFault,
  instantInput,
  prefersCsv,
  requireScope,
  toCsv,
  visibleRows,
  type ApiEnv,
} from '@poolmeter/http-api';
import { loadUsage } from '../usage/load-usage.js';
import { sumUsage, usageGroups, type UsageGroup } from '../usage/sum-usage.js';
import type { BillingApiDeps } from './billing-api-deps.js';

const usageRowSchema = z
  .object({
    group: z.record(z.string(), z.string()),
    gpu_ms: z.string(),
    gpu_hours: z.string(),
    billed_gpu_ms: z.string(),
    excluded_gpu_ms: z.string(),
    held_gpu_ms: z.string(),
  })
  .openapi('Usage');

const usageQuery = z.object({
  from: instantInput,
  to: instantInput.openapi({ description: 'Exclusive.' }),
  group_by: z
    .string()
    .max(200)
    .default('customer_id')
    .openapi({ description: `Comma-separated: ${usageGroups.join(', ')}.` }),
  bucket: z.enum(['hour', 'day', 'month']).optional(),
  tz: z.string().max(100).default('UTC').openapi({ description: 'IANA zone of days and months.' }),
  customer_id: z.string().max(200).optional(),
  provider_id: z.string().max(200).optional(),
  pool: z.string().max(200).optional(),
});

const showUsage = createRoute({
  method: 'get',
  path: '/v1/usage',
  summary: 'GPU time by outcome: billed, excluded and held add up to the whole',
  middleware: [requireScope('usage:read')],
  request: { query: usageQuery },
  responses: {
    200: {
      description: 'Usage as it is known now.',
      content: {
        'application/json': { schema: z.object({ data: z.array(usageRowSchema), total: usageRowSchema }) },
        'text/csv': { schema: z.string() },
      },
    },
  },
});

const BUCKETS_MAX = 10_000;
const HOUR_MS = 3_600_000;

export function usageRoutes(deps: BillingApiDeps): OpenAPIHono<ApiEnv> {
  const router = createRouter();
  router.openapi(showUsage, async (c) => {
    const query = c.req.valid('query');
    const principal = c.get('principal');
    const own = visibleRows(principal, { customer: 'customerId', provider: 'providerId' });
    if (query.to < query.from) throw inputFault([{ path: 'query.to', message: 'is before from' }]);
    const range = interval(query.from, query.to);
    if (query.bucket === 'hour' && (range.end - range.start) / HOUR_MS > BUCKETS_MAX) {
      throw inputFault([{ path: 'query.bucket', message: `at most ${BUCKETS_MAX} hours: use bucket=day` }]);
    }
    const scope = {
      range,
      ...(query.customer_id === undefined ? {} : { customerId: query.customer_id }),
      ...(query.provider_id === undefined ? {} : { providerId: query.provider_id }),
      ...(query.pool === undefined ? {} : { pool: query.pool }),
      ...(own === undefined ? {} : { [own.column]: own.id }),
    };
    const inputs = await deps.store.transaction((trx) => loadUsage(trx, scope), {
      isolation: 'repeatable read',
    });
    const { rows, total } = sumUsage(inputs, {
      range,
      asOf: deps.clock.now(),
      groupBy: groupsOf(query.group_by),
      bucket: query.bucket,
      zone: query.tz,
    });
    if (prefersCsv(c.req.header('accept') ?? '')) {
      return c.body(toCsv(rows), 200, { 'content-type': 'text/csv; charset=utf-8; header=present' });
    }
    return c.json({ data: [...rows], total }, 200);
  });
  return router;
}

function groupsOf(text: string): UsageGroup[] {
  const names = text.split(',').filter((name) => name !== '');
  const wrong = names.find((name) => !(usageGroups as readonly string[]).includes(name));
  if (wrong !== undefined) {
    throw inputFault([
      { path: 'query.group_by', message: `"${wrong}" is none of ${usageGroups.join(', ')}` },
    ]);
  }
  return [...new Set(names)] as UsageGroup[];
}
