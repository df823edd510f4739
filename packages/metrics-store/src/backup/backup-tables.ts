/** Every row of every table, in files of one partition and a bounded number of rows each. */
import type { Readable } from 'node:stream';
import { PoolmeterError } from '@poolmeter/domain';
import { z } from 'zod';
import { column } from '../column.js';
import { defineQuery } from '../define-query.js';
import type { MetricsStore } from '../metrics-store.js';
import { dropDatabase, takeSnapshot, type SnapshotPlace } from './snapshot.js';
import {
  addDigests,
  digestOf,
  NO_ROWS,
  storedTables,
  UNLIMITED,
  type RowDigest,
  type StoredTable,
} from './table-facts.js';

export interface BackedUpTable extends RowDigest {
  readonly table: string;
  readonly columns: readonly string[];
  readonly files: readonly string[];
}

export interface BackedUpTables {
  readonly takenAtMs: number;
  readonly isSettled: boolean;
  readonly tables: readonly BackedUpTable[];
}

export interface BackupTablesOptions extends SnapshotPlace {
  /** Keeps one file under its name; resolves when it is on disk. */
  readonly write: (name: string, rows: Readable) => Promise<void>;
  readonly onTable?: (table: string, rows: bigint) => void;
}

/** So that an INSERT of one file stays well below what the embedded part takes as one body. */
const ROWS_PER_FILE = 250_000n;

const partsOf = defineQuery({
  name: 'backup-parts',
  sql: `
    SELECT name, partition_id, rows FROM system.parts
    WHERE active AND database = currentDatabase() AND table = {table:String}
    ORDER BY partition_id, name`,
  params: z.object({ table: z.string() }),
  row: z.object({ name: column.text, partition_id: column.text, rows: column.bigInteger }),
});

type Part = z.output<typeof partsOf.row>;

export async function backupTables(options: BackupTablesOptions): Promise<BackedUpTables> {
  const { from, into } = options;
  const stored = await storedTables(from);
  const replicated = stored.find((table) => table.engine.startsWith('Replicated'));
  if (replicated !== undefined) {
    throw new PoolmeterError(
      'precondition_failed',
      `${replicated.name} is replicated, and one node has only its share: back the cluster up with BACKUP … ON CLUSTER, as docs/how-to/backup-and-restore.md shows.`,
    );
  }
  try {
    const snapshot = await takeSnapshot(options, stored);
    const tables: BackedUpTable[] = [];
    for (const table of stored) {
      const done = await backupTable(into, table, options);
      options.onTable?.(done.table, done.rows);
      tables.push(done);
    }
    return { ...snapshot, tables };
  } finally {
    await dropDatabase(from, into.database);
  }
}

async function backupTable(
  store: MetricsStore,
  table: StoredTable,
  { write }: BackupTablesOptions,
): Promise<BackedUpTable> {
  const parts = await store.query(partsOf, { table: table.name }, { settings: UNLIMITED });
  const files: string[] = [];
  let all = NO_ROWS;
  for (const where of slicesOf(parts)) {
    const name = `${table.name}.${String(files.length).padStart(5, '0')}.native`;
    const sql = `SELECT ${table.columns.join(', ')} FROM ${table.name} WHERE ${where}`;
    all = addDigests(all, await digestOf(store, table, where));
    await write(name, await store.exportRows(sql, { name: `backup-${table.name}`, settings: UNLIMITED }));
    files.push(name);
  }
  return { table: table.name, columns: table.columns, files, ...all };
}

/** Conditions that together choose every row once: small parts of a partition together, a large one in slices. */
export function slicesOf(parts: readonly Part[]): string[] {
  const slices: string[] = [];
  let together: Part[] = [];
  const flush = () => {
    if (together.length > 0) slices.push(`_part IN (${together.map(({ name }) => `'${name}'`).join(', ')})`);
    together = [];
  };
  for (const part of parts) {
    const rows = together.reduce((sum, each) => sum + each.rows, part.rows);
    if (rows > ROWS_PER_FILE || together[0]?.partition_id !== part.partition_id) flush();
    if (part.rows <= ROWS_PER_FILE) {
      together.push(part);
      continue;
    }
    for (let from = 0n; from < part.rows; from += ROWS_PER_FILE) {
      slices.push(
        `_part = '${part.name}' AND _part_offset >= ${from} AND _part_offset < ${from + ROWS_PER_FILE}`,
      );
    }
  }
  flush();
  return slices;
}
