/** `/v1/prices` and `/v1/contracts`. */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import {
  answerList,
  createRouter,
  decodeCursor,
  encodeCursor,
  listQuery,
  listResponses,
  operatorOnly,
  page,
  pageOf,
  requireScope,
  visibleRows,
  type ApiEnv,
  type Page,
} from '@poolmeter/http-api';
import { instantText } from '../copies/row-copies.js';
import type { BillingReader } from '../database.js';
import { contractSchema, contractsFileSchema } from '../files/contracts-file.js';
import { pricesFileSchema } from '../files/prices-file.js';
import { applyContract, applyPrices } from '../prices/price-store.js';
import { rateSchema } from '../rating/rate-json.js';
import { recordFor, type BillingApiDeps } from './billing-api-deps.js';
import { answer, jsonBody, priceBookAnswerSchema } from './wire-schemas.js';

const appliedSchema = z.object({ version: z.int(), outcome: z.enum(['created', 'unchanged']) });

const listPrices = createRoute({
  method: 'get',
  path: '/v1/prices',
  summary: 'Versions of the price book, newest first',
  middleware: [requireScope('prices:read')],
  request: { query: listQuery },
  responses: listResponses(priceBookAnswerSchema),
});

const postPrices = createRoute({
  method: 'post',
  path: '/v1/prices',
  summary: 'A new version of the price book; the same content again is the version that is there',
  middleware: [operatorOnly(), requireScope('prices:write')],
  request: { body: jsonBody(pricesFileSchema) },
  responses: answer(appliedSchema, 'The version.'),
});

const contractAnswerSchema = contractSchema
  .extend({ version: z.int(), recorded_at: z.string() })
  .openapi('Contract');

const listContracts = createRoute({
  method: 'get',
  path: '/v1/contracts',
  summary: 'All versions of contracts',
  middleware: [requireScope('contracts:read')],
  request: { query: z.object({ customer_id: z.string().max(200).optional() }) },
  responses: listResponses(contractAnswerSchema),
});

const postContracts = createRoute({
  method: 'post',
  path: '/v1/contracts',
  summary: 'Applies contracts: a changed one gets a new version',
  middleware: [operatorOnly(), requireScope('contracts:write')],
  request: { body: jsonBody(contractsFileSchema) },
  responses: answer(
    z.object({ contracts: z.array(appliedSchema.extend({ id: z.string() })) }),
    'The version of each.',
  ),
});

export function priceRoutes(deps: BillingApiDeps): OpenAPIHono<ApiEnv> {
  const router = createRouter();
  router.openapi(listPrices, async (c) =>
    answerList(c, await readBooks(deps.store.db, c.req.valid('query'))),
  );
  router.openapi(postPrices, async (c) => {
    const file = c.req.valid('json');
    const record = recordFor(c, deps);
    const applied = await deps.store.transaction(
      async (trx) => {
        const done = await applyPrices(trx, file, deps.clock);
        const objectId = String(done.version);
        await record(trx, {
          action: 'prices.apply',
          objectKind: 'price_book',
          objectId,
          details: { ...done },
        });
        return done;
      },
      { isolation: 'read committed' },
    );
    return c.json(applied, 200);
  });
  router.openapi(listContracts, async (c) => {
    const visible = visibleRows(c.get('principal'), { customer: 'customer_id' });
    const customerId = visible?.id ?? c.req.valid('query').customer_id;
    let select = deps.store.db
      .selectFrom('billing.contracts')
      .select(['terms', 'version', 'recorded_at'])
      .orderBy('contract_id')
      .orderBy('version');
    if (customerId !== undefined) select = select.where('customer_id', '=', customerId);
    const rows = (await select.execute()).map((row) => ({
      ...contractSchema.parse(row.terms),
      version: row.version,
      recorded_at: instantText(row.recorded_at),
    }));
    return answerList(c, page(rows, null));
  });
  router.openapi(postContracts, async (c) => {
    const { contracts } = c.req.valid('json');
    const record = recordFor(c, deps);
    const applied = await deps.store.transaction(
      async (trx) => {
        const all = [];
        for (const entry of contracts) {
          const done = { id: entry.id, ...(await applyContract(trx, entry, deps.clock)) };
          await record(trx, {
            action: 'contract.apply',
            objectKind: 'contract',
            objectId: entry.id,
            details: done,
          });
          all.push(done);
        }
        return all;
      },
      { isolation: 'read committed' },
    );
    return c.json({ contracts: applied }, 200);
  });
  return router;
}

async function readBooks(
  db: BillingReader,
  query: z.output<typeof listQuery>,
): Promise<Page<z.output<typeof priceBookAnswerSchema>>> {
  let select = db
    .selectFrom('billing.price_books')
    .selectAll()
    .orderBy('version', 'desc')
    .limit(query.limit + 1);
  if (query.cursor !== undefined) {
    select = select.where('version', '<', decodeCursor('prices', query.cursor, z.int()));
  }
  const rows = (await select.execute()).map((row) => ({
    version: row.version,
    currency: row.currency,
    effective_from: instantText(row.effective_from),
    rates: z.array(rateSchema).parse(row.rates),
    recorded_at: instantText(row.recorded_at),
  }));
  return pageOf(rows, query.limit, (last) => encodeCursor('prices', last.version));
}
