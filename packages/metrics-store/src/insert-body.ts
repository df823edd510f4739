/** The statement and the bytes of an INSERT. */
import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { PoolmeterError } from '@poolmeter/domain';

export type StoreSettings = Readonly<Record<string, string | number>>;

interface InsertTarget {
  readonly table: string;
  /** Columns in the order of the values; all columns of the table when absent. */
  readonly columns?: readonly string[];
  /** Same bytes, same token: a repeat stores nothing twice, neither in the table nor in its rollups. */
  readonly token: string;
  readonly settings?: StoreSettings;
  readonly signal?: AbortSignal;
}

export type InsertRequest = InsertTarget &
  (
    | { readonly format: 'RowBinary'; readonly values: Uint8Array | readonly Uint8Array[] }
    | { readonly format: 'JSONEachRow'; readonly values: readonly object[] }
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

/** The rows as a stream; a new one for every attempt. */
export function insertValues(request: InsertRequest): Readable {
  if (request.format === 'JSONEachRow')
    return Readable.from(jsonLines(request.values), { objectMode: false });
  const { values } = request;
  return Readable.from(values instanceof Uint8Array ? [values] : values, { objectMode: false });
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
