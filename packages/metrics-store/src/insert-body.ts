/** The statement and the bytes of an INSERT. */
import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { PoolmeterError } from '@poolmeter/domain';
import { tables } from './tables.js';

export type StoreSettings = Readonly<Record<string, string | number>>;

interface InsertTarget {
  readonly table: string;
  /** Columns in the order of the values; all columns of the table when absent. */
  readonly columns?: readonly string[];
  /** Same bytes, same token: a repeat stores nothing twice, neither in the table nor in its rollups. */
  readonly token: string;
  readonly settings?: StoreSettings;
  readonly signal?: AbortSignal;
  /** Told when the rows are sent a second time because the connection dropped: the first time may have stored them. */
  readonly onRepeated?: () => void;
}

export type InsertRequest = InsertTarget &
  (
    | { readonly format: 'RowBinary'; readonly values: Uint8Array | readonly Uint8Array[] }
    | { readonly format: 'JSONEachRow'; readonly values: readonly object[] }
    /** Bytes that ClickHouse wrote itself; opened anew for every attempt. */
    | { readonly format: 'Native'; readonly values: () => Readable }
  );

/** Table and column names come from code, yet a name that is none must not become SQL. */
export function identifier(name: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
    throw new PoolmeterError('input.invalid', `"${name}" is not a name of a table or column.`);
  }
  return name;
}

export function insertStatement(request: InsertRequest): string {
  const columns = request.columns?.map(identifier).join(', ');
  const target = identifier(request.table);
  return `INSERT INTO ${columns === undefined ? target : `${target} (${columns})`} FORMAT ${request.format}`;
}

/** The views of the samples have grouped the rows: to merge them once more before they are written costs a tenth. */
export function settingsOfTable(table: string): StoreSettings {
  return table === tables.gpuSamplesIn ? { optimize_on_insert: 0 } : {};
}

/** The rows as a stream; a new one for every attempt. */
export function insertValues(request: InsertRequest): Readable {
  if (request.format === 'JSONEachRow')
    return Readable.from(jsonLines(request.values), { objectMode: false });
  if (request.format === 'Native') return request.values();
  const { values } = request;
  return Readable.from(values instanceof Uint8Array ? [values] : joined(values), { objectMode: false });
}

const BYTES_PER_WRITE = 1_048_576;

/** Pieces of the size of a message cost more in the HTTP stack, on both ends, than copying them together does. */
function* joined(pieces: readonly Uint8Array[]): Generator<Uint8Array> {
  let from = 0;
  let bytes = 0;
  for (const [index, piece] of pieces.entries()) {
    bytes += piece.byteLength;
    if (bytes < BYTES_PER_WRITE && index < pieces.length - 1) continue;
    yield Buffer.concat(pieces.slice(from, index + 1), bytes);
    from = index + 1;
    bytes = 0;
  }
}

/** The answer to an INSERT says nothing; reading it to its end gives the socket back. */
export async function drained(answer: Readable): Promise<void> {
  answer.resume();
  await finished(answer);
}

const ROWS_PER_WRITE = 256;

/** Some rows per write instead of one; 64-bit integers travel as text. */
function* jsonLines(rows: readonly object[]): Generator<Buffer> {
  for (let from = 0; from < rows.length; from += ROWS_PER_WRITE) {
    const lines = rows
      .slice(from, from + ROWS_PER_WRITE)
      .map((row) => `${JSON.stringify(row, bigintAsText)}\n`);
    yield Buffer.from(lines.join(''));
  }
}

function bigintAsText(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}
