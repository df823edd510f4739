/** `/v1/customers` and `/v1/providers`. */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import {
  answerList,
  createRouter,
  decodeCursor,
  encodeCursor,
  listQuery,
  listResponses,
  operatorOnly,
  pageOf,
  requireScope,
  visibleRows,
  type ApiEnv,
  type Page,
} from '@poolmeter/http-api';
import { instantText } from '../copies/row-copies.js';
import { applyCustomer, applyProvider } from '../customers/parties.js';
import type { BillingReader } from '../database.js';
import { customersFileSchema } from '../files/customers-file.js';
import { recordFor, type BillingApiDeps } from './billing-api-deps.js';
import { answer, customerAnswerSchema, jsonBody, providerAnswerSchema } from './wire-schemas.js';

const listCustomers = createRoute({
  method: 'get',
  path: '/v1/customers',
  summary: 'Customers with their current terms',
  middleware: [requireScope('customers:read')],
  request: { query: listQuery },
  responses: listResponses(customerAnswerSchema),
});

const listProviders = createRoute({
  method: 'get',
  path: '/v1/providers',
  summary: 'Providers with their current terms',
  middleware: [requireScope('providers:read')],
  request: { query: listQuery },
  responses: listResponses(providerAnswerSchema),
});

const appliedSchema = z.object({ id: z.string(), outcome: z.enum(['created', 'updated', 'unchanged']) });

const apply = createRoute({
  method: 'post',
  path: '/v1/customers',
  summary: 'Applies customers and providers: new ones are created, changed ones get a new version',
  middleware: [operatorOnly(), requireScope('customers:write')],
  request: { body: jsonBody(customersFileSchema) },
  responses: answer(
    z.object({ customers: z.array(appliedSchema), providers: z.array(appliedSchema) }),
    'What became of each.',
  ),
});

export function partyRoutes(deps: BillingApiDeps): OpenAPIHono<ApiEnv> {
  const router = createRouter();
  router.openapi(listCustomers, async (c) => {
    const visible = visibleRows(c.get('principal'), { customer: 'c.customer_id' });
    return answerList(c, await readCustomers(deps.store.db, c.req.valid('query'), visible));
  });
  router.openapi(listProviders, async (c) => {
    const visible = visibleRows(c.get('principal'), { provider: 'provider_id' });
    return answerList(c, await readProviders(deps.store.db, c.req.valid('query'), visible));
  });
  router.openapi(apply, async (c) => {
    const file = c.req.valid('json');
    const record = recordFor(c, deps);
    const applied = await deps.store.transaction(
      async (trx) => {
        const customers = [];
        for (const entry of file.customers) {
          customers.push({ id: entry.id, outcome: await applyCustomer(trx, entry, deps.clock) });
        }
        const providers = [];
        for (const entry of file.providers) {
          providers.push({ id: entry.id, outcome: await applyProvider(trx, entry, deps.clock) });
        }
        await record(trx, {
          action: 'customers.apply',
          objectKind: 'customers',
          objectId: 'file',
          details: { customers, providers },
        });
        return { customers, providers };
      },
      { isolation: 'read committed' },
    );
    return c.json(applied, 200);
  });
  return router;
}

type ListQuery = z.output<typeof listQuery>;
const idCursor = z.string();

async function readCustomers(
  db: BillingReader,
  query: ListQuery,
  visible: { readonly column: 'c.customer_id'; readonly id: string } | undefined,
): Promise<Page<z.output<typeof customerAnswerSchema>>> {
  let select = db
    .selectFrom('billing.customers as c')
    .innerJoin('billing.customer_versions as v', (join) =>
      join.onRef('v.customer_id', '=', 'c.customer_id').onRef('v.version', '=', 'c.current_version'),
    )
    .select(['c.customer_id', 'v.version', 'v.name', 'v.zone', 'v.currency', 'c.created_at'])
    .select(['v.tax_rate', 'v.tax_inclusive', 'v.tax_exemption'])
    .orderBy('c.customer_id')
    .limit(query.limit + 1);
  if (visible !== undefined) select = select.where(visible.column, '=', visible.id);
  if (query.cursor !== undefined) {
    select = select.where('c.customer_id', '>', decodeCursor('customers', query.cursor, idCursor));
  }
  const rows = (await select.execute()).map((row) => ({
    id: row.customer_id,
    version: row.version,
    name: row.name,
    zone: row.zone,
    currency: row.currency,
    tax:
      row.tax_rate === null
        ? null
        : { rate: row.tax_rate, inclusive: row.tax_inclusive, exemption: row.tax_exemption },
    created_at: instantText(row.created_at),
  }));
  return pageOf(rows, query.limit, (last) => encodeCursor('customers', last.id));
}

async function readProviders(
  db: BillingReader,
  query: ListQuery,
  visible: { readonly column: 'provider_id'; readonly id: string } | undefined,
): Promise<Page<z.output<typeof providerAnswerSchema>>> {
  let select = db
    .selectFrom('billing.providers')
    .selectAll()
    .orderBy('provider_id')
    .limit(query.limit + 1);
  if (visible !== undefined) select = select.where(visible.column, '=', visible.id);
  if (query.cursor !== undefined) {
    select = select.where('provider_id', '>', decodeCursor('providers', query.cursor, idCursor));
  }
  const rows = (await select.execute()).map((row) => ({
    id: row.provider_id,
    name: row.name,
    currency: row.currency,
    payout_share: row.payout_share,
    created_at: instantText(row.created_at),
    updated_at: instantText(row.updated_at),
  }));
  return pageOf(rows, query.limit, (last) => encodeCursor('providers', last.id));
}
