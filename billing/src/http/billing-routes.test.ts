/** The finance API as tools use it, over HTTP shapes and with tokens of all three kinds. */
import { createApi, type Binding } from '@poolmeter/http-api';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestBilling, type TestBilling } from '../start-test-billing.js';
import { billingRoutes } from './billing-routes.js';

let billing: TestBilling;
let api: ReturnType<typeof createApi>;

const bindings: Record<string, Binding> = {
  operator: { kind: 'operator' },
  acme: { kind: 'customer', id: 'acme' },
  rival: { kind: 'customer', id: 'rival' },
  north: { kind: 'provider', id: 'north' },
};

beforeAll(async () => {
  billing = await startTestBilling();
  api = createApi({
    logger: billing.deps.logger,
    clock: billing.clock,
    tokens: {
      verify: (token) => {
        const binding = bindings[token];
        return Promise.resolve(
          binding === undefined ? undefined : { tokenId: token, binding, scopes: ['*'] },
        );
      },
    },
  });
  api.route('/', billingRoutes(billing.deps));
});
afterAll(() => billing.stop());

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly json: Body;
}

/** The members that the tests below reach into; what an answer holds besides is compared as a whole. */
interface Body {
  readonly id: string;
  readonly ok: boolean;
  readonly detail: string;
  readonly errors: readonly object[];
  readonly data: readonly Row[];
  readonly total: { readonly amount: string; readonly gpu_ms: string };
  readonly lines: readonly { readonly id: string }[];
  readonly rejected_csv: string;
  readonly manifest: object;
  readonly customers: readonly object[];
  readonly providers: readonly object[];
  readonly contracts: readonly object[];
  readonly paths: object;
}

interface Row {
  readonly event_id: string;
  readonly group: object;
  readonly gpu_ms: string;
  readonly gpu_hours: string;
}

async function call(
  path: string,
  options: { as?: string; post?: unknown; csv?: string; accept?: string } = {},
): Promise<Answer> {
  const { as = 'operator', post, csv, accept } = options;
  const headers: Record<string, string> = { authorization: `Bearer ${as}` };
  if (accept !== undefined) headers['accept'] = accept;
  if (post !== undefined) headers['content-type'] = 'application/json';
  if (csv !== undefined) headers['content-type'] = 'text/csv';
  const isPost = post !== undefined || csv !== undefined;
  const body = isPost ? { method: 'POST', body: csv ?? JSON.stringify(post) } : {};
  const response = await api.request(path, { headers, ...body });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') === true;
  return { status: response.status, text, json: (isJson ? JSON.parse(text) : {}) as Body };
}

const started = {
  event_id: 'e1',
  type: 'started',
  lease_id: 'L1',
  at: '2026-03-01T00:00:00Z',
  customer_id: 'acme',
  provider_id: 'north',
  pool: 'main',
  node: 'gpu-01',
  gpu_uuid: 'GPU-1',
  gpu_model: 'H100',
};
const ended = { event_id: 'e2', type: 'ended', lease_id: 'L1', at: '2026-03-01T02:30:00Z' };
const prices = { currency: 'USD', effective_from: '2026-01-01T00:00:00Z', rates: [{ per_gpu_hour: '2.50' }] };

beforeEach(async () => {
  await billing.clear();
  expect((await call('/v1/prices', { post: prices })).json).toEqual({ version: 1, outcome: 'created' });
});

describe('lease events', () => {
  it('takes one or many, answers a repeat the same, and refuses an overlap with 409', async () => {
    const one = await call('/v1/lease-events', { post: started });
    expect(one.status).toBe(200);
    expect(one.json).toMatchObject({ event_id: 'e1', share: '1', recorded_at: '2026-06-15T00:00:00Z' });
    const many = await call('/v1/lease-events', { post: [started, ended] });
    expect(many.json.data.map((event) => event.event_id)).toEqual(['e1', 'e2']);
    expect(many.json.data[0]).toEqual(one.json);
    const other = { ...started, event_id: 'e3', lease_id: 'L2', at: '2026-03-01T01:00:00Z' };
    const refused = await call('/v1/lease-events', { post: other });
    expect(refused.status).toBe(409);
    expect(refused.json).toMatchObject({ code: 'lease.overlap', details: { other_lease_ids: ['L1'] } });
    const unknown = await call('/v1/lease-events', { post: { ...ended, event_id: 'e9', lease_id: 'L9' } });
    expect(unknown).toMatchObject({ status: 404, json: { code: 'lease.unknown' } });
    const wrong = await call('/v1/lease-events', { post: { ...started, share: '0.5' } });
    expect(wrong.status).toBe(400);
    expect(JSON.stringify(wrong.json.errors)).toContain('share');
  });

  it('an amendment changes what it names, and nothing else', async () => {
    await call('/v1/lease-events', { post: [{ ...started, share: '1/7' }, ended] });
    const amended = {
      event_id: 'e3',
      type: 'amended',
      lease_id: 'L1',
      at: '2026-03-01T01:00:00Z',
      project: 'beta',
    };
    expect((await call('/v1/lease-events', { post: amended })).json).not.toHaveProperty('share');
    expect((await call('/v1/leases/L1')).json).toMatchObject({ share: '1/7', project: 'beta' });
    const usage = await call('/v1/usage?from=2026-03-01T00:00:00Z&to=2026-04-01T00:00:00Z&group_by=project');
    expect(usage.json.data.map((row) => [row.group, row.gpu_ms])).toEqual([
      [{ project: '' }, '3600000/7'],
      [{ project: 'beta' }, '5400000/7'],
    ]);
    expect(usage.json.total).toMatchObject({
      gpu_ms: '9000000/7',
      billed_gpu_ms: '9000000/7',
      held_gpu_ms: '0',
    });
  });
});

describe('leases CSV over HTTP', () => {
  const csv = [
    'lease_id,customer_id,provider_id,pool,node,gpu_uuid,gpu_model,share,started_at,ended_at,team',
    'L1,acme,north,main,gpu-01,GPU-1,H100,1/7,2026-03-01T00:00:00Z,2026-03-01T02:30:00.5Z,blue',
    'L2,acme,north,main,gpu-01,GPU-2,H100,1,2026-03-01T00:00:00Z,,',
  ].join('\n');

  it('what is exported can be imported again, and changes nothing', async () => {
    const first = await call('/v1/leases/import', { csv });
    expect(first.json).toMatchObject({
      imported: 2,
      created_customers: ['acme'],
      created_providers: ['north'],
    });
    const exported = await call('/v1/leases', { accept: 'text/csv' });
    expect(exported.text.split('\r\n')[1]).toBe(
      'L1,acme,north,main,gpu-01,GPU-1,0,H100,1/7,2026-03-01T00:00:00Z,2026-03-01T02:30:00.500Z,on_demand,,,blue',
    );
    const again = await call('/v1/leases/import', { csv: exported.text });
    expect(again.json).toMatchObject({ imported: 0, unchanged: 2, rejected: [] });
  });

  it('bad rows come back with their lines', async () => {
    const bad = `${csv}\nL3,acme,north,main,gpu-01,GPU-3,H100,2,2026-03-01T00:00:00Z,,`;
    const refused = await call('/v1/leases/import', { csv: bad });
    expect(refused.status).toBe(400);
    expect(refused.json.errors).toEqual([
      { path: 'line 4', message: expect.stringContaining('outside of (0, 1]') as string },
    ]);
    const skipped = await call('/v1/leases/import?skip_bad_rows=true', { csv: bad });
    expect(skipped.json).toMatchObject({ imported: 2, rejected: [{ line: 4 }] });
    expect(skipped.json.rejected_csv).toContain('L3,acme');
  });
});

describe('invoices over HTTP', () => {
  it('preview, finalize, explain, verify: plain is 6.25 USD all the way', async () => {
    await call('/v1/lease-events', { post: [started, ended] });
    const draft = await call('/v1/invoices/preview', { post: { customer_id: 'acme', period: '2026-03' } });
    expect(draft.json).toMatchObject({
      status: 'draft',
      number: null,
      period: { start: '2026-03-01T00:00:00Z', end: '2026-04-01T00:00:00Z', zone: 'UTC' },
      total: { amount: '6.25', currency: 'USD' },
      lines: [{ kind: 'usage', gpu_ms: '9000000', gpu_hours: '2.500000000', unit_price: { amount: '2.50' } }],
    });
    const closed = await call('/v1/invoices/finalize', { post: { period: '2026-03' } });
    expect(closed.json.data).toMatchObject([{ outcome: 'finalized', invoice: { number: 'PM-000001' } }]);
    const again = await call('/v1/invoices/finalize', { post: { period: '2026-03' } });
    expect(again.json.data).toMatchObject([{ outcome: 'already_final' }]);
    const { id, lines } = (await call('/v1/invoices/PM-000001')).json;
    expect(id).toBe(draft.json.id);
    const line = `/v1/invoice-lines/${lines[0]!.id}`;
    expect((await call(`${line}/explain`)).json).toMatchObject({
      formula: '2.5 GPU-h × 2.5',
      price_version: 'book 1',
      cut_points: ['2026-03-01T00:00:00Z', '2026-03-01T02:30:00Z'],
      exclusions: [],
      evidence: { covered_seconds: 9000 },
    });
    expect((await call(`${line}/intervals`)).json.data).toMatchObject([
      { lease_id: 'L1', amount: { amount: '6.25' } },
    ]);
    expect((await call(`${line}/samples`)).json.data).toMatchObject([{ gpu_uuid: 'GPU-1' }]);
    const verified = await call(`/v1/invoices/${id}/verify`, { post: {} });
    expect(verified.json).toMatchObject({
      match: true,
      recomputed_total: { amount: '6.25' },
      differences: [],
    });
    expect((await call(`/v1/invoices/${id}/manifest`)).json.manifest).toMatchObject({
      calculation_version: 1,
    });
    const books = (await call('/v1/ledger/accounts')).json.data;
    expect(books).toMatchObject([{ id: 'customer_receivable:acme' }, { id: 'revenue' }]);
    expect((await call('/v1/reconciliation?period=2026-03')).json.ok).toBe(true);
    const audit = await billing.store.db
      .withTables<{ 'access.audit_log': { action: string } }>()
      .selectFrom('access.audit_log')
      .select('action')
      .execute();
    expect(audit.map((row) => row.action)).toContain('invoice.finalize');
  });

  it('everybody sees their own', async () => {
    await call('/v1/lease-events', { post: [started, ended] });
    await call('/v1/invoices/finalize', { post: { period: '2026-03' } });
    const count = async (path: string, as: string) => (await call(path, { as })).json.data.length;
    expect(await count('/v1/invoices', 'acme')).toBe(1);
    expect(await count('/v1/invoices', 'rival')).toBe(0);
    expect(await count('/v1/leases', 'north')).toBe(1);
    expect(await count('/v1/leases', 'rival')).toBe(0);
    expect((await call('/v1/invoices', { as: 'north' })).status).toBe(403);
    expect((await call('/v1/invoices/PM-000001', { as: 'rival' })).status).toBe(404);
    const usage = '/v1/usage?from=2026-03-01T00:00:00Z&to=2026-04-01T00:00:00Z';
    expect((await call(`${usage}&customer_id=acme`, { as: 'rival' })).json.total.gpu_ms).toBe('0');
    expect((await call('/v1/lease-events', { as: 'acme', post: started })).status).toBe(403);
    expect((await call('/v1/ledger/accounts', { as: 'acme' })).status).toBe(403);
    const preview = { customer_id: 'acme', period: '2026-03' };
    expect((await call('/v1/invoices/preview', { as: 'rival', post: preview })).status).toBe(404);
  });

  it('usage by local day: the day of the clock change has 23 hours', async () => {
    const long = { ...ended, at: '2026-04-01T00:00:00Z' };
    await call('/v1/lease-events', { post: [started, long] });
    const usage = await call(
      '/v1/usage?from=2026-03-28T23:00:00Z&to=2026-03-30T22:00:00Z&bucket=day&tz=Europe/Berlin&group_by=',
    );
    expect(usage.json.data.map((row) => [row.group, row.gpu_hours])).toEqual([
      [{ bucket_start: '2026-03-28T23:00:00Z' }, '23.000000000'],
      [{ bucket_start: '2026-03-29T22:00:00Z' }, '24.000000000'],
    ]);
  });

  it('a GPU without a price answers 422 and names it', async () => {
    await call('/v1/lease-events', { post: [started, ended] });
    const later = {
      ...prices,
      effective_from: '2026-02-01T00:00:00Z',
      rates: [{ gpu_model: 'A100', per_gpu_hour: '1' }],
    };
    await call('/v1/prices', { post: later });
    const refused = await call('/v1/invoices/preview', { post: { customer_id: 'acme', period: '2026-03' } });
    expect(refused).toMatchObject({ status: 422, json: { code: 'price.missing' } });
    expect(refused.json.detail).toContain('H100 (GPU-1)');
  });

  it('customers, providers and contracts are applied once, and listed', async () => {
    const file = {
      customers: [{ id: 'acme', zone: 'Europe/Berlin' }],
      providers: [{ id: 'north', payout_share: '0.8' }],
    };
    expect((await call('/v1/customers', { post: file })).json.customers).toEqual([
      { id: 'acme', outcome: 'created' },
    ]);
    expect((await call('/v1/customers', { post: file })).json.providers).toEqual([
      { id: 'north', outcome: 'unchanged' },
    ]);
    const wrong = await call('/v1/customers', { post: { customers: [{ id: 'x', zone: 'Mars/Base' }] } });
    expect(wrong).toMatchObject({
      status: 400,
      json: { detail: expect.stringContaining('Mars/Base') as string },
    });
    const contract = {
      id: 'c1',
      customer: 'acme',
      effective_from: '2026-01-01T00:00:00Z',
      minimum_spend: '100.00',
    };
    expect((await call('/v1/contracts', { post: { contracts: [contract] } })).json.contracts).toMatchObject([
      { id: 'c1', version: 1, outcome: 'created' },
    ]);
    expect((await call('/v1/customers')).json.data).toMatchObject([{ id: 'acme', zone: 'Europe/Berlin' }]);
    expect((await call('/v1/contracts', { as: 'rival' })).json.data).toEqual([]);
    await call('/v1/lease-events', { post: [started, ended] });
    const draft = await call('/v1/invoices/preview', { post: { customer_id: 'acme', period: '2026-03' } });
    expect(draft.json.total.amount).toBe('100.00');
  });

  it('every route is in the OpenAPI document', async () => {
    const { paths } = (await call('/openapi.json')).json;
    for (const path of [
      '/v1/lease-events',
      '/v1/usage',
      '/v1/invoices/{id}/verify',
      '/v1/invoice-lines/{id}/samples',
    ]) {
      expect(Object.keys(paths)).toContain(path);
    }
  });
});
