/** Servers and data for the billing benchmark; written by SQL, because writing is not what is measured. */
import { join } from 'node:path';
import {
  applyPrices,
  billingMigrations,
  createEvidenceSource,
  timeZoneDataVersion,
  type BillingDatabase,
  type BillingStore,
  type ClosingDeps,
} from '@poolmeter/billing';
import { instantFromMs, ManualClock, parseInstant } from '@poolmeter/domain';
import { accessMigrations } from '@poolmeter/http-api';
import { migrateMetricsStore, openMetricsStore, startEmbeddedClickHouse } from '@poolmeter/metrics-store';
import { openRelationalStore, runMigrations, startEmbeddedPostgres } from '@poolmeter/relational-store';
import { createLogger } from '@poolmeter/service';
import { sql } from 'kysely';

export interface BillingWorld {
  readonly deps: ClosingDeps;
  readonly month: string;
  /** Of the one invoice with many intervals. */
  readonly bigMonth: string;
  readonly bigCustomer: string;
  readonly sumInPostgres: (startMs: number, endMs: number) => Promise<void>;
  stop(): Promise<void>;
}

export interface WorldSize {
  readonly customers: number;
  readonly leases: number;
  readonly bigLeases: number;
}

const GPUS = 1_000;
const SAMPLE_EVERY_S = 1_800;
const MONTH = '2026-03';
const BIG_MONTH = '2026-02';
const MONTH_START_MS = parseInstant('2026-03-01T00:00:00Z');
const BIG_MONTH_START_MS = parseInstant('2026-02-01T00:00:00Z');
const MONTH_MS = 31 * 86_400_000;
const BIG_MONTH_MS = 28 * 86_400_000;
const DAYS = 59;

export async function openBillingWorld(folder: string, size: WorldSize): Promise<BillingWorld> {
  const logger = createLogger({ service: 'bench', level: 'warn' });
  const postgres = await startEmbeddedPostgres({ dataDir: join(folder, 'pg'), logger });
  const clickhouse = await startEmbeddedClickHouse({ dataDir: join(folder, 'ch'), logger });
  const { url, username, password } = clickhouse;
  const metrics = openMetricsStore({ url, username, password, applicationName: 'bench' });
  await migrateMetricsStore(metrics);
  await runMigrations({ url: postgres.url, sets: [accessMigrations, billingMigrations] });
  const store: BillingStore = openRelationalStore<BillingDatabase>({
    url: postgres.url,
    applicationName: 'bench',
    statementTimeoutMs: 300_000,
  });
  const clock = new ManualClock(parseInstant('2026-04-02T00:00:00Z'));
  await writeTerms(store, clock, size);
  await writeLeases(store, size);
  await writeVerdicts(store);
  for (let day = 0; day < DAYS; day += 1) await metrics.command(samplesSql(day));
  const deps: ClosingDeps = {
    store,
    clock,
    logger,
    evidence: createEvidenceSource({ store: metrics, nowMs: () => clock.now() }),
    tzdataVersion: timeZoneDataVersion(),
    meterPosition: { ends: () => Promise.resolve([]), missing: () => Promise.resolve([]) },
    graceMs: 0,
    positionWaitMs: 0,
  };
  return {
    deps,
    month: MONTH,
    bigMonth: BIG_MONTH,
    bigCustomer: 'big',
    sumInPostgres: (startMs, endMs) => sumByCustomer(store, { startMs, endMs }),
    async stop() {
      await store.close();
      await metrics.close();
      await clickhouse.stop();
      await postgres.stop();
    },
  };
}

async function writeTerms(store: BillingStore, clock: ManualClock, size: WorldSize): Promise<void> {
  const at = new Date(0);
  await sql`
    INSERT INTO billing.customers (customer_id, current_version, created_at)
    SELECT CASE n WHEN 0 THEN 'big' ELSE 'c-' || n END, 1, ${at} FROM generate_series(0, ${size.customers}::int) AS n`.execute(
    store.db,
  );
  await sql`
    INSERT INTO billing.customer_versions (customer_id, version, name, zone, currency, tax_rate, recorded_at)
    SELECT customer_id, 1, customer_id, 'UTC', 'USD', '0.19', ${at} FROM billing.customers`.execute(store.db);
  await sql`
    INSERT INTO billing.providers VALUES ('north', 'North', 'USD', '0.8', ${at}, ${at}), ('south', 'South', 'USD', '0.75', ${at}, ${at})`.execute(
    store.db,
  );
  const rate = (gpu_model: string, per_gpu_hour: string) => ({
    gpu_model,
    pool: '*',
    pricing_mode: '*' as const,
    per_gpu_hour,
  });
  const books = [
    ['2026-01-01T00:00:00Z', '2.50', '1.60'],
    ['2026-03-16T00:00:00Z', '2.345678901', '1.55'],
  ] as const;
  for (const [effective_from, h100, a100] of books) {
    const rates = [rate('H100', h100), rate('A100', a100)];
    await store.transaction((trx) => applyPrices(trx, { currency: 'USD', effective_from, rates }, clock));
  }
}

/** Each GPU is leased without a pause, by one customer after the other; every tenth lease holds a seventh. */
async function writeLeases(store: BillingStore, size: WorldSize): Promise<void> {
  await store.db.transaction().execute(async (trx) => {
    // Constraints are checked by the product's own door; here they would take longer than everything that is measured.
    await sql`SET LOCAL session_replication_role = replica`.execute(trx);
    const perGpu = Math.floor(size.leases / GPUS);
    await sql`
      CREATE TEMP TABLE world ON COMMIT DROP AS
      SELECT 'L-' || g || '-' || k AS lease_id, 'c-' || (1 + (g * 7 + k * 13) % ${size.customers}::int) AS customer_id,
        'GPU-' || g AS gpu, g, ${MONTH_START_MS}::bigint + k * (${MONTH_MS}::bigint / ${perGpu}::int) AS start_ms,
        ${MONTH_START_MS}::bigint + (k + 1) * (${MONTH_MS}::bigint / ${perGpu}::int) - (g % 7) AS end_ms,
        CASE WHEN (g + k) % 10 = 0 THEN '1/7' ELSE '1' END AS share
      FROM generate_series(0, ${GPUS - 1}::int) AS g, generate_series(0, ${perGpu - 1}::int) AS k
      UNION ALL
      SELECT 'B-' || k, 'big', 'GPU-' || k % ${GPUS}::int, k % ${GPUS}::int,
        ${BIG_MONTH_START_MS}::bigint + (k / ${GPUS}::int) * (${BIG_MONTH_MS}::bigint * ${GPUS}::int / ${size.bigLeases}::int),
        ${BIG_MONTH_START_MS}::bigint + (k / ${GPUS}::int + 1) * (${BIG_MONTH_MS}::bigint * ${GPUS}::int / ${size.bigLeases}::int) - 1,
        CASE WHEN k % 10 = 0 THEN '1/7' ELSE '1' END
      FROM generate_series(0, ${size.bigLeases - 1}::int) AS k`.execute(trx);
    await sql`
      INSERT INTO billing.lease_events (event_id, lease_id, type, at, columns, recorded_at, source)
      SELECT 'e-' || lease_id || t.type, lease_id, t.type, to_timestamp(CASE t.type WHEN 'started' THEN start_ms ELSE end_ms END / 1000.0),
        CASE t.type WHEN 'started' THEN jsonb_build_object('customer_id', customer_id, 'provider_id', CASE g % 2 WHEN 0 THEN 'north' ELSE 'south' END,
          'pool', 'main', 'node', 'gpu-' || g / 8, 'gpu_uuid', gpu, 'gpu_instance', '', 'gpu_index', g % 8,
          'gpu_model', CASE g % 3 WHEN 0 THEN 'A100' ELSE 'H100' END, 'share', share, 'pricing_mode', 'on_demand', 'project', 'p',
          'labels', jsonb_build_object()) ELSE '{}' END, to_timestamp(end_ms / 1000.0), 'api'
      FROM world, (VALUES ('started'), ('ended')) AS t (type)
      ORDER BY start_ms, lease_id, t.type DESC`.execute(trx);
    await sql`
      INSERT INTO billing.leases
      SELECT lease_id, 'ended', customer_id, 'p', CASE g % 2 WHEN 0 THEN 'north' ELSE 'south' END, 'main', 'gpu-' || g / 8, gpu, '', g % 8,
        CASE g % 3 WHEN 0 THEN 'A100' ELSE 'H100' END, share, 'on_demand', '{}', to_timestamp(start_ms / 1000.0),
        to_timestamp(end_ms / 1000.0), to_timestamp(end_ms / 1000.0), 1, 1
      FROM world`.execute(trx);
    await sql`
      INSERT INTO billing.lease_segments
      SELECT lease_id, 0, customer_id, CASE g % 2 WHEN 0 THEN 'north' ELSE 'south' END, gpu, '', 1, CASE share WHEN '1' THEN 1 ELSE 7 END,
        tstzrange(to_timestamp(start_ms / 1000.0), to_timestamp(end_ms / 1000.0), '[)'), false
      FROM world`.execute(trx);
  });
  await sql`ANALYZE`.execute(store.db);
}

/** The fault monitor's view, with an hour of credited time on one GPU in twenty. */
async function writeVerdicts(store: BillingStore): Promise<void> {
  const start = new Date(instantFromMs(MONTH_START_MS + 5 * 86_400_000 + 250));
  await sql`CREATE SCHEMA alerts`.execute(store.db);
  await sql`
    CREATE TABLE alerts.verdicts AS
    SELECT 'v-' || g AS verdict_id, 'i-' || g AS incident_id, 'xid-79' AS code, 'GPU-' || g AS gpu_uuid, '' AS gpu_instance,
      'gpu-' || g / 8 AS node, ${start}::timestamptz(3) AS started_at, ${start}::timestamptz(3) + interval '1 hour' AS ended_at,
      'C' AS billing_class, 'hardware' AS blame, 'fault-policy 1' AS policy_version, 1::bigint AS revision,
      'NVRM: Xid 79' AS evidence_summary
    FROM generate_series(0, ${GPUS - 1}::int, 20) AS g`.execute(store.db);
  await sql`CREATE INDEX ON alerts.verdicts (gpu_uuid)`.execute(store.db);
  await sql`CREATE VIEW alerts.verdicts_v1 AS SELECT * FROM alerts.verdicts`.execute(store.db);
}

/** One sample every half hour of every GPU, over a day of both months; the engine has little memory for more. */
function samplesSql(day: number): string {
  const from = BIG_MONTH_START_MS + day * 86_400_000;
  return `
    INSERT INTO gpu_samples_in (ts, ingested_at, node, gpu_uuid, gpu_instance, gpu_model, pool, provider_id, raw_sm_active_ratio, raw_energy_joules)
    SELECT fromUnixTimestamp64Milli(toInt64(${from} + intDiv(number, ${GPUS}) * ${SAMPLE_EVERY_S} * 1000), 'UTC') AS ts, ts,
      concat('gpu-', toString(intDiv(number % ${GPUS}, 8))), concat('GPU-', toString(number % ${GPUS})), '', 'H100', 'main', 'north',
      5000 + number % 1000, (${day * 48} + intDiv(number, ${GPUS})) * 720000
    FROM numbers(${(86_400 / SAMPLE_EVERY_S) * GPUS})`;
}

async function sumByCustomer(
  store: BillingStore,
  { startMs, endMs }: { readonly startMs: number; readonly endMs: number },
): Promise<void> {
  await sql`
    SELECT customer_id, sum(share_numerator / share_denominator
        * extract(epoch FROM least(upper(period), ${new Date(endMs)}) - greatest(lower(period), ${new Date(startMs)})) / 3600 * 2.5) AS amount
    FROM billing.lease_segments
    WHERE period && tstzrange(${new Date(startMs)}, ${new Date(endMs)}, '[)')
    GROUP BY customer_id`.execute(store.db);
}
