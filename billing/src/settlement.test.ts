/** What comes after an invoice is final: notes, prepaid money, payouts, holds, parked accounts, budgets. */
import { createApi } from '@poolmeter/http-api';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { checkBudgets } from './budgets/check-budgets.js';
import { billingRoutes } from './http/billing-routes.js';
import { closePeriod } from './invoicing/close-period.js';
import { draftInvoice } from './invoicing/draft-invoice.js';
import { verifyInvoice } from './invoicing/verify-invoice.js';
import { voidInvoice } from './invoicing/void-invoice.js';
import { recordLeaseEvents } from './leases/record-lease-events.js';
import { checkPeriod } from './reconciliation/check-period.js';
import { sampleEvent, sampleLeases } from './sample-world.js';
import { startTestBilling, type TestBilling } from './start-test-billing.js';

let billing: TestBilling;
let api: ReturnType<typeof createApi>;
const noAudit = () => Promise.resolve();

beforeAll(async () => {
  billing = await startTestBilling();
  api = createApi({
    logger: billing.deps.logger,
    clock: billing.clock,
    tokens: {
      verify: () => Promise.resolve({ tokenId: 't', binding: { kind: 'operator' }, scopes: ['*'] }),
    },
  });
  api.route('/', billingRoutes(billing.deps));
});
afterAll(() => billing.stop());

async function call(method: string, path: string, body?: unknown): Promise<{ status: number; json: never }> {
  const headers = { authorization: 'Bearer t', 'content-type': 'application/json' };
  const answer = await api.request(path, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.status, json: (await answer.json()) as never };
}

/** Ten GPU-hours in March at 3.00, on hardware whose owner gets 80 %. */
beforeEach(async () => {
  await billing.clear();
  await call('POST', '/v1/customers', {
    customers: [{ id: 'acme', currency: 'USD', tax: { rate: '0.10' } }],
    providers: [{ id: 'north', currency: 'EUR', payout_share: '0.80' }],
  });
  await call('POST', '/v1/prices', {
    currency: 'USD',
    effective_from: '2026-01-01T00:00:00Z',
    rates: [{ per_gpu_hour: '3.00' }],
  });
  const leases = sampleLeases([{ id: 'L1', from: '2026-03-05T10:00:00Z', to: '2026-03-05T20:00:00Z' }]);
  await record(leases);
});

function record(events: Parameters<typeof recordLeaseEvents>[1]) {
  return recordLeaseEvents(billing.store, events, {
    clock: billing.clock,
    source: 'api',
    onOverlap: 'refuse',
    onUnknownLease: 'refuse',
  });
}

async function close(month = '2026-03'): Promise<string> {
  const [closed] = await closePeriod(billing.deps, { month, customerId: 'acme' }, noAudit);
  return closed!.invoiceId!;
}

async function verdict(billingClass: 'B' | 'C' | 'H', revision: number, to = '2026-03-05T12:00:00Z') {
  await sql`
    INSERT INTO alerts.verdicts VALUES ('v1', 'inc1', 'xid-79', 'GPU-1', '', 'gpu-01', '2026-03-05T10:00:00Z', ${to},
      ${billingClass}, 'hardware', 'fault-policy 1', ${BigInt(revision)}, 'NVRM: Xid 79')
    ON CONFLICT (verdict_id) DO UPDATE SET billing_class = excluded.billing_class, revision = excluded.revision,
      ended_at = excluded.ended_at`.execute(billing.store.db);
}

async function balances(): Promise<Record<string, string>> {
  const { rows } = await sql<{ account_id: string; currency: string; balance: string }>`
    SELECT account_id, currency, trim_scale(sum(amount))::text AS balance FROM billing.ledger_entries
    GROUP BY account_id, currency HAVING sum(amount) <> 0 ORDER BY 1, 2`.execute(billing.store.db);
  return Object.fromEntries(rows.map((row) => [`${row.account_id} ${row.currency}`, row.balance]));
}

describe('credit and debit notes', () => {
  it('a verdict that becomes C gives a credit note, one that becomes B again a debit note', async () => {
    const invoiceId = await close();
    expect(await call('POST', '/v1/credit-notes', { invoice_id: 'PM-000001' })).toMatchObject({
      status: 200,
      json: { note: null },
    });
    await verdict('C', 2);
    const credit = await call('POST', '/v1/credit-notes', { invoice_id: 'PM-000001' });
    expect(credit.json).toMatchObject({
      note: {
        number: 'CN-000001',
        kind: 'credit',
        gpu_ms: '-7200000',
        subtotal: { amount: '-6.00' },
        tax: { amount: '-0.60' },
        total: { amount: '-6.60' },
      },
    });
    // 33.00 less 6.60; the provider's 24.00 less 4.80.
    expect(await balances()).toEqual({
      'customer_receivable:acme USD': '26.4',
      'provider_payable:north USD': '-19.2',
      'revenue USD': '-4.8',
      'tax_payable USD': '-2.4',
    });
    expect((await verifyInvoice(billing.store, invoiceId)).match).toBe(true);
    expect((await checkPeriod(billing.deps, '2026-03')).filter((one) => !one.ok)).toEqual([]);
    await verdict('B', 3);
    expect((await call('POST', '/v1/credit-notes', { invoice_id: invoiceId })).json).toMatchObject({
      note: { number: 'DN-000001', kind: 'debit', total: { amount: '6.60' } },
    });
    await expect(voidInvoice(billing.deps, { invoiceId, reason: 'x' }, noAudit)).rejects.toThrow('CN-000001');
  });

  it('waits while the incident is not classified', async () => {
    await close();
    await verdict('H', 2);
    expect((await call('POST', '/v1/credit-notes', { invoice_id: 'PM-000001' })).json).toMatchObject({
      code: 'invoice.held',
    });
  });

  it('a note and late usage together charge what is known of both', async () => {
    await close();
    await verdict('C', 2);
    await call('POST', '/v1/credit-notes', { invoice_id: 'PM-000001' });
    // The lease ended at 13:00 already: 3 h, of which 2 h are credited, so 3.00 are due of the 30.00.
    const late = {
      leaseId: 'L1',
      type: 'ended' as const,
      at: '2026-03-05T13:00:00Z',
      position: 9n,
      columns: {},
    };
    await record([sampleEvent(late)]);
    const april = await close('2026-04');
    const lines = await billing.store.db
      .selectFrom('billing.invoice_lines')
      .select(['kind', 'amount'])
      .where('invoice_id', '=', april)
      .where('kind', '=', 'adjustment')
      .execute();
    expect(lines.map((line) => Number(line.amount))).toEqual([3 - (30 - 6)]);
    expect((await verifyInvoice(billing.store, april)).match).toBe(true);
    await verdict('C', 3, '2026-03-05T11:00:00Z');
    expect((await call('POST', '/v1/credit-notes', { invoice_id: 'PM-000001' })).json).toMatchObject({
      note: { number: 'DN-000001', subtotal: { amount: '3.00' } },
    });
  });
});

describe('prepaid money', () => {
  const grant = (id: string, amount: string, more: object = {}) =>
    call('POST', '/v1/wallets/acme/grants', { id, amount: { amount, currency: 'USD' }, ...more });

  it('settles invoices in order of use, comes back when one is void, and expires', async () => {
    await grant('late', '10.00', {
      effective_from: '2026-01-01T00:00:00Z',
      expires_at: '2026-12-01T00:00:00Z',
    });
    await grant('soon', '20.00', {
      effective_from: '2026-01-01T00:00:00Z',
      expires_at: '2026-07-01T00:00:00Z',
    });
    await grant('soon', '20.00', {
      effective_from: '2026-01-01T00:00:00Z',
      expires_at: '2026-07-01T00:00:00Z',
    });
    await grant('gift', '1.00', { kind: 'promotional', priority: 1, effective_from: '2026-01-01T00:00:00Z' });
    const invoiceId = await close();
    const shown = await call('GET', `/v1/invoices/${invoiceId}`);
    expect(shown.json).toMatchObject({
      total: { amount: '33.00' },
      wallet_drawn: { amount: '31.00' },
      amount_due: { amount: '2.00' },
    });
    expect(await balances()).toMatchObject({ 'customer_receivable:acme USD': '2', 'cash USD': '30' });
    await voidInvoice(billing.deps, { invoiceId, reason: 'wrong' }, noAudit);
    expect(await balances()).toEqual({ 'cash USD': '30', 'promotions USD': '1', 'wallet:acme USD': '-31' });
    const overdraw = sql`
      INSERT INTO billing.wallet_movements (grant_id, kind, amount, invoice_id, moved_at)
      VALUES ('gift', 'draw', 5, NULL, now())`;
    await expect(overdraw.execute(billing.store.db)).rejects.toThrow(/overdrawn/);
  });

  it('a budget gives one alert per threshold and month', async () => {
    billing.clock.set(Date.parse('2026-06-15T00:00:00Z') as never);
    await record(
      sampleLeases([{ id: 'J1', gpu: 'GPU-9', from: '2026-06-02T00:00:00Z', to: '2026-06-02T03:00:00Z' }]),
    );
    const amount = { amount: '10.00', currency: 'USD' };
    await call('POST', '/v1/budgets', { id: 'b1', customer_id: 'acme', amount, thresholds: [50, 90, 100] });
    expect(await checkBudgets(billing.deps)).toEqual([]);
    await draftInvoice(billing.deps, { customerId: 'acme', month: '2026-06', withEvidence: false });
    // 9.00 and 10 % tax.
    expect((await checkBudgets(billing.deps)).map((alert) => [alert.threshold, alert.value])).toEqual([
      [50, '9.90'],
      [90, '9.90'],
    ]);
    expect(await checkBudgets(billing.deps)).toEqual([]);
    expect((await call('GET', '/v1/budgets')).json).toMatchObject({
      data: [{ id: 'b1', alerts: [{ threshold: 50 }, { threshold: 90 }] }],
    });
  });
});

describe('providers', () => {
  it('see gross, claw-back and what was earned, and are paid in their currency by an entered rate', async () => {
    await verdict('C', 1);
    await close();
    expect((await call('GET', '/v1/providers/north/statements?period=2026-03')).json).toMatchObject({
      totals: [{ gross: { amount: '24.00' }, clawed_back: { amount: '4.80' }, earned: { amount: '19.20' } }],
      payable: [{ amount: '19.20', currency: 'USD' }],
    });
    const wanted = { provider_id: 'north', currency: 'USD', key: 'march' };
    expect(await call('POST', '/v1/payouts', wanted)).toMatchObject({ json: { code: 'price.missing' } });
    const day = { from_currency: 'USD', to_currency: 'EUR', day: '2026-05-31', rate: '0.9', source: 'bank' };
    expect((await call('POST', '/v1/exchange-rates', day)).status).toBe(200);
    const first = await call('POST', '/v1/payouts', wanted);
    expect(await call('POST', '/v1/payouts', wanted)).toEqual(first);
    expect((await call('GET', '/v1/payouts')).json).toMatchObject({
      data: [{ amount: '19.200000000', paid_amount: '17.280000000', paid_currency: 'EUR', rate: '9/10' }],
    });
    expect(await balances()).toMatchObject({
      'cash EUR': '-17.28',
      'exchange EUR': '17.28',
      'exchange USD': '-19.2',
    });
  });
});

describe('holds and parked accounts', () => {
  it('a hold keeps an invoice from being final until it is released', async () => {
    const placed = await call('POST', '/v1/holds', {
      id: 'h1',
      customer_id: 'acme',
      period: '2026-03',
      reason: 'charge_disputed',
      description: 'The customer says the job never ran.',
      blocked: '30.00',
      cleared_by: 'a look at the job log',
    });
    expect(placed.status).toBe(200);
    await expect(close()).rejects.toThrow('The customer says the job never ran.');
    await call('POST', '/v1/holds/h1/release', { note: 'It ran.' });
    expect((await verifyInvoice(billing.store, await close())).match).toBe(true);
  });

  it('a broken law parks the account; nothing is invoiced until it is released', async () => {
    const invoiceId = await close();
    await billing.store.db.transaction().execute(async (trx) => {
      await sql`SET LOCAL session_replication_role = replica`.execute(trx);
      await sql`UPDATE billing.invoice_lines SET amount = amount + 1 WHERE invoice_id = ${invoiceId} AND kind = 'usage'`.execute(
        trx,
      );
    });
    const run = await call('POST', '/v1/reconciliation', { period: '2026-03' });
    expect(run.json).toMatchObject({ ok: false, parked: ['acme'] });
    await record(sampleLeases([{ id: 'A1', from: '2026-04-05T10:00:00Z', to: '2026-04-05T11:00:00Z' }]));
    await expect(close('2026-04')).rejects.toThrow('parked');
    const note = { note: 'mended' };
    await call('POST', '/v1/reconciliation/parked-accounts/acme/release', note);
    expect(await close('2026-04')).toMatch(/^inv_/);
    expect((await call('GET', '/v1/reconciliation/findings')).json).toMatchObject({
      data: [{ period: '2026-03' }],
    });
  });
});
