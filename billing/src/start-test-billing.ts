/** For tests: an embedded PostgreSQL with billing's schema, a stand-in for the fault monitor's view, and a fixed clock. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ManualClock, parseInstant } from '@poolmeter/domain';
import { accessMigrations } from '@poolmeter/http-api';
import { openRelationalStore, runMigrations, startEmbeddedPostgres } from '@poolmeter/relational-store';
import { createLogger } from '@poolmeter/service';
import { sql } from 'kysely';
import { timeZoneDataVersion } from './create-billing.js';
import { billingMigrations, type BillingDatabase, type BillingStore } from './database.js';
import type { ClosingDeps } from './invoicing/finalize-invoice.js';
import type { Evidence, EvidenceSource } from './metering/evidence.js';

export interface TestBilling {
  /** Of the database, for processes of their own. */
  readonly url: string;
  readonly store: BillingStore;
  readonly clock: ManualClock;
  readonly deps: ClosingDeps;
  /** Empties every table of billing and the verdicts. */
  clear(): Promise<void>;
  stop(): Promise<void>;
}

/** Telemetry that vouches for every second. */
const fullEvidence: EvidenceSource = {
  evidenceOf: (stretches) => Promise.resolve(stretches.map((one) => fullyCovered(one.end - one.start))),
  usedHours: () => Promise.resolve([]),
  copiesOf: () => Promise.resolve([]),
  samplesOf: (query) =>
    Promise.resolve([
      { gpu_uuid: query.gpuUuid, gpu_instance: query.gpuInstance, ts: new Date(query.start).toISOString() },
    ]),
};

function fullyCovered(ms: number): Evidence {
  return {
    coveredMs: ms,
    gapMs: 0,
    sampleCount: Math.ceil(ms / 60_000),
    meanActivityRatio: 0.5,
    energyJoules: null,
  };
}

export async function startTestBilling(): Promise<TestBilling> {
  const folder = await mkdtemp(join(tmpdir(), 'poolmeter-billing-'));
  const logger = createLogger({ service: 'test', level: 'silent' });
  const server = await startEmbeddedPostgres({ dataDir: join(folder, 'pg'), logger });
  await runMigrations({ url: server.url, sets: [accessMigrations, billingMigrations] });
  const store = openRelationalStore<BillingDatabase>({ url: server.url, applicationName: 'test' });
  await createVerdicts(store);
  const clock = new ManualClock(parseInstant('2026-06-15T00:00:00Z'));
  const deps: ClosingDeps = {
    store,
    clock,
    logger,
    evidence: fullEvidence,
    tzdataVersion: timeZoneDataVersion(),
    meterPosition: { ends: () => Promise.resolve([]), missing: () => Promise.resolve([]) },
    graceMs: 86_400_000,
    positionWaitMs: 0,
  };
  return {
    url: server.url,
    store,
    clock,
    deps,
    clear: () => clearTables(store),
    stop: async () => {
      await store.close();
      await server.stop();
      await rm(folder, { recursive: true });
    },
  };
}

/** The fault monitor's view, over a table that tests write. */
async function createVerdicts(store: BillingStore): Promise<void> {
  await sql`CREATE SCHEMA alerts`.execute(store.db);
  await sql`
    CREATE TABLE alerts.verdicts (
      verdict_id text PRIMARY KEY, incident_id text NOT NULL, code text NOT NULL, gpu_uuid text NOT NULL,
      gpu_instance text NOT NULL, node text NOT NULL, started_at timestamptz(3) NOT NULL, ended_at timestamptz(3),
      billing_class text NOT NULL, blame text NOT NULL, policy_version text NOT NULL, revision bigint NOT NULL,
      evidence_summary text NOT NULL)`.execute(store.db);
  await sql`CREATE VIEW alerts.verdicts_v1 AS SELECT * FROM alerts.verdicts`.execute(store.db);
}

async function clearTables(store: BillingStore): Promise<void> {
  await store.db.transaction().execute(async (trx) => {
    // Append-only tables refuse to be emptied; a superuser in a test may.
    await sql`SET LOCAL session_replication_role = replica`.execute(trx);
    await sql`
    TRUNCATE billing.customers, billing.customer_versions, billing.providers, billing.price_books, billing.contracts,
      billing.lease_events, billing.leases, billing.lease_segments, billing.watchers, billing.watched_leases,
      billing.invoices, billing.invoice_lines, billing.billable_intervals, billing.pinned_verdicts,
      billing.period_positions, billing.ledger_accounts, billing.ledger_transactions, billing.ledger_entries,
      billing.maintenance, billing.holds, billing.parked_accounts, billing.findings, billing.notes,
      billing.wallet_grants, billing.wallet_movements, billing.budgets, billing.budget_alerts,
      billing.provider_earnings, billing.exchange_rates, billing.payouts,
      billing.outbox, alerts.verdicts RESTART IDENTITY`.execute(trx);
    await sql`UPDATE billing.issuers SET next_number = 1`.execute(trx);
  });
}
