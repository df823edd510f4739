/** What billing tells fits ClickHouse's tables, and telemetry there becomes evidence on the line. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseInstant } from '@poolmeter/domain';
import {
  defineQuery,
  migrateMetricsStore,
  openMetricsStore,
  startEmbeddedClickHouse,
  tables,
  type EmbeddedClickHouse,
  type MetricsStore,
} from '@poolmeter/metrics-store';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { pricesFileSchema } from '../files/prices-file.js';
import { explainLine } from '../invoicing/explain-line.js';
import { finalizeInvoice } from '../invoicing/finalize-invoice.js';
import { previewInvoice } from '../invoicing/preview-invoice.js';
import { readLines } from '../invoicing/read-invoices.js';
import { voidInvoice } from '../invoicing/void-invoice.js';
import { recordLeaseEvents } from '../leases/record-lease-events.js';
import { createEvidenceSource } from '../metering/evidence.js';
import { applyPrices } from '../prices/price-store.js';
import { sampleLeases } from '../sample-world.js';
import { startTestBilling, type TestBilling } from '../start-test-billing.js';

let billing: TestBilling;
let server: EmbeddedClickHouse;
let metrics: MetricsStore;
let folder: string;

beforeAll(async () => {
  billing = await startTestBilling();
  folder = await mkdtemp(join(tmpdir(), 'poolmeter-billing-copies-'));
  server = await startEmbeddedClickHouse({ dataDir: folder, logger: billing.deps.logger });
  const { url, username, password } = server;
  metrics = openMetricsStore({ url, username, password, applicationName: 'test' });
  await migrateMetricsStore(metrics);
});
afterAll(async () => {
  await metrics.close();
  await server.stop();
  await billing.stop();
  await rm(folder, { recursive: true });
});

const copiedIntervals = defineQuery({
  name: 'test-copied-intervals',
  sql: `SELECT lease_id, outcome, gpu_ms, toString(gpu_hours) AS gpu_hours, toString(amount) AS amount, incident_id
        FROM billable_intervals FINAL ORDER BY started_at`,
  params: z.object({}),
  row: z.object({
    lease_id: z.string(),
    outcome: z.string(),
    gpu_ms: z.string(),
    gpu_hours: z.string(),
    amount: z.string().nullable(),
    incident_id: z.string(),
  }),
});

const copiedLeases = defineQuery({
  name: 'test-copied-leases',
  sql: 'SELECT lease_id, share FROM leases FINAL ORDER BY lease_id',
  params: z.object({}),
  row: z.object({ lease_id: z.string(), share: z.string() }),
});

/** What the pipeline does with the topic, in short. */
async function carryCopies(): Promise<void> {
  const { rows } = await sql<{ position: bigint; value: Buffer }>`
    DELETE FROM billing.outbox RETURNING position, value`.execute(billing.store.db);
  for (const { position, value } of rows) {
    const copy = JSON.parse(value.toString('utf8')) as { table: string; row: object; version: string };
    await metrics.insert({
      table: copy.table,
      format: 'JSONEachRow',
      values: [{ ...copy.row, version: copy.version }],
      token: `copy:${position}`,
    });
  }
}

async function storeSamples(from: string, count: number): Promise<void> {
  const start = parseInstant(from);
  const values = Array.from({ length: count }, (_, index) => ({
    ts: new Date(start + index * 60_000).toISOString(),
    ingested_at: new Date(start + index * 60_000).toISOString(),
    node: 'gpu-01',
    gpu_uuid: 'GPU-1',
    gpu_model: 'H100',
    pool: 'main',
    provider_id: 'north',
    raw_sm_active_ratio: 8_000,
    raw_energy_joules: 1_000_000 + index * 18_000,
    energy_epoch: 0,
  }));
  await metrics.insert({ table: tables.gpuSamples, format: 'JSONEachRow', values, token: `samples:${from}` });
}

it('carries leases and intervals, hides what was replaced, and puts evidence on the line', async () => {
  const prices = pricesFileSchema.parse({
    currency: 'USD',
    effective_from: '2026-01-01T00:00:00Z',
    rates: [{ per_gpu_hour: '3.00' }],
  });
  await billing.store.transaction((trx) => applyPrices(trx, prices, billing.clock));
  const now = Date.now();
  const day = new Date(now - 40 * 86_400_000).toISOString().slice(0, 10);
  billing.clock.set(parseInstant(new Date(now).toISOString()));
  const lease = { id: 'L1', from: `${day}T10:00:00Z`, to: `${day}T12:00:00Z`, share: '1' };
  await recordLeaseEvents(billing.store, sampleLeases([lease]), {
    clock: billing.clock,
    source: 'api',
    onOverlap: 'refuse',
    onUnknownLease: 'refuse',
  });
  // 90 of 120 minutes: the last half hour has no samples.
  await storeSamples(`${day}T10:00:00Z`, 90);
  const evidence = createEvidenceSource({ store: metrics, nowMs: () => parseInstant(`${day}T23:00:00Z`) });
  const deps = { ...billing.deps, evidence, graceMs: 0 };
  const wanted = { customerId: 'acme', month: day.slice(0, 7) };

  await previewInvoice(deps, wanted);
  await carryCopies();
  expect(await metrics.query(copiedLeases, {})).toEqual([{ lease_id: 'L1', share: '1' }]);
  expect(await metrics.query(copiedIntervals, {})).toMatchObject([{ outcome: 'billed', gpu_ms: '7200000' }]);

  await sql`INSERT INTO alerts.verdicts VALUES ('v1', 'inc_1', 'xid-79', 'GPU-1', '', 'gpu-01',
    ${`${day}T10:40:00.250Z`}::timestamptz, ${`${day}T11:10:00.250Z`}::timestamptz, 'C', 'hardware', 'policy 1', 1,
    'fallen off the bus')`.execute(billing.store.db);
  const { invoiceId } = await finalizeInvoice(deps, wanted, () => Promise.resolve());
  await carryCopies();
  expect(await metrics.query(copiedIntervals, {})).toEqual([
    {
      lease_id: 'L1',
      outcome: 'billed',
      gpu_ms: '2400250',
      gpu_hours: '0.666736111',
      amount: '2',
      incident_id: '',
    },
    {
      lease_id: 'L1',
      outcome: 'excluded',
      gpu_ms: '1800000',
      gpu_hours: '0.5',
      amount: '0',
      incident_id: 'inc_1',
    },
    {
      lease_id: 'L1',
      outcome: 'billed',
      gpu_ms: '2999750',
      gpu_hours: '0.833263889',
      amount: '2.5',
      incident_id: '',
    },
  ]);

  const [line] = await readLines(billing.store.db, invoiceId);
  // The samples vouch for 90 minutes and one gap limit more; half an hour of it is excluded.
  expect(line!.evidence).toMatchObject({ mean_activity_ratio: 0.8 });
  const { covered_seconds: covered, gap_seconds: gap } = line!.evidence as Record<string, number>;
  expect(covered! + gap!).toBeCloseTo(5_400, 3);
  expect(covered).toBeGreaterThan(3_600);
  expect(covered).toBeLessThanOrEqual(3_600 + 180);
  expect(await explainLine({ db: billing.store.db, evidence }, line!.line_id)).toMatchObject({
    formula: '1.5 GPU-h × 3',
    exclusions: [{ gpu_ms: '1800000' }],
  });
  const samples = await evidence.samplesOf({
    gpuUuid: 'GPU-1',
    gpuInstance: '',
    start: parseInstant(`${day}T10:00:00Z`),
    end: parseInstant(`${day}T10:05:00Z`),
    limit: 10,
  });
  expect(samples).toHaveLength(5);
  expect(samples[0]).toMatchObject({
    ts: `${day}T10:00:00Z`,
    sm_active_ratio: 0.8,
    energy_joules: 1_000_000,
  });

  await voidInvoice(deps, { invoiceId, reason: 'test' }, () => Promise.resolve());
  await carryCopies();
  expect(await metrics.query(copiedIntervals, {})).toEqual([]);
});
