/** For tests with very many leases: events and what they mean, written past the door by one statement each. */
import { sql } from 'kysely';
import type { BillingStore } from './database.js';
import type { TraceLease } from './laws/read-trace.js';

const ROWS_PER_STATEMENT = 50_000;

/** Constraints stay in force except the sum of shares, which whole GPUs do not need. */
export async function writeLeasesFast(store: BillingStore, leases: readonly TraceLease[]): Promise<void> {
  const at = new Date(0);
  await sql`
    INSERT INTO billing.customers (customer_id, current_version, created_at)
    SELECT DISTINCT unnest(${leases.map((one) => one.customerId)}::text[]), 1, ${at}::timestamptz
    ON CONFLICT DO NOTHING`.execute(store.db);
  await sql`
    INSERT INTO billing.customer_versions (customer_id, version, name, zone, currency, recorded_at)
    SELECT customer_id, 1, customer_id, 'Europe/Berlin', 'USD', ${at} FROM billing.customers
    ON CONFLICT DO NOTHING`.execute(store.db);
  await sql`
    INSERT INTO billing.providers (provider_id, name, payout_share, created_at, updated_at)
    SELECT DISTINCT p, p, '0.8', ${at}::timestamptz, ${at}::timestamptz FROM unnest(${leases.map((one) => one.providerId)}::text[]) AS p
    ON CONFLICT DO NOTHING`.execute(store.db);
  for (let from = 0; from < leases.length; from += ROWS_PER_STATEMENT) {
    const part = JSON.stringify(leases.slice(from, from + ROWS_PER_STATEMENT));
    await store.db.transaction().execute(async (trx) => {
      await sql`SET LOCAL session_replication_role = replica`.execute(trx);
      await sql`
        CREATE TEMP TABLE given ON COMMIT DROP AS
        SELECT * FROM jsonb_to_recordset((${part}::text)::jsonb)
          AS g ("leaseId" text, "customerId" text, "providerId" text, "gpuUuid" text, "gpuIndex" int, start bigint, "end" bigint)`.execute(
        trx,
      );
      await sql`
        INSERT INTO billing.lease_events (event_id, lease_id, type, at, columns, recorded_at, source)
        SELECT "leaseId" || t.type, "leaseId", t.type, to_timestamp(CASE t.type WHEN 'started' THEN start ELSE "end" END / 1000.0),
          CASE t.type WHEN 'started' THEN jsonb_build_object('customer_id', "customerId", 'provider_id', "providerId", 'pool', 'main',
            'node', 'n', 'gpu_uuid', "gpuUuid", 'gpu_instance', '', 'gpu_index', "gpuIndex", 'gpu_model', 'V100', 'share', '1',
            'pricing_mode', 'on_demand', 'project', '', 'labels', jsonb_build_object()) ELSE '{}' END, to_timestamp("end" / 1000.0), 'api'
        FROM given, (VALUES ('started'), ('ended')) AS t (type) ORDER BY start, "leaseId", t.type DESC`.execute(
        trx,
      );
      await sql`
        INSERT INTO billing.leases
        SELECT "leaseId", 'ended', "customerId", '', "providerId", 'main', 'n', "gpuUuid", '', "gpuIndex", 'V100', '1', 'on_demand', '{}',
          to_timestamp(start / 1000.0), to_timestamp("end" / 1000.0), to_timestamp("end" / 1000.0), 1, 1 FROM given`.execute(
        trx,
      );
      await sql`
        INSERT INTO billing.lease_segments
        SELECT "leaseId", 0, "customerId", "providerId", "gpuUuid", '', 1, 1,
          tstzrange(to_timestamp(start / 1000.0), to_timestamp("end" / 1000.0), '[)'), false FROM given`.execute(
        trx,
      );
    });
  }
  await sql`ANALYZE`.execute(store.db);
}
