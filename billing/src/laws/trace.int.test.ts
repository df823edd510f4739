/** A real trace of 125,303 jobs, billed month by month: not a millisecond of it is lost, and every invoice proves itself. */
import {
  compare,
  formatInstant,
  fraction,
  instantFromMs,
  parseFraction,
  parseInstant,
  sum,
  type Fraction,
} from '@poolmeter/domain';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chargePeriod } from '../invoicing/charge-period.js';
import { closePeriod } from '../invoicing/close-period.js';
import { billingPeriod } from '../invoicing/period.js';
import { verifyInvoice } from '../invoicing/verify-invoice.js';
import { applyPrices } from '../prices/price-store.js';
import { sampleInputs, sampleLeases } from '../sample-world.js';
import { startTestBilling, type TestBilling } from '../start-test-billing.js';
import { writeLeasesFast } from '../write-leases-fast.js';
import { hasTrace, leasesOf, readTrace, type TraceLease } from './read-trace.js';

if (!hasTrace) console.warn('The Helios Venus trace is not beside this checkout: its tests are skipped.');

const ZONE = 'Europe/Berlin';
const MONTHS = ['2025-12', '2026-01', '2026-02', '2026-03', '2026-04', '2026-05', '2026-06', '2026-07'];
/** The part of the trace that goes through the database. */
const STORED_JOBS = 20_000;
const noAudit = () => Promise.resolve();

/** The sum of the trace by three lines, in GPU-milliseconds. */
function sumOfTrace(jobs: ReturnType<typeof readTrace>): bigint {
  let total = 0n;
  for (const { serviceS, gpus } of jobs) total += BigInt(serviceS) * BigInt(gpus) * 1_000n;
  return total;
}

function byCustomer(leases: readonly TraceLease[]): Map<string, TraceLease[]> {
  const groups = new Map<string, TraceLease[]>();
  for (const one of leases) {
    const known = groups.get(one.customerId);
    if (known === undefined) groups.set(one.customerId, [one]);
    else known.push(one);
  }
  return groups;
}

describe.skipIf(!hasTrace)('the Helios Venus trace', () => {
  it('adds up to the sum of the trace over all customers and months', { timeout: 600_000 }, () => {
    const jobs = readTrace();
    expect(jobs).toHaveLength(125_303);
    const times: Fraction[] = [];
    for (const [customer, leases] of byCustomer(leasesOf(jobs))) {
      const events = sampleLeases(
        leases.map((one) => ({
          id: one.leaseId,
          from: formatInstant(one.start),
          to: formatInstant(one.end),
          gpu: one.gpuUuid,
          provider: one.providerId,
          customer,
        })),
      );
      for (const month of MONTHS) {
        const base = sampleInputs({ month, zone: ZONE, leaseEvents: events });
        const charges = chargePeriod({ ...base, customer: { ...base.customer, customerId: customer } });
        times.push(...charges.lines.filter((line) => line.kind === 'usage').map((line) => line.gpuTime));
      }
    }
    expect(compare(sum(times), fraction(sumOfTrace(jobs)))).toBe(0);
  });
});

describe.skipIf(!hasTrace)(`the first ${STORED_JOBS} jobs in the database`, () => {
  let billing: TestBilling;

  beforeAll(async () => {
    billing = await startTestBilling();
    const rates = [{ gpu_model: '*', pool: '*', pricing_mode: '*' as const, per_gpu_hour: '1.37' }];
    const book = { currency: 'USD', effective_from: '2020-01-01T00:00:00Z', rates };
    await billing.store.transaction((trx) => applyPrices(trx, book, billing.clock));
    billing.clock.set(parseInstant('2026-12-01T00:00:00Z'));
  }, 600_000);
  afterAll(() => billing.stop());

  it(
    'is invoiced to the millisecond, verified, and a changed millisecond names its line',
    {
      timeout: 1_200_000,
    },
    async () => {
      const jobs = readTrace().slice(0, STORED_JOBS);
      await writeLeasesFast(billing.store, leasesOf(jobs));
      for (const month of MONTHS) {
        const closed = await closePeriod(billing.deps, { month }, noAudit);
        expect(closed.filter((one) => one.outcome === 'failed' || one.outcome === 'held')).toEqual([]);
      }
      const lines = await billing.store.db
        .selectFrom('billing.invoice_lines')
        .select('gpu_ms')
        .where('kind', '=', 'usage')
        .execute();
      expect(compare(sum(lines.map((one) => parseFraction(one.gpu_ms))), fraction(sumOfTrace(jobs)))).toBe(0);
      const invoices = await billing.store.db.selectFrom('billing.invoices').selectAll().execute();
      for (const { invoice_id } of invoices) {
        const { match, differences } = await verifyInvoice(billing.store, invoice_id);
        expect({ invoice_id, match, differences }).toEqual({ invoice_id, match: true, differences: [] });
      }
      await oneMillisecondIsSeen(billing, invoices[0]!.invoice_id);
    },
  );
});

/** Behind the back of the append-only triggers, as somebody with the database's password could. */
async function oneMillisecondIsSeen(billing: TestBilling, invoiceId: string): Promise<void> {
  const interval = await billing.store.db
    .selectFrom('billing.billable_intervals')
    .selectAll()
    .where('invoice_id', '=', invoiceId)
    .limit(1)
    .executeTakeFirstOrThrow();
  const period = billingPeriod('2026-01', ZONE);
  expect(instantFromMs(interval.started_at.getTime())).toBeGreaterThanOrEqual(period.start - 32 * 86_400_000);
  await billing.store.db.transaction().execute(async (trx) => {
    await sql`SET LOCAL session_replication_role = replica`.execute(trx);
    await sql`
      UPDATE billing.lease_events SET at = at - interval '1 millisecond'
      WHERE lease_id = ${interval.lease_id} AND type = 'ended'`.execute(trx);
  });
  const { match, differences } = await verifyInvoice(billing.store, invoiceId);
  expect(match).toBe(false);
  expect(differences.map((one) => one.field)).toContain('input_digest');
  expect(differences.filter((one) => one.line_id === interval.line_id).map((one) => one.field)).toContain(
    'intervals',
  );
}
