/** A backup into empty stores; everything that can be refused is refused before the first row is written. */
import { PoolmeterError } from '@poolmeter/domain';
import { expectEmptyTables, migrateMetricsStore, restoreTables } from '@poolmeter/metrics-store';
import { expectEmptyDatabase, knownMigrations, restoreDatabase } from '@poolmeter/relational-store';
import { migrationSets } from '../migration-sets.js';
import { PRODUCT_VERSION } from '../product-version.js';
import { checkFiles, readBackupFile } from './backup-folder.js';
import type { Places } from './backup-places.js';
import { readManifest, type Manifest } from './manifest.js';
import { clickHouseMigrations, withStores } from './take-backup.js';

const STAGING = 'poolmeter_restoring';

/** Reads the manifest and all files; a backup that is whole and of this version comes back. */
export async function checkBackup(folder: string): Promise<Manifest> {
  const manifest = await readManifest(folder);
  await checkVersion(manifest);
  await checkFiles(folder, manifest.files);
  return manifest;
}

export interface RestoreRun {
  readonly folder: string;
  /** As `checkBackup` found it. */
  readonly manifest: Manifest;
  readonly places: Places;
  readonly onTable: (table: string, rows: bigint) => void;
}

export async function restoreBackup({ folder, manifest, places, onTable }: RestoreRun): Promise<void> {
  await withStores(places, STAGING, async (into, beside) => {
    await into.createDatabase();
    await expectEmptyTables(into);
    await expectEmptyDatabase(places.postgres, migrationSets);
    await migrateMetricsStore(into);
    const read = (name: string) => readBackupFile(folder, 'clickhouse', name);
    await restoreTables({ into, beside, tables: manifest.clickhouse.tables, read, onTable });
  });
  await restoreDatabase({
    url: places.postgres,
    sets: migrationSets,
    backup: manifest.postgres,
    read: (name) => readBackupFile(folder, 'postgres', name),
    onTable,
  });
}

/** The tables are those of the migrations, so these decide and not the number of the version alone. */
async function checkVersion(manifest: Manifest): Promise<void> {
  const ours = [
    ...(await clickHouseMigrations()).map(({ name, checksum }) => `ClickHouse/${name}:${checksum}`),
    ...(await knownMigrations(migrationSets)).map(({ set, file, checksum }) => `${set}/${file}:${checksum}`),
  ];
  const theirs = [
    ...manifest.clickhouse.migrations.map(({ name, checksum }) => `ClickHouse/${name}:${checksum}`),
    ...manifest.postgres.migrations.map(({ set, file, checksum }) => `${set}/${file}:${checksum}`),
  ];
  const different = [
    ...ours.filter((one) => !theirs.includes(one)),
    ...theirs.filter((one) => !ours.includes(one)),
  ];
  if (different[0] === undefined) return;
  throw new PoolmeterError(
    'precondition_failed',
    `The backup was taken of poolmeter ${manifest.product_version} with other tables than this one has (${PRODUCT_VERSION}, first ${different[0].split(':')[0] ?? ''}): restore it with that version, then run "poolmeter migrate" with this one.`,
    { details: { different: different.map((one) => one.split(':')[0]) } },
  );
}
