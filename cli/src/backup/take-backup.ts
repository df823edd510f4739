/** Both stores into one folder, while they are used. */
import type { Clock } from '@poolmeter/domain';
import { backupTables, openMetricsStore, readMigrations, type MetricsStore } from '@poolmeter/metrics-store';
import { backupDatabase } from '@poolmeter/relational-store';
import { migrationSets } from '../migration-sets.js';
import { PRODUCT_VERSION } from '../product-version.js';
import { createBackupFolder, openBackupWriter } from './backup-folder.js';
import type { Places } from './backup-places.js';
import { consumerPositions } from './consumer-positions.js';
import { writeManifest, type Manifest } from './manifest.js';

/** A table of billions of rows takes its time. */
export const STORE_TIMEOUT_MS = 12 * 3_600_000;
const CLONES = 'poolmeter_backup';

export interface BackupRun {
  readonly folder: string;
  readonly places: Places;
  readonly clock: Clock;
  readonly onTable: (table: string, rows: bigint) => void;
}

export async function takeBackup(run: BackupRun): Promise<Manifest> {
  const { folder, places, clock } = run;
  await createBackupFolder(folder);
  const startedAtMs = clock.now();
  // PostgreSQL after ClickHouse: what telemetry proves may then have been billed, and nothing is billed without proof.
  const before = places.bus === undefined ? undefined : await consumerPositions(places.bus);
  const clickhouse = await backupClickHouse(run);
  const after = places.bus === undefined ? undefined : await consumerPositions(places.bus);
  const postgres = await backupPostgres(run);
  const manifest: Manifest = {
    format: 1,
    product_version: PRODUCT_VERSION,
    started_at: instant(startedAtMs),
    finished_at: instant(clock.now()),
    clickhouse: clickhouse.part,
    postgres: postgres.part,
    bus:
      before === undefined || after === undefined
        ? null
        : { positions_before: before, positions_after: after },
    files: [...clickhouse.files, ...postgres.files],
  };
  await writeManifest(folder, manifest);
  return manifest;
}

async function backupClickHouse({ folder, places, clock, onTable }: BackupRun) {
  const writer = await openBackupWriter(folder, 'clickhouse');
  return withStores(places, CLONES, async (from, into) => {
    const { takenAtMs, isSettled, tables } = await backupTables({
      from,
      into,
      nowMs: () => clock.now(),
      sleep: (ms) => clock.sleep(ms),
      write: writer.write,
      onTable,
    });
    const part: Manifest['clickhouse'] = {
      migrations: await clickHouseMigrations(),
      taken_at: instant(takenAtMs),
      settled: isSettled,
      tables: tables.map((each) => ({ ...each, columns: [...each.columns], files: [...each.files] })),
    };
    return { part, files: writer.files };
  });
}

async function backupPostgres({ folder, places, onTable }: BackupRun) {
  const writer = await openBackupWriter(folder, 'postgres');
  const { migrations, tables, sequences } = await backupDatabase({
    url: places.postgres,
    sets: migrationSets,
    write: writer.write,
    onTable,
  });
  const part: Manifest['postgres'] = {
    migrations: [...migrations],
    tables: tables.map((each) => ({ ...each, columns: [...each.columns] })),
    sequences: [...sequences],
  };
  return { part, files: writer.files };
}

export async function clickHouseMigrations(): Promise<Manifest['clickhouse']['migrations']> {
  return (await readMigrations()).map(({ name, checksum }) => ({ name, checksum }));
}

/** The database, and one beside it that lasts as long as the work. */
export async function withStores<T>(
  { clickhouse }: Pick<Places, 'clickhouse'>,
  beside: string,
  work: (store: MetricsStore, beside: MetricsStore) => Promise<T>,
): Promise<T> {
  const options = { url: clickhouse.url, applicationName: 'backup', queryTimeoutMs: STORE_TIMEOUT_MS };
  const store = openMetricsStore({ ...options, database: clickhouse.database });
  const other = openMetricsStore({ ...options, database: beside });
  try {
    return await work(store, other);
  } finally {
    await Promise.all([store.close(), other.close()]);
  }
}

function instant(ms: number): string {
  return new Date(ms).toISOString();
}
