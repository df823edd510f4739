/** `/v1/ledger`: for operators. */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import { Money } from '@poolmeter/domain';
import {
  answerList,
  createRouter,
  decodeCursor,
  encodeCursor,
  instantSchema,
  listQuery,
  listResponses,
  moneySchema,
  operatorOnly,
  page,
  pageOf,
  requireScope,
  type ApiEnv,
  type Page,
} from '@poolmeter/http-api';
import { sql } from 'kysely';
import { instantText } from '../copies/row-copies.js';
import type { BillingReader } from '../database.js';
import type { BillingApiDeps } from './billing-api-deps.js';

const accountSchema = z
  .object({
    id: z.string(),
    kind: z.string(),
    owner_id: z.string(),
    balance: moneySchema.openapi({ description: 'Debits are positive, credits negative.' }),
  })
  .openapi('LedgerAccount');

const transactionSchema = z
  .object({
    id: z.string(),
    kind: z.string(),
    invoice_id: z.string().nullable(),
    object_id: z.string(),
    occurred_at: instantSchema,
    description: z.string(),
    entries: z.array(z.object({ account_id: z.string(), amount: moneySchema })),
  })
  .openapi('LedgerTransaction');

const reading = [operatorOnly(), requireScope('ledger:read')];

const listAccounts = createRoute({
  method: 'get',
  path: '/v1/ledger/accounts',
  summary: 'Balances, one row per account and currency',
  middleware: reading,
  responses: listResponses(accountSchema),
});

const listTransactions = createRoute({
  method: 'get',
  path: '/v1/ledger/transactions',
  summary: 'Booked business events with their entries, newest first',
  middleware: reading,
  request: { query: listQuery.extend({ invoice_id: z.string().max(200).optional() }) },
  responses: listResponses(transactionSchema),
});

export function ledgerRoutes(deps: BillingApiDeps): OpenAPIHono<ApiEnv> {
  const router = createRouter();
  router.openapi(listAccounts, async (c) => answerList(c, page(await readAccounts(deps.store.db), null)));
  router.openapi(listTransactions, async (c) =>
    answerList(c, await readTransactions(deps.store.db, c.req.valid('query'))),
  );
  return router;
}

async function readAccounts(db: BillingReader): Promise<z.output<typeof accountSchema>[]> {
  const { rows } = await sql<{
    account_id: string;
    kind: string;
    owner_id: string;
    currency: string;
    balance: string;
  }>`
    SELECT a.account_id, a.kind, a.owner_id, e.currency, sum(e.amount) AS balance
    FROM billing.ledger_accounts AS a
    JOIN billing.ledger_entries AS e USING (account_id)
    GROUP BY a.account_id, e.currency
    ORDER BY a.account_id, e.currency`.execute(db);
  return rows.map((row) => ({
    id: row.account_id,
    kind: row.kind,
    owner_id: row.owner_id,
    balance: Money.of(row.balance, row.currency).toJSON(),
  }));
}

const transactionCursor = z.object({ at: z.int(), id: z.string() });

async function readTransactions(
  db: BillingReader,
  query: z.output<typeof listQuery> & { readonly invoice_id?: string | undefined },
): Promise<Page<z.output<typeof transactionSchema>>> {
  let select = db
    .selectFrom('billing.ledger_transactions')
    .selectAll()
    .orderBy('occurred_at', 'desc')
    .orderBy('transaction_id', 'desc')
    .limit(query.limit + 1);
  if (query.invoice_id !== undefined) select = select.where('invoice_id', '=', query.invoice_id);
  if (query.cursor !== undefined) {
    const { at, id } = decodeCursor('ledger-transactions', query.cursor, transactionCursor);
    const occurred = new Date(at);
    select = select.where((either) =>
      either.or([
        either('occurred_at', '<', occurred),
        either.and([either('occurred_at', '=', occurred), either('transaction_id', '<', id)]),
      ]),
    );
  }
  const shown = pageOf(await select.execute(), query.limit, (last) =>
    encodeCursor('ledger-transactions', { at: last.occurred_at.getTime(), id: last.transaction_id }),
  );
  const ids = shown.data.map((row) => row.transaction_id);
  const entries = await db
    .selectFrom('billing.ledger_entries')
    .selectAll()
    .where('transaction_id', '=', sql<string>`ANY(${ids}::text[])`)
    .orderBy('entry')
    .execute();
  const data = shown.data.map((row) => ({
    id: row.transaction_id,
    kind: row.kind,
    invoice_id: row.invoice_id,
    object_id: row.object_id,
    occurred_at: instantText(row.occurred_at),
    description: row.description,
    entries: entries
      .filter((entry) => entry.transaction_id === row.transaction_id)
      .map((entry) => ({
        account_id: entry.account_id,
        amount: Money.of(entry.amount, entry.currency).toJSON(),
      })),
  }));
  return { ...shown, data };
}
