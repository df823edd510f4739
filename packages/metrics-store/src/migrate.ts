/** Brings the database forward, statement by statement. A file that was applied is never edited; its checksum says so. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { PoolmeterError } from '@poolmeter/domain';
import { z } from 'zod';
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

const CREATE_JOURNAL = `
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

/**
 * Applies what is missing. Statements say IF NOT EXISTS, so a run that was cut off is simply run again. A file whose text
 * changed after it was applied is refused.
 */
export async function migrateMetricsStore(
  store: MetricsStore,
  directory: URL = MIGRATIONS_DIRECTORY,
): Promise<AppliedMigration[]> {
  await store.createDatabase();
  await store.command(CREATE_JOURNAL);
  const journal = new Map((await store.query(appliedMigrations, {})).map((row) => [row.name, row.checksum]));
  const applied: AppliedMigration[] = [];
  for (const { name, checksum, statements } of await readMigrations(directory)) {
    const known = journal.get(name);
    if (known !== undefined && known !== checksum) throw changedAfterwards(name, known, checksum);
    if (known === undefined) {
      for (const statement of statements) await store.command(statement);
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

function changedAfterwards(name: string, applied: string, found: string): PoolmeterError {
  return new PoolmeterError(
    'storage.corrupt',
    `The migration ${name} was changed after it had been applied: restore its text and put the change into a new file.`,
    { details: { name, applied, found } },
  );
}
