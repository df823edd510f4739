/**
 * Rows back into empty tables. They are laid into a database beside it and compared with their digests first; only then
 * their parts move over, without passing the views, which would count every row into its rollups once more.
 */
import type { Readable } from 'node:stream';
import { PoolmeterError } from '@poolmeter/domain';
import { z } from 'zod';
import { column } from '../column.js';
import { defineQuery } from '../define-query.js';
import { identifier } from '../insert-body.js';
import type { MetricsStore } from '../metrics-store.js';
import type { BackedUpTable } from './backup-tables.js';
import { dropDatabase } from './snapshot.js';
import { digestOf, storedTables, UNLIMITED } from './table-facts.js';

export interface RestoreTablesOptions {
  /** Migrated and empty. */
  readonly into: MetricsStore;
  /** Where the rows are compared; made and dropped here. */
  readonly beside: MetricsStore;
  readonly tables: readonly BackedUpTable[];
  /** Opens a file from its beginning. */
  readonly read: (name: string) => Readable;
  readonly onTable?: (table: string, rows: bigint) => void;
}

const rowsStored = defineQuery({
  name: 'restore-rows-stored',
  sql: `
    SELECT table, sum(rows) AS rows FROM system.parts
    WHERE active AND database = currentDatabase() AND table != 'schema_migrations'
    GROUP BY table HAVING rows > 0 ORDER BY table`,
  params: z.object({}),
  row: z.object({ table: column.text, rows: column.bigInteger }),
});

/** Refuses a store in which any table has rows. */
export async function expectEmptyTables(store: MetricsStore): Promise<void> {
  const [found] = await store.query(rowsStored, {});
  if (found === undefined) return;
  throw new PoolmeterError(
    'precondition_failed',
    `The ClickHouse database ${store.database} is not empty (${found.table} has ${found.rows} rows): restore into an empty one.`,
    { details: { table: found.table } },
  );
}

export async function restoreTables(options: RestoreTablesOptions): Promise<void> {
  const { into, beside, tables } = options;
  await expectEmptyTables(into);
  const known = await storedTables(into);
  await dropDatabase(into, beside.database);
  await beside.createDatabase();
  try {
    for (const backedUp of tables) {
      const table = known.find(({ name }) => name === backedUp.table);
      if (table === undefined)
        throw mismatch(`has the table ${backedUp.table}, which this poolmeter does not have`);
      await layBeside(options, backedUp);
      const found = await digestOf(beside, { ...table, columns: backedUp.columns });
      if (found.rows !== backedUp.rows || found.digest !== backedUp.digest) {
        throw mismatch(
          `says ${backedUp.rows} rows of ${backedUp.table}, but its files hold others (${found.rows})`,
        );
      }
      options.onTable?.(backedUp.table, found.rows);
    }
    for (const { table, rows } of tables) if (rows > 0n) await moveOver(options, table);
  } finally {
    await dropDatabase(into, beside.database);
  }
}

async function layBeside(
  { into, beside, read }: RestoreTablesOptions,
  backedUp: BackedUpTable,
): Promise<void> {
  const table = identifier(backedUp.table);
  await beside.command(`CREATE TABLE ${table} AS ${identifier(into.database)}.${table}`);
  // Rows that merge or are old stay as they are until they were compared.
  await beside.command(`SYSTEM STOP MERGES ${table}`);
  for (const file of backedUp.files) {
    await beside.insert({
      table,
      columns: backedUp.columns,
      format: 'Native',
      values: () => read(file),
      token: file,
      settings: { ...UNLIMITED, optimize_on_insert: 0 },
    });
  }
}

async function moveOver({ into, beside }: RestoreTablesOptions, name: string): Promise<void> {
  const table = identifier(name);
  await into.command(
    `ALTER TABLE ${table} ATTACH PARTITION ALL FROM ${identifier(beside.database)}.${table}`,
  );
}

function mismatch(what: string): PoolmeterError {
  return new PoolmeterError(
    'storage.corrupt',
    `The backup ${what}: nothing was restored; take another backup.`,
  );
}
