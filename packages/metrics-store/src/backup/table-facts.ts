/** What a backup must know of tables: their columns, their parts, and a digest of rows that no order changes. */
import { z } from 'zod';
import { column } from '../column.js';
import { defineQuery } from '../define-query.js';
import { identifier } from '../insert-body.js';
import type { MetricsStore } from '../metrics-store.js';
import { tables } from '../tables.js';

export interface StoredTable {
  readonly name: string;
  readonly engine: string;
  /** Those that are stored and not computed, in order. */
  readonly columns: readonly string[];
}

/** Rows and the sum of their hashes, modulo 2^64: equal for equal rows in any order and in any parts. */
export interface RowDigest {
  readonly rows: bigint;
  readonly digest: bigint;
}

export const NO_ROWS: RowDigest = { rows: 0n, digest: 0n };

/** A backup reads everything, so the limits of a query for people do not apply. */
export const UNLIMITED = { max_rows_to_read: 0, max_bytes_to_read: 0, max_result_rows: 0 } as const;

const storedColumns = defineQuery({
  name: 'backup-columns',
  sql: `
    SELECT c.table AS table, t.engine AS engine, c.name AS name
    FROM system.columns AS c
    INNER JOIN system.tables AS t ON t.database = c.database AND t.name = c.table
    WHERE c.database = currentDatabase()
      AND c.default_kind NOT IN ('MATERIALIZED', 'ALIAS', 'EPHEMERAL')
      AND t.engine LIKE '%MergeTree'
    ORDER BY c.table, c.position`,
  params: z.object({}),
  row: z.object({ table: column.text, engine: column.text, name: column.text }),
});

/** Tables that hold rows, without the journal of migrations, which a restore writes itself. */
export async function storedTables(store: MetricsStore): Promise<StoredTable[]> {
  const found = new Map<string, { name: string; engine: string; columns: string[] }>();
  for (const row of await store.query(storedColumns, {})) {
    if (row.table === tables.schemaMigrations) continue;
    const known = found.get(row.table) ?? { name: row.table, engine: row.engine, columns: [] };
    known.columns.push(row.name);
    found.set(row.table, known);
  }
  return [...found.values()];
}

/** `where` limits the rows; all of them when absent. */
export async function digestOf(store: MetricsStore, table: StoredTable, where = '1'): Promise<RowDigest> {
  // A hash of NULL is NULL and would swallow the whole row.
  const hashes = table.columns.map((name) => `ifNull(cityHash64(${identifier(name)}), 0)`).join(', ');
  const definition = defineQuery({
    name: 'backup-digest',
    sql: `SELECT count() AS rows, sum(cityHash64(${hashes})) AS digest FROM ${identifier(table.name)} WHERE ${where}`,
    params: z.object({}),
    row: z.object({ rows: column.bigInteger, digest: column.bigInteger }),
  });
  const [found] = await store.query(definition, {}, { settings: UNLIMITED });
  return found ?? NO_ROWS;
}

export function addDigests(one: RowDigest, other: RowDigest): RowDigest {
  return { rows: one.rows + other.rows, digest: BigInt.asUintN(64, one.digest + other.digest) };
}
