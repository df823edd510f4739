/** Rows back into an empty database, in one transaction that is kept only if every digest is what it was. */
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { PoolmeterError } from '@poolmeter/domain';
import { runMigrations, type MigrationSet } from '../migrations.js';
import { checkedUrl } from '../relational-store.js';
import { ServerConnection } from '../server-connection.js';
import { errorFromServer } from '../server-error.js';
import type { BackedUpDatabase } from './backup-database.js';
import { digestOf, schemaTables } from './schema-facts.js';

export interface RestoreDatabaseOptions {
  readonly url: string;
  readonly sets: readonly MigrationSet[];
  readonly backup: BackedUpDatabase;
  /** Opens a file from its beginning. */
  readonly read: (name: string) => Readable;
  readonly onTable?: (table: string, rows: bigint) => void;
}

/** Refuses a database that has any of the apps' schemas. */
export async function expectEmptyDatabase(url: string, sets: readonly MigrationSet[]): Promise<void> {
  await onConnection(url, async (connection) => {
    const { rows } = await connection.query(
      'SELECT nspname FROM pg_namespace WHERE nspname = ANY ($1) ORDER BY 1',
      [schemasOf(sets)],
    );
    if (rows.length === 0) return;
    const found = rows.map((row) => String(row['nspname'])).join(', ');
    throw new PoolmeterError(
      'precondition_failed',
      `The PostgreSQL database is not empty (it has ${found}): restore into an empty one.`,
      { details: { found } },
    );
  });
}

export async function restoreDatabase(options: RestoreDatabaseOptions): Promise<void> {
  const { url, sets } = options;
  await expectEmptyDatabase(url, sets);
  try {
    await runMigrations({ url, sets });
    await onConnection(url, (connection) => fill(connection, options));
  } catch (fault) {
    // They were not there before, so the next attempt finds the database as this one found it.
    await onConnection(url, async (connection) => {
      await connection.query(`DROP SCHEMA IF EXISTS ${[...schemasOf(sets), 'poolmeter'].join(', ')} CASCADE`);
    });
    throw fault;
  }
}

function schemasOf(sets: readonly MigrationSet[]): string[] {
  return sets.map((set) => set.name);
}

async function fill(
  connection: ServerConnection,
  { sets, backup, read, onTable }: RestoreDatabaseOptions,
): Promise<void> {
  const there = (await schemaTables(connection, schemasOf(sets))).map(({ name }) => name);
  const unknown = backup.tables.find(({ table }) => !there.includes(table));
  if (unknown !== undefined)
    throw mismatch(`has the table ${unknown.table}, which this poolmeter does not have`);
  await connection.query('BEGIN');
  // Rows that were accepted once are not judged again: what is final or append-only would refuse them.
  for (const table of there) await connection.query(`ALTER TABLE ${table} DISABLE TRIGGER USER`);
  // What migrations put there comes back with the rows.
  for (const table of there.toReversed()) await connection.query(`DELETE FROM ${table}`);
  for (const { table, columns, file, rows, digest } of backup.tables) {
    const target = await connection.copyIn(`COPY ${table} (${columns.join(', ')}) FROM STDIN`);
    await pipeline(read(file), target).catch((fault: unknown) => {
      throw errorFromServer(fault);
    });
    const found = await digestOf(connection, table);
    if (found.rows !== rows || found.digest !== digest) {
      throw mismatch(`says ${rows} rows of ${table}, but its file holds others (${found.rows})`);
    }
    onTable?.(table, rows);
  }
  await connection.query('SET CONSTRAINTS ALL IMMEDIATE');
  for (const table of there) await connection.query(`ALTER TABLE ${table} ENABLE TRIGGER USER`);
  for (const { name, value } of backup.sequences) {
    await connection.query('SELECT setval($1::regclass, $2)', [name, value]);
  }
  await connection.query('COMMIT');
}

async function onConnection(
  url: string,
  work: (connection: ServerConnection) => Promise<void>,
): Promise<void> {
  const connection = new ServerConnection({
    url: checkedUrl(url),
    applicationName: 'poolmeter-restore',
    statementTimeoutMs: 0,
  });
  try {
    await work(connection);
  } finally {
    await connection.end();
  }
}

function mismatch(what: string): PoolmeterError {
  return new PoolmeterError(
    'storage.corrupt',
    `The backup ${what}: nothing was restored; take another backup.`,
  );
}
