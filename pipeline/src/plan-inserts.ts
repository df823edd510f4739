/** From a range of messages to inserts: the same range always gives the same inserts with the same tokens. */
import type { StoredMessage } from '@poolmeter/event-bus';
import type { InsertRequest } from '@poolmeter/metrics-store';
import type { TableRows } from './table-rows.js';

/** What one message gives to one insert. */
export interface InsertPart {
  readonly message: StoredMessage;
  readonly rows: TableRows;
}

/** One INSERT: sent again unchanged, under the same token, until the store has taken it. */
export interface RowInsert {
  readonly table: string;
  readonly parts: readonly InsertPart[];
  readonly rowCount: number;
  /** The store takes one insert per token. */
  readonly token: string;
}

export interface PlannedRange {
  readonly topic: string;
  readonly partition: number;
  readonly first: bigint;
  readonly last: bigint;
  /** When the bus stored the first message: a topic that was deleted and created anew has other tokens. */
  readonly firstStoredAtMs: number;
}

/** Copies may be of a newer version of the row than the table. */
const JSON_SETTINGS = { input_format_skip_unknown_fields: 1, input_format_null_as_default: 1 };

/** One insert per group of rows, in the order in which they first appear. */
export function planInserts(range: PlannedRange, parts: readonly InsertPart[]): RowInsert[] {
  const groups = new Map<string, InsertPart[]>();
  for (const part of parts) {
    const group = groups.get(part.rows.group) ?? [];
    groups.set(part.rows.group, group);
    group.push(part);
  }
  const { topic, partition, first, last, firstStoredAtMs } = range;
  const prefix = `${topic}:${partition}:${first}-${last}@${firstStoredAtMs}`;
  return [...groups].map(([name, group]) => insertOf(group, `${prefix}:${name}`));
}

/** The same rows one message at a time, for when the store refuses them together. */
export function splitInsert(insert: RowInsert): RowInsert[] {
  return insert.parts.map((part) => insertOf([part], `${insert.token}:${part.message.offset}`));
}

export function requestOf(insert: RowInsert): InsertRequest {
  const { table, token } = insert;
  const bytes: Buffer[] = [];
  const rows: object[] = [];
  let columns: readonly string[] = [];
  for (const { rows: piece } of insert.parts) {
    if ('bytes' in piece) {
      bytes.push(piece.bytes);
      columns = piece.columns;
    } else rows.push(piece.row);
  }
  return rows.length > 0
    ? { table, token, format: 'JSONEachRow', values: rows, settings: JSON_SETTINGS }
    : { table, columns, token, format: 'RowBinary', values: bytes };
}

function insertOf(parts: readonly InsertPart[], token: string): RowInsert {
  return {
    table: parts[0]?.rows.table ?? '',
    parts,
    rowCount: parts.reduce((sum, part) => sum + part.rows.rowCount, 0),
    token,
  };
}
