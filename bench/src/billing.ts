/**
 * The close of a month: 100,000 leases of 1,000 customers with prices, verdicts, evidence and ledger, on an embedded
 * PostgreSQL and ClickHouse. Anchor in the same run: PostgreSQL's own sum over the same leases.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  billingPeriod,
  chargeIntervals,
  closePeriod,
  computeCurrent,
  meterPeriod,
  pricesOf,
  verifyInvoice,
} from '@poolmeter/billing';
import type { Figures } from './bench.js';
import { openBillingWorld, type BillingWorld } from './billing-world.js';
import { median } from './median.js';

const CUSTOMERS = 1_000;
const LEASES = 100_000;
const BIG_LEASES = 10_000;
const VERIFY_RUNS = 5;
const RATING_RUNS = 60;

export async function benchBilling(): Promise<Figures> {
  const folder = await mkdtemp(join(tmpdir(), 'poolmeter-bench-'));
  const world = await openBillingWorld(folder, {
    customers: CUSTOMERS,
    leases: LEASES,
    bigLeases: BIG_LEASES,
  });
  try {
    const close = await measureClose(world);
    const verify = await measureVerify(world);
    return { ...close, ...verify, ...(await measureRating(world)), ...(await measureAnchor(world)) };
  } finally {
    await world.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** The audit entry is the API's; here nobody asks for one. */
const noAudit = () => Promise.resolve();

async function measureClose({ deps, month }: BillingWorld): Promise<Figures> {
  const memory = watchMemory();
  const from = performance.now();
  const closed = await closePeriod(deps, { month }, noAudit);
  const closeMs = performance.now() - from;
  const finals = closed.filter((one) => one.outcome === 'finalized').length;
  if (finals !== CUSTOMERS) {
    const other = closed.find((one) => one.outcome !== 'finalized');
    throw new Error(
      `${finals} of ${CUSTOMERS} became final; ${other?.customerId ?? ''}: ${other?.message ?? ''}`,
    );
  }
  return { month_close_s: closeMs / 1_000, customers: CUSTOMERS, leases: LEASES, ...memory.stop() };
}

/** Peak of the process, and how much more the last quarter needed than the first. */
function watchMemory(): { stop(): Figures } {
  const seen: number[] = [];
  const timer = setInterval(() => seen.push(process.memoryUsage().rss / 1e6), 100);
  return {
    stop() {
      clearInterval(timer);
      const quarter = Math.max(1, Math.floor(seen.length / 4));
      const [first, last] = [seen.slice(quarter, 2 * quarter), seen.slice(-quarter)];
      return { rss_mb: Math.max(...seen), rss_growth_mb: Math.max(...last) - Math.max(...first) };
    },
  };
}

/** One invoice with 10,000 intervals, of the month before. */
async function measureVerify({ deps, bigMonth, bigCustomer }: BillingWorld): Promise<Figures> {
  const [closed] = await closePeriod(deps, { month: bigMonth, customerId: bigCustomer }, noAudit);
  const times: number[] = [];
  for (let run = 0; run < VERIFY_RUNS; run += 1) {
    const from = performance.now();
    const { match } = await verifyInvoice(deps.store, closed?.invoiceId ?? '');
    times.push(performance.now() - from);
    if (!match) throw new Error('The invoice does not match what it was computed from.');
  }
  return { verify_10k_intervals_ms: median(times) };
}

/** Prices, groups and lines of intervals that are metered already. */
async function measureRating({ deps, bigMonth, bigCustomer }: BillingWorld): Promise<Figures> {
  const { inputs } = await computeCurrent(deps, { customerId: bigCustomer, month: bigMonth });
  const meteringFrom = performance.now();
  const intervals = meterPeriod(inputs.current);
  const meteringMs = performance.now() - meteringFrom;
  const rates: number[] = [];
  for (let run = 0; run < RATING_RUNS; run += 1) {
    const from = performance.now();
    const charges = chargeIntervals(intervals, {
      inputs: inputs.current,
      leases: [],
      prices: pricesOf(inputs.current),
    });
    rates.push(intervals.length / ((performance.now() - from) / 1_000));
    if (charges.net.isZero()) throw new Error('Nothing was charged.');
  }
  return {
    rating_intervals_per_s: median(rates),
    metering_intervals_per_s: intervals.length / (meteringMs / 1_000),
  };
}

/** What a person would ask the database for: GPU time and its price per customer. */
async function measureAnchor({ sumInPostgres, month }: BillingWorld): Promise<Figures> {
  const { start, end } = billingPeriod(month, 'UTC');
  const times: number[] = [];
  for (let run = 0; run < VERIFY_RUNS; run += 1) {
    const from = performance.now();
    await sumInPostgres(start, end);
    times.push(performance.now() - from);
  }
  return { postgres_sum_ms: median(times) };
}
