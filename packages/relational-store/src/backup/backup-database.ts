/** Every row of the apps' schemas as it was at one moment, table by table, in PostgreSQL's own text format. */
import type { Readable } from 'node:stream';
import type { AppliedMigration, MigrationSet } from '../migrations.js';
import { checkedUrl } from '../relational-store.js';
import { ServerConnection } from '../server-connection.js';
import {
  digestOf,
  schemaTables,
  sequenceValues,
  type RowDigest,
  type SequenceValue,
} from './schema-facts.js';

export interface BackedUpRelation extends RowDigest {
  readonly table: string;
  readonly columns: readonly string[];
  readonly file: string;
}

export interface BackedUpDatabase {
  readonly migrations: readonly AppliedMigration[];
  /** In an order in which they can be filled again. */
  readonly tables: readonly BackedUpRelation[];
  readonly sequences: readonly SequenceValue[];
}

export interface BackupDatabaseOptions {
  readonly url: string;
  /** Their names are the schemas. */
  readonly sets: readonly MigrationSet[];
  /** Keeps one file under its name; resolves when it is on disk. */
  readonly write: (name: string, rows: Readable) => Promise<void>;
  readonly onTable?: (table: string, rows: bigint) => void;
}

/** One snapshot for all tables: writers go on meanwhile and are not seen. */
export async function backupDatabase(options: BackupDatabaseOptions): Promise<BackedUpDatabase> {
  const schemas = options.sets.map((set) => set.name);
  const connection = new ServerConnection({
    url: checkedUrl(options.url),
    applicationName: 'poolmeter-backup',
    statementTimeoutMs: 0,
  });
  try {
    await connection.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const migrations = await appliedMigrations(connection, schemas);
    const tables: BackedUpRelation[] = [];
    for (const { name, columns } of await schemaTables(connection, schemas)) {
      const digest = await digestOf(connection, name);
      const file = `${name.replaceAll('"', '')}.copy`;
      await options.write(file, await connection.copyOut(`COPY ${name} (${columns.join(', ')}) TO STDOUT`));
      tables.push({ table: name, columns, file, ...digest });
      options.onTable?.(name, digest.rows);
    }
    // Sequences stand outside of snapshots; read last, they are never behind a row.
    const sequences = await sequenceValues(connection, schemas);
    await connection.query('COMMIT');
    return { migrations, tables, sequences };
  } finally {
    await connection.end();
  }
}

async function appliedMigrations(
  connection: ServerConnection,
  schemas: readonly string[],
): Promise<AppliedMigration[]> {
  const { rows } = await connection.query(
    `SELECT set_name, file_name, checksum FROM poolmeter.migrations
      WHERE set_name = ANY ($1) ORDER BY set_name, file_name`,
    [schemas],
  );
  return rows.map((row) => ({
    set: String(row['set_name']),
    file: String(row['file_name']),
    checksum: String(row['checksum']),
  }));
}
