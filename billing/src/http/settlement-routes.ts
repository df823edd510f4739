/** `/v1/wallets`, `/v1/budgets`, `/v1/payouts`, statements and exchange rates: money that is there, and where it goes. */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import { idFromFacts, parseFraction, parseInstant, type EpochMs, type Money } from '@poolmeter/domain';
import {
  answerList,
  createRouter,
  instantSchema,
  listResponses,
  moneyInput,
  moneySchema,
  operatorOnly,
  page,
  refuseOthers,
  requireScope,
  visibleRows,
  type ApiEnv,
} from '@poolmeter/http-api';
import { sql } from 'kysely';
import { instantText, optionalInstantText } from '../copies/row-copies.js';
import { lockCustomer } from '../invoicing/draft-invoice.js';
import { payProvider } from '../payouts/pay-provider.js';
import { readPayable, readStatement } from '../payouts/statements.js';
import { addGrant, readGrants } from '../wallets/wallet-store.js';
import { recordFor, type BillingApiDeps } from './billing-api-deps.js';
import { answer, jsonBody } from './wire-schemas.js';

const LISTED_MAX = 1_000;
const idText = z.string().min(1).max(200);
const month = z.string().regex(/^\d{4}-\d{2}$/, 'write a month such as 2026-03');
const currencyText = z.string().regex(/^[A-Z]{3}$/, 'write an ISO 4217 code such as USD');

const grantSchema = z
  .object({
    id: z.string(),
    left: moneySchema,
    kind: z.enum(['paid', 'promotional']),
    priority: z.int(),
    effective_from: instantSchema,
    expires_at: instantSchema.nullable(),
  })
  .openapi('WalletGrant');
const walletSchema = z.object({ customer_id: z.string(), grants: z.array(grantSchema) }).openapi('Wallet');

const showWallet = createRoute({
  method: 'get',
  path: '/v1/wallets/{customer}',
  summary: 'Prepaid money of a customer: what is left of each grant',
  middleware: [requireScope('wallets:read')],
  request: { params: z.object({ customer: idText }) },
  responses: answer(walletSchema, 'The wallet.'),
});

const postGrant = createRoute({
  method: 'post',
  path: '/v1/wallets/{customer}/grants',
  summary: 'Books prepaid money; the same id again changes nothing',
  middleware: [operatorOnly(), requireScope('wallets:write')],
  request: {
    params: z.object({ customer: idText }),
    body: jsonBody(
      z.strictObject({
        id: idText,
        amount: moneyInput,
        kind: z.enum(['paid', 'promotional']).default('paid'),
        description: z.string().max(500).default(''),
        priority: z.int().min(0).max(1_000).default(100).openapi({ description: 'Lower is used first.' }),
        effective_from: z.string().optional(),
        expires_at: z.string().optional(),
      }),
    ),
  },
  responses: answer(walletSchema, 'The wallet.'),
});

const budgetSchema = z
  .object({
    id: z.string(),
    customer_id: z.string(),
    kind: z.enum(['spend', 'wallet']),
    amount: z.string(),
    currency: z.string(),
    thresholds: z.array(z.int()),
    alerts: z.array(
      z.object({ period: z.string(), threshold: z.int(), value: z.string(), at: instantSchema }),
    ),
  })
  .openapi('Budget');

const listBudgets = createRoute({
  method: 'get',
  path: '/v1/budgets',
  summary: 'Budgets and the alerts that they gave',
  middleware: [requireScope('budgets:read')],
  responses: listResponses(budgetSchema),
});

const postBudget = createRoute({
  method: 'post',
  path: '/v1/budgets',
  summary: 'Sets a budget: one alert per month and threshold that is passed',
  middleware: [operatorOnly(), requireScope('budgets:write')],
  request: {
    body: jsonBody(
      z.strictObject({
        id: idText,
        customer_id: idText,
        kind: z.enum(['spend', 'wallet']).default('spend'),
        amount: moneyInput,
        thresholds: z.array(z.int().min(1).max(1_000)).min(1).max(20).default([80, 100]),
      }),
    ),
  },
  responses: answer(z.object({ id: z.string() }), 'The budget.'),
});

const statementSchema = z
  .object({
    provider_id: z.string(),
    period: z.string(),
    lines: z.array(z.record(z.string(), z.unknown())),
    totals: z.array(
      z.object({ currency: z.string(), gross: moneySchema, clawed_back: moneySchema, earned: moneySchema }),
    ),
    payable: z.array(moneySchema).openapi({ description: 'What is owed now, over all periods.' }),
  })
  .openapi('ProviderStatement');

const showStatement = createRoute({
  method: 'get',
  path: '/v1/providers/{id}/statements',
  summary: 'What a provider earned in a month, by invoice: gross less claw-back',
  middleware: [requireScope('payouts:read')],
  request: { params: z.object({ id: idText }), query: z.object({ period: month }) },
  responses: answer(statementSchema, 'The statement.'),
});

const payoutSchema = z
  .object({
    id: z.string(),
    provider_id: z.string(),
    amount: z.string(),
    currency: z.string(),
    paid_amount: z.string(),
    paid_currency: z.string(),
    rate: z.string().nullable(),
    paid_at: instantSchema,
  })
  .openapi('Payout');

const listPayouts = createRoute({
  method: 'get',
  path: '/v1/payouts',
  summary: 'Payouts to providers, newest first',
  middleware: [requireScope('payouts:read')],
  responses: listResponses(payoutSchema),
});

const postPayout = createRoute({
  method: 'post',
  path: '/v1/payouts',
  summary: 'Pays a provider everything that is owed in one currency; the same key again is the same payout',
  middleware: [operatorOnly(), requireScope('payouts:write')],
  request: {
    body: jsonBody(z.strictObject({ provider_id: idText, currency: currencyText, key: idText })),
  },
  responses: answer(z.object({ id: z.string() }), 'The payout.'),
});

const postRate = createRoute({
  method: 'post',
  path: '/v1/exchange-rates',
  summary: 'Enters the rate of a day; it holds until a later day has one',
  middleware: [operatorOnly(), requireScope('payouts:write')],
  request: {
    body: jsonBody(
      z.strictObject({
        from_currency: currencyText,
        to_currency: currencyText,
        day: z.iso.date(),
        rate: z.string().regex(/^\d{1,10}(\.\d{1,12})?$/, 'write digits such as "0.9213"'),
        source: z.string().min(1).max(500),
      }),
    ),
  },
  responses: answer(z.object({ day: z.string() }), 'Entered.'),
});

export function settlementRoutes(deps: BillingApiDeps): OpenAPIHono<ApiEnv> {
  const router = createRouter();
  addWallets(router, deps);
  addBudgets(router, deps);
  addPayouts(router, deps);
  return router;
}

function addWallets(router: OpenAPIHono<ApiEnv>, deps: BillingApiDeps): void {
  const wallet = async (customerId: string) => ({
    customer_id: customerId,
    grants: (await readGrants(deps.store.db, customerId)).map((grant) => ({
      id: grant.grantId,
      left: grant.left.toJSON(),
      kind: grant.kind,
      priority: grant.priority,
      effective_from: instantText(new Date(grant.effectiveFrom)),
      expires_at: optionalInstantText(grant.expiresAt === undefined ? null : new Date(grant.expiresAt)),
    })),
  });
  router.openapi(showWallet, async (c) => {
    const { customer } = c.req.valid('param');
    refuseOthers(c.get('principal'), { customerId: customer }, `wallet ${customer}`);
    return c.json(await wallet(customer), 200);
  });
  router.openapi(postGrant, async (c) => {
    const { customer: customerId } = c.req.valid('param');
    const { id, effective_from, expires_at, ...given } = c.req.valid('json');
    const now = deps.clock.now();
    const grant = {
      ...given,
      grantId: id,
      customerId,
      effectiveFrom: instantOr(effective_from, now),
      expiresAt: expires_at === undefined ? undefined : parseInstant(expires_at),
    };
    const record = recordFor(c, deps);
    await deps.store.transaction(
      async (trx) => {
        await lockCustomer(trx, customerId);
        await addGrant(trx, grant, now);
        const details = { amount: given.amount.toJSON(), kind: given.kind };
        await record(trx, { action: 'wallet.grant', objectKind: 'wallet', objectId: customerId, details });
      },
      { isolation: 'read committed' },
    );
    return c.json(await wallet(customerId), 200);
  });
}

function instantOr(text: string | undefined, otherwise: EpochMs): EpochMs {
  return text === undefined ? otherwise : parseInstant(text);
}

function addBudgets(router: OpenAPIHono<ApiEnv>, deps: BillingApiDeps): void {
  const { db } = deps.store;
  router.openapi(listBudgets, async (c) => {
    const visible = visibleRows(c.get('principal'), { customer: 'customer_id' });
    let select = db
      .selectFrom('billing.budgets')
      .selectAll()
      .where('ended_at', 'is', null)
      .orderBy('budget_id');
    if (visible !== undefined) select = select.where(visible.column, '=', visible.id);
    const budgets = await select.limit(LISTED_MAX).execute();
    const ids = budgets.map((one) => one.budget_id);
    const alerts = await db
      .selectFrom('billing.budget_alerts')
      .selectAll()
      .where('budget_id', '=', sql<string>`ANY(${ids}::text[])`)
      .orderBy('alerted_at', 'desc')
      .limit(10 * LISTED_MAX)
      .execute();
    const data = budgets.map(({ budget_id, created_at: _at, ended_at: _end, ...fields }) => ({
      id: budget_id,
      ...fields,
      alerts: alerts
        .filter((alert) => alert.budget_id === budget_id)
        .map(({ month: period, threshold, value, alerted_at }) => ({
          period,
          threshold,
          value,
          at: instantText(alerted_at),
        })),
    }));
    return answerList(c, page(data, null));
  });
  router.openapi(postBudget, async (c) => {
    const { id, amount, ...given } = c.req.valid('json');
    const record = recordFor(c, deps);
    const now = new Date(deps.clock.now());
    await deps.store.transaction(
      async (trx) => {
        await lockCustomer(trx, given.customer_id);
        const row = { ...given, ...partsOf(amount), budget_id: id, created_at: now, ended_at: null };
        await trx
          .insertInto('billing.budgets')
          .values(row)
          .onConflict((conflict) =>
            conflict
              .column('budget_id')
              .doUpdateSet({ ...partsOf(amount), thresholds: given.thresholds, ended_at: null }),
          )
          .execute();
        const details = { amount: amount.toJSON(), thresholds: given.thresholds };
        await record(trx, { action: 'budget.set', objectKind: 'budget', objectId: id, details });
      },
      { isolation: 'read committed' },
    );
    return c.json({ id }, 200);
  });
}

function partsOf(amount: Money) {
  return { amount: amount.toAmountText(), currency: amount.currency };
}

function addPayouts(router: OpenAPIHono<ApiEnv>, deps: BillingApiDeps): void {
  const { db } = deps.store;
  router.openapi(showStatement, async (c) => {
    const { id: providerId } = c.req.valid('param');
    refuseOthers(c.get('principal'), { providerId }, `provider ${providerId}`);
    const { period } = c.req.valid('query');
    const statement = await readStatement(db, { providerId, month: period });
    const payable = (await readPayable(db, providerId)).map((one) => one.toJSON());
    const lines = statement.lines.map((line) => ({ ...line }));
    return c.json({ ...statement, lines, totals: [...statement.totals], payable }, 200);
  });
  router.openapi(listPayouts, async (c) => {
    const visible = visibleRows(c.get('principal'), { provider: 'provider_id' });
    let select = db.selectFrom('billing.payouts').selectAll().orderBy('paid_at', 'desc').orderBy('payout_id');
    if (visible !== undefined) select = select.where(visible.column, '=', visible.id);
    const rows = await select.limit(LISTED_MAX).execute();
    const data = rows.map(({ payout_id, rate_day: _day, paid_at, ...fields }) => ({
      id: payout_id,
      ...fields,
      paid_at: instantText(paid_at),
    }));
    return answerList(c, page(data, null));
  });
  router.openapi(postPayout, async (c) => {
    const { provider_id: providerId, currency, key } = c.req.valid('json');
    const record = recordFor(c, deps);
    const wanted = { providerId, currency, key, now: deps.clock.now() };
    const id = await deps.store.transaction(
      async (trx) => {
        const payoutId = await payProvider(trx, wanted);
        const details = { provider_id: providerId, currency };
        await record(trx, { action: 'payout.create', objectKind: 'payout', objectId: payoutId, details });
        return payoutId;
      },
      { isolation: 'read committed' },
    );
    return c.json({ id }, 200);
  });
  router.openapi(postRate, async (c) => {
    const given = c.req.valid('json');
    parseFraction(given.rate);
    const record = recordFor(c, deps);
    const objectId = idFromFacts('fx', given.from_currency, given.to_currency, given.day);
    await deps.store.transaction(
      async (trx) => {
        await trx
          .insertInto('billing.exchange_rates')
          .values({ ...given, recorded_at: new Date(deps.clock.now()) })
          .execute();
        await record(trx, { action: 'rate.enter', objectKind: 'exchange_rate', objectId, details: given });
      },
      { isolation: 'read committed' },
    );
    return c.json({ day: given.day }, 200);
  });
}
