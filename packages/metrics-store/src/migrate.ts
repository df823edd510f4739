/** Brings the database forward, statement by statement. A file that was applied is never edited; its checksum says so. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { PoolmeterError } from '@poolmeter/domain';
import { z } from 'zod';
import { clusterFiles } from './cluster-ddl.js';
import { column } from './column.js';
import { defineQuery } from './define-query.js';
import type { MetricsStore } from './metrics-store.js';
import { tables } from './tables.js';

export interface AppliedMigration {
  readonly name: string;
  readonly checksum: string;
  /** False when an earlier run had applied it. */
  readonly isNew: boolean;
}

export interface Migration {
  readonly name: string;
  readonly checksum: string;
  readonly statements: readonly string[];
}

const MIGRATIONS_DIRECTORY = new URL('../migrations/', import.meta.url);

/** The table that remembers which files were applied; on a cluster it is rendered like everything else. */
export const CREATE_JOURNAL = `
CREATE TABLE IF NOT EXISTS ${tables.schemaMigrations}
(
    name String COMMENT 'Name of the file.',
    checksum String COMMENT 'SHA-256 of its text.',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'Time at which its last statement had run, UTC.'
)
ENGINE = ReplacingMergeTree
ORDER BY name
COMMENT 'Migrations that were applied.'`;

const appliedMigrations = defineQuery({
  name: 'applied-migrations',
  sql: `SELECT name, checksum FROM schema_migrations FINAL ORDER BY name`,
  params: z.object({}),
  row: z.object({ name: column.text, checksum: column.text }),
});

const shapeOfTables = defineQuery({
  name: 'shape-of-tables',
  sql: `SELECT name, engine_full FROM system.tables WHERE database = currentDatabase() ORDER BY name`,
  params: z.object({}),
  row: z.object({ name: column.text, engine_full: column.text }),
});

/** Reads `NNNN_name.sql` files in order. Every statement ends with a semicolon at the end of a line. */
export async function readMigrations(directory: URL = MIGRATIONS_DIRECTORY): Promise<Migration[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.sql')).sort();
  return Promise.all(
    names.map(async (name) => {
      const text = await readFile(new URL(name, directory), 'utf8');
      return {
        name,
        checksum: createHash('sha256').update(text).digest('hex'),
        statements: statementsOf(text),
      };
    }),
  );
}

export function statementsOf(text: string): string[] {
  return text
    .split(/;[ \t]*$/m)
    .map((statement) => statement.trim())
    .filter((statement) => statement.replace(/^--.*$/gm, '').trim() !== '');
}

export interface MigrateOptions {
  /** The migrations of this package when absent. */
  readonly directory?: URL;
  /** Name of a cluster in the servers' `remote_servers`: tables are replicated, and those of samples sharded by GPU. */
  readonly cluster?: string | undefined;
}

/**
 * Applies what is missing. Statements say IF NOT EXISTS, so a run that was cut off is simply run again. A file whose text
 * changed after it was applied is refused, and so is a cluster on a
 * database that was made for a single server.
 */
export async function migrateMetricsStore(
  store: MetricsStore,
  { directory = MIGRATIONS_DIRECTORY, cluster }: MigrateOptions = {},
): Promise<AppliedMigration[]> {
  await store.createDatabase();
  const migrations = await readMigrations(directory);
  const inForce = await clusterInForce(store, cluster);
  if (inForce !== undefined) await store.createDatabase(inForce);
  const [createJournal, ...rendered] = renderedFor(store, migrations, inForce);
  for (const statement of createJournal ?? []) await store.command(statement);
  const journal = new Map((await store.query(appliedMigrations, {})).map((row) => [row.name, row.checksum]));
  const applied: AppliedMigration[] = [];
  for (const [index, { name, checksum }] of migrations.entries()) {
    const known = journal.get(name);
    if (known !== undefined && known !== checksum) throw changedAfterwards(name, known, checksum);
    if (known === undefined) {
      for (const statement of rendered[index] ?? []) await store.command(statement);
      await store.insert({
        table: tables.schemaMigrations,
        columns: ['name', 'checksum'],
        format: 'JSONEachRow',
        values: [{ name, checksum }],
        token: `${name}:${checksum}`,
      });
    }
    applied.push({ name, checksum, isNew: known === undefined });
  }
  return applied;
}

/** What is run for the journal and for each file. Which tables are sharded follows from all files together. */
function renderedFor(
  store: MetricsStore,
  migrations: readonly Migration[],
  cluster: string | undefined,
): string[][] {
  const texts = [[CREATE_JOURNAL], ...migrations.map((each) => [...each.statements])];
  if (cluster === undefined) return texts;
  const place = { cluster, database: store.database };
  return clusterFiles(texts, place);
}

/**
 * The cluster that the tables which are there were made for, else the one that is asked for. A role that migrates at its
 * start need not know of it.
 */
async function clusterInForce(store: MetricsStore, asked: string | undefined): Promise<string | undefined> {
  const found = await store.query(shapeOfTables, {});
  const journal = found.find((row) => row.name === tables.schemaMigrations);
  if (journal === undefined) return asked;
  const known = found
    .map((row) => /^Distributed\('(\w+)'/.exec(row.engine_full)?.[1])
    .find((name) => name !== undefined);
  const refuse = (why: string) =>
    new PoolmeterError('precondition_failed', `The database ${store.database} ${why}.`, {
      details: { database: store.database, cluster: known },
    });
  if (!journal.engine_full.startsWith('Replicated')) {
    if (asked === undefined) return undefined;
    throw refuse('was made for a single server: migrate an empty database on the cluster instead');
  }
  if (known === undefined && asked === undefined) throw refuse('was begun on a cluster: name it to go on');
  if (known !== undefined && asked !== undefined && known !== asked) {
    throw refuse(`is on the cluster ${known}: name that one, not ${asked}`);
  }
  return known ?? asked;
}

function changedAfterwards(name: string, applied: string, found: string): PoolmeterError {
  return new PoolmeterError(
    'storage.corrupt',
    `The migration ${name} was changed after it had been applied: restore its text and put the change into a new file.`,
    { details: { name, applied, found } },
  );
}
