/**
 * Workers that close a month are killed without warning, two at a time and at random moments, until one gets to the end:
 * every customer then has exactly one final invoice, numbers have no gap, the books balance, messages are there once.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseInstant } from '@poolmeter/domain';
import { sql, type RawBuilder } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TraceLease } from '../laws/read-trace.js';
import { applyPrices } from '../prices/price-store.js';
import { startTestBilling, type TestBilling } from '../start-test-billing.js';
import { writeLeasesFast } from '../write-leases-fast.js';

const WORKER = fileURLToPath(new URL('../../dist/invoicing/close-until-killed-main.js', import.meta.url));
const CUSTOMERS = 1_000;
const LEASES_EACH = 3;
/** POOLMETER_KILL_ROUNDS=20 for the long run. */
const ROUNDS = Number(process.env['POOLMETER_KILL_ROUNDS'] ?? '3');
const MONTH = '2026-03';
const NOW = '2026-06-15T00:00:00Z';

let billing: TestBilling;

beforeAll(async () => {
  billing = await startTestBilling();
});
afterAll(() => billing.stop());

function leases(): TraceLease[] {
  const start = parseInstant('2026-03-03T00:00:00Z');
  return Array.from({ length: CUSTOMERS * LEASES_EACH }, (_, index) => ({
    leaseId: `L${index}`,
    customerId: `c-${String(index % CUSTOMERS).padStart(4, '0')}`,
    providerId: 'north',
    gpuUuid: `GPU-${index}`,
    gpuIndex: 0,
    start,
    end: (start + 3_600_001 + index) as typeof start,
  }));
}

async function prepare(): Promise<void> {
  await billing.clear();
  const rates = [{ gpu_model: '*', pool: '*', pricing_mode: '*' as const, per_gpu_hour: '2.345678901' }];
  const book = { currency: 'USD', effective_from: '2020-01-01T00:00:00Z', rates };
  await billing.store.transaction((trx) => applyPrices(trx, book, billing.clock));
  await writeLeasesFast(billing.store, leases());
}

function startWorker(): ChildProcess {
  return spawn(process.execPath, [WORKER, billing.url, MONTH, NOW], { stdio: ['ignore', 'pipe', 'inherit'] });
}

/** Repeatable moments. */
function moments(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return state / 0x7fffffff;
  };
}

/** Two workers at once; both are killed somewhere in the middle. */
async function killTwo(next: () => number): Promise<void> {
  const workers = [startWorker(), startWorker()];
  await Promise.all(
    workers.map(async (worker) => {
      for await (const line of createInterface({ input: worker.stdout! })) if (line === 'ready') break;
      await new Promise((resolve) => setTimeout(resolve, 20 + next() * 700));
      worker.kill('SIGKILL');
      if (worker.exitCode === null && worker.signalCode === null) await once(worker, 'exit');
    }),
  );
}

async function finish(): Promise<void> {
  const workers = [startWorker(), startWorker()];
  const codes = await Promise.all(workers.map(async (worker) => (await once(worker, 'exit'))[0] as number));
  expect(codes).toEqual([0, 0]);
}

async function one(query: RawBuilder<unknown>): Promise<unknown> {
  const { rows } = await query.execute(billing.store.db);
  return rows[0];
}

async function holds(): Promise<void> {
  expect(
    await one(sql`
      SELECT count(*) AS invoices, count(DISTINCT customer_id) AS customers, count(DISTINCT number) AS numbers,
        min(substr(number, 4)::int) AS first, max(substr(number, 4)::int) AS last
      FROM billing.invoices WHERE month = ${MONTH} AND status = 'final'`),
  ).toEqual({ invoices: 1_000n, customers: 1_000n, numbers: 1_000n, first: 1, last: 1_000 });
  expect(await one(sql`SELECT next_number FROM billing.issuers WHERE issuer_id = 'default'`)).toEqual({
    next_number: 1_001n,
  });
  const unbalanced = sql`
    SELECT count(*) AS wrong FROM (SELECT transaction_id FROM billing.ledger_entries
      GROUP BY transaction_id, currency HAVING sum(amount) <> 0) AS t`;
  expect(await one(unbalanced)).toEqual({ wrong: 0n });
  expect(
    await one(sql`
      SELECT count(*) AS booked, (SELECT sum(e.amount) FROM billing.ledger_entries AS e JOIN billing.ledger_accounts AS a USING (account_id)
        WHERE a.kind = 'customer_receivable') = (SELECT sum(total) FROM billing.invoices) AS same
      FROM billing.ledger_transactions`),
  ).toEqual({ booked: 1_000n, same: true });
  // One message per interval, none twice: there were no drafts before.
  expect(
    await one(sql`
      SELECT count(*) AS messages, count(DISTINCT convert_from(value, 'UTF8')::jsonb -> 'row' ->> 'interval_id') AS intervals,
        (SELECT count(*) FROM billing.billable_intervals) AS stored FROM billing.outbox`),
  ).toEqual({ messages: 3_000n, intervals: 3_000n, stored: 3_000n });
}

describe('a close that is killed', () => {
  it(
    `leaves exactly one of everything, ${ROUNDS} rounds of ${CUSTOMERS} customers`,
    {
      timeout: 1_500_000,
    },
    async () => {
      for (let round = 1; round <= ROUNDS; round += 1) {
        await prepare();
        const next = moments(round);
        await killTwo(next);
        await killTwo(next);
        await finish();
        await holds();
      }
    },
  );
});
