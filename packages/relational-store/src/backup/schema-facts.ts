/** What a backup must know of a database: its tables in an order in which they can be filled, its sequences, digests. */
import { PoolmeterError } from '@poolmeter/domain';
import type { ServerConnection } from '../server-connection.js';

export interface SchemaTable {
  /** `schema.table`, quoted where PostgreSQL wants it. */
  readonly name: string;
  /** Those that are stored and not computed, in order, quoted. */
  readonly columns: readonly string[];
}

/** Rows and the sum of their hashes: equal for equal rows in any order. */
export interface RowDigest {
  readonly rows: bigint;
  /** A decimal number as text. */
  readonly digest: string;
}

export interface SequenceValue {
  readonly name: string;
  readonly value: bigint;
}

/** Tables before those that refer to them. */
export async function schemaTables(
  connection: ServerConnection,
  schemas: readonly string[],
): Promise<SchemaTable[]> {
  const found = await connection.query(
    `SELECT format('%I.%I', n.nspname, c.relname) AS name,
            coalesce((SELECT array_agg(quote_ident(a.attname) ORDER BY a.attnum) FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''), '{}') AS columns,
            coalesce((SELECT array_agg(DISTINCT f.confrelid::regclass::oid::text) FROM pg_constraint f
              WHERE f.conrelid = c.oid AND f.contype = 'f' AND f.confrelid <> c.oid), '{}') AS needs,
            c.oid::text AS id
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND n.nspname = ANY ($1)
      ORDER BY 1`,
    [schemas],
  );
  return inOrderOfNeed(
    found.rows.map((row) => ({
      id: String(row['id']),
      needs: row['needs'] as string[],
      table: { name: String(row['name']), columns: row['columns'] as string[] },
    })),
  );
}

interface Node {
  readonly id: string;
  readonly needs: readonly string[];
  readonly table: SchemaTable;
}

function inOrderOfNeed(nodes: readonly Node[]): SchemaTable[] {
  const placed = new Set<string>();
  const ordered: SchemaTable[] = [];
  let waiting = nodes;
  while (waiting.length > 0) {
    const ready = waiting.filter(({ needs }) => needs.every((id) => placed.has(id)));
    if (ready.length === 0) {
      const names = waiting.map(({ table }) => table.name).join(', ');
      throw new PoolmeterError(
        'internal',
        `Tables that refer to one another cannot be restored in any order: ${names}.`,
      );
    }
    for (const { id, table } of ready) {
      placed.add(id);
      ordered.push(table);
    }
    waiting = waiting.filter(({ id }) => !placed.has(id));
  }
  return ordered;
}

/** Taken of the row as text, so that it holds between versions of the server and does not see the order of rows. */
export async function digestOf(connection: ServerConnection, table: string): Promise<RowDigest> {
  const { rows } = await connection.query(
    `SELECT count(*) AS rows,
            coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint::numeric), 0)::text AS digest
       FROM ${table} AS t`,
  );
  return { rows: rows[0]?.['rows'] as bigint, digest: String(rows[0]?.['digest']) };
}

/** The last value that each sequence gave; one that was never asked is absent. */
export async function sequenceValues(
  connection: ServerConnection,
  schemas: readonly string[],
): Promise<SequenceValue[]> {
  const { rows } = await connection.query(
    `SELECT format('%I.%I', schemaname, sequencename) AS name, last_value AS value
       FROM pg_sequences WHERE schemaname = ANY ($1) AND last_value IS NOT NULL ORDER BY 1`,
    [schemas],
  );
  return rows.map((row) => ({ name: String(row['name']), value: row['value'] as bigint }));
}
