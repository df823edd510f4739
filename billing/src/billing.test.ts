/** Billing on a real PostgreSQL: what goes in twice counts once, what is final can be proved, what is tampered with shows. */
import { isPoolmeterError, type PoolmeterError } from '@poolmeter/domain';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { applyCustomer, applyProvider } from './customers/parties.js';
import { customerSchema, providerSchema } from './files/customers-file.js';
import { pricesFileSchema } from './files/prices-file.js';
import { closePeriod } from './invoicing/close-period.js';
import { draftInvoice } from './invoicing/draft-invoice.js';
import { finalizeInvoice } from './invoicing/finalize-invoice.js';
import { previewInvoice } from './invoicing/preview-invoice.js';
import { readInvoiceRow, readLines } from './invoicing/read-invoices.js';
import { refreshDrafts } from './invoicing/refresh-drafts.js';
import { verifyInvoice } from './invoicing/verify-invoice.js';
import { voidInvoice } from './invoicing/void-invoice.js';
import { importLeases } from './leases/import-leases.js';
import { recordLeaseEvents } from './leases/record-lease-events.js';
import type { LeaseEventFacts } from './leases/recorded-lease-event.js';
import { applyPrices } from './prices/price-store.js';
import { checkPeriod } from './reconciliation/check-period.js';
import { sampleLeases, type SampleLease } from './sample-world.js';
import { startTestBilling, type TestBilling } from './start-test-billing.js';

let billing: TestBilling;

beforeAll(async () => {
  billing = await startTestBilling();
});
afterAll(() => billing.stop());
beforeEach(() => billing.clear());

const noRecord = () => Promise.resolve();

async function applyBook(perGpuHour: string, rest: Record<string, unknown> = {}): Promise<void> {
  const rate = { per_gpu_hour: perGpuHour };
  const file = pricesFileSchema.parse({
    currency: 'USD',
    effective_from: '2026-01-01T00:00:00Z',
    rates: [rate],
    ...rest,
  });
  await billing.store.transaction((trx) => applyPrices(trx, file, billing.clock));
}

/** Through the door: what tests write as leases becomes events like anybody's. */
function record(leases: readonly SampleLease[], onOverlap: 'refuse' | 'hold' = 'refuse') {
  const events: LeaseEventFacts[] = sampleLeases(leases);
  return recordLeaseEvents(billing.store, events, {
    clock: billing.clock,
    source: 'api',
    onOverlap,
    onUnknownLease: 'refuse',
  });
}

function lease(id: string, rest: Partial<SampleLease> = {}): SampleLease {
  return { id, gpu: `GPU-${id}`, from: '2026-03-01T00:00:00Z', to: '2026-03-01T02:30:00Z', ...rest };
}

async function faultOf(work: Promise<unknown>): Promise<PoolmeterError> {
  const fault: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!isPoolmeterError(fault)) throw new Error(`It was not refused as it should be: ${String(fault)}`);
  return fault;
}

function close(month: string, customerId?: string) {
  return closePeriod(billing.deps, customerId === undefined ? { month } : { month, customerId }, noRecord);
}

/** What somebody with the superuser's password could do. */
async function tamper(statement: ReturnType<typeof sql>): Promise<void> {
  await billing.store.db.transaction().execute(async (trx) => {
    await sql`SET LOCAL session_replication_role = replica`.execute(trx);
    await statement.execute(trx);
  });
}

describe('lease events', () => {
  it('a repeat changes nothing; the same id with other facts is refused', async () => {
    const first = await record([lease('L1')]);
    const again = await record([lease('L1')]);
    expect(first.newCount).toBe(2);
    expect(first.created).toEqual({ customers: ['acme'], providers: ['north'] });
    expect(again.newCount).toBe(0);
    expect(again.events).toEqual(first.events);
    const [start] = sampleLeases([lease('L1')]);
    const other = { ...start!, columns: { ...start!.columns, node: 'elsewhere' } };
    const options = {
      clock: billing.clock,
      source: 'api',
      onOverlap: 'refuse',
      onUnknownLease: 'refuse',
    } as const;
    const fault = await faultOf(recordLeaseEvents(billing.store, [other], options));
    expect(fault.code).toBe('input.conflict');
  });

  it('an overlap is refused and names the other lease; touching leases fit', async () => {
    await record([lease('L1', { gpu: 'GPU-A' })]);
    const fault = await faultOf(
      record([lease('L2', { gpu: 'GPU-A', from: '2026-03-01T02:00:00Z', to: '2026-03-01T03:00:00Z' })]),
    );
    expect(fault.code).toBe('lease.overlap');
    expect(fault.message).toContain('L1');
    const touching = lease('L3', { gpu: 'GPU-A', from: '2026-03-01T02:30:00Z', to: '2026-03-01T03:00:00Z' });
    expect((await record([touching])).newCount).toBe(2);
  });

  it('seven sevenths fit on a GPU, an eighth one does not', async () => {
    const seventh = (id: number) => lease(`S${id}`, { gpu: 'GPU-M', share: '1/7' });
    await record([1, 2, 3, 4, 5, 6, 7].map(seventh));
    expect((await faultOf(record([seventh(8)]))).code).toBe('lease.overlap');
  });

  it('two writers cannot both take the last share', async () => {
    const wanted = Array.from({ length: 8 }, (_, index) => lease(`R${index}`, { gpu: 'GPU-R' }));
    const outcomes = await Promise.allSettled(wanted.map((one) => record([one])));
    expect(outcomes.filter((one) => one.status === 'fulfilled')).toHaveLength(1);
  });

  it('the schema itself refuses what got past the door', async () => {
    await record([lease('L1', { gpu: 'GPU-A' }), lease('L2', { gpu: 'GPU-B' })]);
    const steal = sql`UPDATE billing.lease_segments SET gpu_uuid = 'GPU-A' WHERE lease_id = 'L2'`;
    await expect(steal.execute(billing.store.db)).rejects.toThrow(/no_two_leases_of_one_whole_gpu/);
    await record([lease('F1', { gpu: 'GPU-F', share: '2/3' }), lease('F2', { gpu: 'GPU-G', share: '1/2' })]);
    const crowd = sql`UPDATE billing.lease_segments SET gpu_uuid = 'GPU-F' WHERE lease_id = 'F2'`;
    await expect(crowd.execute(billing.store.db)).rejects.toThrow(/add up to more than 1/);
    const rewrite = sql`UPDATE billing.lease_events SET at = now()`;
    await expect(rewrite.execute(billing.store.db)).rejects.toThrow(/append-only/);
  });

  it('an overlap that is a fact already is held, not billed twice, and free again when it is solved', async () => {
    await applyBook('1.00');
    const other = { gpu: 'GPU-A', from: '2026-03-01T01:00:00Z', to: '2026-03-01T03:00:00Z' };
    await record([lease('L1', { gpu: 'GPU-A' })]);
    await record([lease('L2', other)], 'hold');
    const fault = await faultOf(close('2026-03', 'acme'));
    expect(fault.code).toBe('invoice.held');
    expect(fault.message).toContain('L2 overlaps with L1');
    const cancelled: LeaseEventFacts = {
      eventId: 'cancel-L1',
      leaseId: 'L1',
      type: 'cancelled',
      at: sampleLeases([lease('L1')])[0]!.at,
      columns: {},
    };
    await recordLeaseEvents(billing.store, [cancelled], {
      clock: billing.clock,
      source: 'api',
      onOverlap: 'refuse',
      onUnknownLease: 'refuse',
    });
    const [closed] = await close('2026-03', 'acme');
    expect((await readInvoiceRow(billing.store.db, closed!.invoiceId!)).total).toBe('2.000000000');
  });
});

describe('leases CSV', () => {
  const header =
    'lease_id,customer_id,provider_id,pool,node,gpu_uuid,gpu_index,gpu_model,share,started_at,ended_at,pricing_mode,project,team';
  const row = (id: string, rest: Partial<Record<'share' | 'from' | 'to' | 'gpu', string>> = {}) =>
    `${id},acme,north,main,gpu-01,${rest.gpu ?? `GPU-${id}`},0,H100,${rest.share ?? '1'},${rest.from ?? '2026-03-01T00:00:00Z'},${rest.to ?? '2026-03-01T01:00:00Z'},,alpha,blue`;
  const load = (lines: string[], skipBadRows = false) =>
    importLeases(billing.store, [header, ...lines].join('\n'), { clock: billing.clock, skipBadRows });

  it('importing twice changes nothing, and says whom it met', async () => {
    const first = await load([row('L1'), row('L2', { from: '1772323200000', to: '' })]);
    expect(first).toMatchObject({ done: true, imported: 2, unchanged: 0, createdCustomers: ['acme'] });
    const second = await load([row('L1'), row('L2', { from: '1772323200000', to: '' })]);
    expect(second).toMatchObject({ done: true, imported: 0, unchanged: 2, createdCustomers: [] });
    const events = await sql<{ count: bigint }>`SELECT count(*) FROM billing.lease_events`.execute(
      billing.store.db,
    );
    expect(events.rows[0]!.count).toBe(3n);
    const stored = await billing.store.db
      .selectFrom('billing.leases')
      .select('labels')
      .executeTakeFirstOrThrow();
    expect(stored.labels).toEqual({ team: 'blue' });
  });

  it('a lease that has ended since the last import gets its end', async () => {
    await load([row('L1', { to: '' })]);
    expect(await load([row('L1')])).toMatchObject({ imported: 1, unchanged: 0 });
    expect(await load([row('L1', { to: '' })])).toMatchObject({ imported: 0, unchanged: 1 });
  });

  it('a bad row keeps everything out and is named with its line; skipping imports the rest', async () => {
    const lines = [
      row('L1'),
      row('L2', { share: '8/7' }),
      row('L3', { from: '2026-03-01' }),
      row('L4', { gpu: 'GPU-L1' }),
      'too,few',
    ];
    const refused = await load(lines);
    expect(refused.done).toBe(false);
    expect(refused.rejected.map((one) => one.line)).toEqual([3, 4, 5, 6]);
    expect(refused.rejected[2]!.reason).toContain('held by lease L1');
    const count = await sql<{ count: bigint }>`SELECT count(*) FROM billing.lease_events`.execute(
      billing.store.db,
    );
    expect(count.rows[0]!.count).toBe(0n);
    const skipped = await load(lines, true);
    expect(skipped).toMatchObject({ done: true, imported: 1 });
    expect(skipped.rejectedCsv.split('\r\n')[0]).toBe(`${header},reason`);
    expect(skipped.rejectedCsv).toContain('L2,acme,north');
  });
});

describe('invoices', () => {
  it('plain, from the door to the ledger: 6.25 USD, 80 % of it to the provider', async () => {
    await applyBook('2.50');
    await billing.store.transaction((trx) =>
      applyProvider(trx, providerSchema.parse({ id: 'north', payout_share: '0.80' }), billing.clock),
    );
    await record([lease('L1')]);
    const [closed] = await close('2026-03', 'acme');
    const invoice = await readInvoiceRow(billing.store.db, closed!.invoiceId!);
    expect(invoice).toMatchObject({ status: 'final', number: 'PM-000001', total: '6.250000000' });
    const [line] = await readLines(billing.store.db, invoice.invoice_id);
    expect(line).toMatchObject({ gpu_ms: '9000000', amount: '6.250000000', unit_price: '2.50' });
    expect(line!.evidence).toMatchObject({ covered_seconds: 9000, gap_seconds: 0 });
    const entries = await billing.store.db
      .selectFrom('billing.ledger_entries')
      .select(['account_id', 'amount'])
      .orderBy('entry')
      .execute();
    expect(entries).toEqual([
      { account_id: 'customer_receivable:acme', amount: '6.250000000' },
      { account_id: 'provider_payable:north', amount: '-5.000000000' },
      { account_id: 'revenue', amount: '-1.250000000' },
    ]);
    const checks = await checkPeriod(billing.deps, '2026-03');
    expect(checks.filter((one) => !one.ok)).toEqual([]);
    expect(checks.map((one) => one.checked).slice(0, 3)).toEqual([1, 1, 1]);
  });

  it('xid 79: the verdict cuts the lease, and verify answers match', async () => {
    await applyBook('3.00');
    await record([lease('L1', { gpu: 'GPU-1', from: '2026-03-05T10:00:00Z', to: '2026-03-05T12:00:00Z' })]);
    await sql`INSERT INTO alerts.verdicts VALUES ('v1', 'inc_1', 'xid-79', 'GPU-1', '', 'gpu-01',
      '2026-03-05T10:40:00.250Z', '2026-03-05T11:10:00.250Z', 'C', 'hardware', 'policy 1', 1,
      'NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.')`.execute(billing.store.db);
    const [closed] = await close('2026-03', 'acme');
    const lines = await readLines(billing.store.db, closed!.invoiceId!);
    expect(lines.map((line) => [line.kind, line.gpu_ms, line.amount])).toEqual([
      ['usage', '5400000', '4.500000000'],
      ['excluded', '1800000', '0.000000000'],
    ]);
    expect(JSON.stringify(lines[1]!.evidence)).toContain('fallen off the bus');
    const verified = await verifyInvoice(billing.store, closed!.invoiceId!);
    expect(verified).toMatchObject({ match: true, differences: [] });
    // The monitor changes its mind: the invoice stays and still verifies, and reconciliation tells.
    await sql`UPDATE alerts.verdicts SET billing_class = 'B', revision = 2`.execute(billing.store.db);
    expect((await verifyInvoice(billing.store, closed!.invoiceId!)).match).toBe(true);
    const changed = (await checkPeriod(billing.deps, '2026-03')).find((one) => !one.ok);
    expect(changed!.findings[0]!.message).toContain('1.50 USD more is due now');
  });

  it('verify names the line when a stored amount, an interval or a lease event was tampered with', async () => {
    await applyBook('2.50');
    await record([lease('L1')]);
    const [closed] = await close('2026-03', 'acme');
    const id = closed!.invoiceId!;
    const [line] = await readLines(billing.store.db, id);
    const fieldsOf = async () =>
      (await verifyInvoice(billing.store, id)).differences.map((one) => [one.line_id, one.field]);
    await tamper(sql`UPDATE billing.invoice_lines SET amount = 6.24`);
    expect(await fieldsOf()).toEqual([[line!.line_id, 'amount']]);
    await tamper(sql`UPDATE billing.invoice_lines SET amount = 6.25`);
    await tamper(sql`UPDATE billing.billable_intervals SET gpu_ms = '9000001'`);
    expect(await fieldsOf()).toEqual([[line!.line_id, 'intervals']]);
    await tamper(sql`UPDATE billing.billable_intervals SET gpu_ms = '9000000'`);
    expect(await fieldsOf()).toEqual([]);
    await tamper(
      sql`UPDATE billing.lease_events SET at = at + interval '1 millisecond' WHERE type = 'ended'`,
    );
    const differences = await fieldsOf();
    expect(differences).toContainEqual([null, 'input_digest']);
    expect(differences).toContainEqual([line!.line_id, 'gpu_ms']);
  });

  it('numbers have no gap when many customers close at once, and nobody closes twice', async () => {
    await applyBook('1.00');
    const customers = Array.from({ length: 12 }, (_, index) => `c${String(index).padStart(2, '0')}`);
    await record(customers.map((customer) => lease(`L-${customer}`, { customer })));
    const twice = [...customers, ...customers].map((customer) =>
      finalizeInvoice(billing.deps, { customerId: customer, month: '2026-03' }, noRecord),
    );
    const outcomes = await Promise.all(twice);
    expect(outcomes.filter((one) => one.isNew)).toHaveLength(12);
    const numbers = await billing.store.db
      .selectFrom('billing.invoices')
      .select('number')
      .orderBy('number')
      .execute();
    const expected = customers.map((_, index) => `PM-${String(index + 1).padStart(6, '0')}`);
    expect(numbers.map((row) => row.number)).toEqual(expected);
    expect((await checkPeriod(billing.deps, '2026-03')).every((one) => one.ok)).toBe(true);
  });

  it('late end: April carries the difference, March stays as it is and verifies', async () => {
    await applyBook('1.00');
    const { to: _end, ...running } = lease('L1', { from: '2026-03-30T00:00:00Z' });
    await record([running]);
    const [march] = await close('2026-03', 'acme');
    const before = await readInvoiceRow(billing.store.db, march!.invoiceId!);
    expect(before.total).toBe('48.000000000');
    const ended = sampleLeases([{ ...running, to: '2026-03-31T00:00:00Z' }]).filter(
      (one) => one.type === 'ended',
    );
    await recordLeaseEvents(billing.store, ended, {
      clock: billing.clock,
      source: 'api',
      onOverlap: 'refuse',
      onUnknownLease: 'refuse',
    });
    const [april] = await close('2026-04', 'acme');
    const [line] = await readLines(billing.store.db, april!.invoiceId!);
    expect(line).toMatchObject({ kind: 'adjustment', gpu_ms: '-86400000', amount: '-24.000000000' });
    expect(line!.description).toContain('2026-03');
    expect(line!.description).toContain('PM-000001');
    const after = await readInvoiceRow(billing.store.db, march!.invoiceId!);
    expect(after.input_digest).toBe(before.input_digest);
    expect((await verifyInvoice(billing.store, march!.invoiceId!)).match).toBe(true);
    expect((await verifyInvoice(billing.store, april!.invoiceId!)).match).toBe(true);
    // It is corrected once: May has nothing more to say.
    expect((await faultOf(close('2026-05', 'acme'))).details).toMatchObject({ nothing_to_invoice: true });
    const fault = await faultOf(
      voidInvoice(billing.deps, { invoiceId: march!.invoiceId!, reason: 'x' }, noRecord),
    );
    expect(fault.message).toContain('PM-000002');
  });

  it('a void invoice keeps its number, the ledger returns to zero, and the next one counts on', async () => {
    await applyBook('1.00');
    await record([lease('L1')]);
    const [first] = await close('2026-03', 'acme');
    await voidInvoice(billing.deps, { invoiceId: first!.invoiceId!, reason: 'wrong address' }, noRecord);
    const [second] = await close('2026-03', 'acme');
    expect((await readInvoiceRow(billing.store.db, second!.invoiceId!)).number).toBe('PM-000002');
    const balances = await sql<{ account_id: string; balance: string }>`
      SELECT account_id, sum(amount) AS balance FROM billing.ledger_entries GROUP BY 1 ORDER BY 1`.execute(
      billing.store.db,
    );
    expect(balances.rows).toEqual([
      { account_id: 'customer_receivable:acme', balance: '2.500000000' },
      { account_id: 'revenue', balance: '-2.500000000' },
    ]);
    expect((await verifyInvoice(billing.store, first!.invoiceId!)).match).toBe(true);
    const change = sql`UPDATE billing.invoices SET total = 0, subtotal = 0 WHERE status = 'final'`;
    await expect(change.execute(billing.store.db)).rejects.toThrow(/cannot be changed/);
    const unbalanced = sql`INSERT INTO billing.ledger_entries
      SELECT transaction_id, 9, account_id, 'USD', 1 FROM billing.ledger_entries LIMIT 1`;
    await expect(unbalanced.execute(billing.store.db)).rejects.toThrow(/does not balance/);
  });

  it('waits for the grace time, for readers of the bus, and for undecided faults', async () => {
    await applyBook('1.00');
    await record([lease('L1', { gpu: 'GPU-1' })]);
    billing.clock.set(sampleLeases([lease('x', { from: '2026-04-01T23:59:59Z' })])[0]!.at);
    expect((await faultOf(close('2026-03', 'acme'))).message).toContain('2026-04-02T00:00:00Z');
    billing.clock.set(sampleLeases([lease('x', { from: '2026-06-15T00:00:00Z' })])[0]!.at);
    const behind = {
      ends: () => Promise.resolve([]),
      missing: () => Promise.resolve(['pipeline is at 1 of 2']),
    };
    const lagging = finalizeInvoice(
      { ...billing.deps, meterPosition: behind },
      { customerId: 'acme', month: '2026-03' },
      noRecord,
    );
    expect(await faultOf(lagging)).toMatchObject({ code: 'invoice.held', retriable: true });
    await sql`INSERT INTO alerts.verdicts VALUES ('v1', 'inc_1', 'xid-94', 'GPU-1', '', 'gpu-01',
      '2026-03-01T01:00:00Z', NULL, 'H', 'unknown', 'policy 1', 1, 'Xid 94')`.execute(billing.store.db);
    const held = await faultOf(close('2026-03', 'acme'));
    expect(held.code).toBe('invoice.held');
    expect(held.message).toContain('inc_1');
    const all = await closePeriod(billing.deps, { month: '2026-03' }, noRecord);
    expect(all).toMatchObject([{ customerId: 'acme', outcome: 'held' }]);
  });

  it('a GPU without a price is an error that names it', async () => {
    await applyBook('1.00', { rates: [{ gpu_model: 'A100', per_gpu_hour: '1.00' }] });
    await record([lease('L1')]);
    const fault = await faultOf(previewInvoice(billing.deps, { customerId: 'acme', month: '2026-03' }));
    expect(fault.code).toBe('price.missing');
    expect(fault.message).toContain('H100 (GPU-L1)');
    expect((await faultOf(close('2026-03', 'acme'))).code).toBe('price.missing');
  });

  it('drafts follow what changes, and leave alone what does not', async () => {
    await applyBook('1.00');
    await record([lease('L1', { from: '2026-06-01T00:00:00Z', to: '2026-06-02T00:00:00Z' })]);
    expect(await refreshDrafts(billing.deps)).toEqual({ refreshed: 1, unchanged: 0, failed: 0 });
    expect(await refreshDrafts(billing.deps)).toEqual({ refreshed: 0, unchanged: 1, failed: 0 });
    const outbox = () =>
      sql<{ count: bigint }>`SELECT count(*) FROM billing.outbox`
        .execute(billing.store.db)
        .then((r) => r.rows[0]!.count);
    const told = await outbox();
    await draftInvoice(billing.deps, { customerId: 'acme', month: '2026-06', withEvidence: false });
    expect(await outbox()).toBe(told);
    await record([lease('L2', { from: '2026-06-10T00:00:00Z', to: '2026-06-11T00:00:00Z' })]);
    expect((await refreshDrafts(billing.deps)).refreshed).toBe(1);
    const latest = await sql<{ total: string; status: string }>`
      SELECT total, status FROM billing.latest_invoices_v1`.execute(billing.store.db);
    expect(latest.rows).toEqual([{ total: '48.00', status: 'draft' }]);
  });

  it('a customer in Berlin is billed by the hours of its own March', async () => {
    await applyBook('1.00');
    await billing.store.transaction((trx) =>
      applyCustomer(
        trx,
        customerSchema.parse({ id: 'acme', zone: 'Europe/Berlin', tax: { rate: '0.19' } }),
        billing.clock,
      ),
    );
    await record([lease('L1', { from: '2026-02-01T00:00:00Z', to: '2026-05-01T00:00:00Z' })]);
    const [closed] = await close('2026-03', 'acme');
    const lines = await readLines(billing.store.db, closed!.invoiceId!);
    expect(lines.map((line) => [line.kind, line.amount])).toEqual([
      ['usage', '743.000000000'],
      ['tax', '141.170000000'],
    ]);
  });
});
