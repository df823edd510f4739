/** The rows of a sample batch: the agent's bytes, cut where the day changes; usually one piece without a copy. */
import type { StoredMessage } from '@poolmeter/event-bus';
import { tables } from '@poolmeter/metrics-store';
import {
  checkSampleRows,
  createTextLocator,
  readSampleBatchHeader,
  replaceText,
  sampleSchemaV1,
  storedRowAt,
  type SampleBatch,
  type SampleSchema,
  type TextPlace,
} from '@poolmeter/telemetry-schema';
import type { ProviderCheck } from './agent-topic-rules.js';
import type { TableRows } from './table-rows.js';

const DAY_MS = 86_400_000;

export interface SampleRowsOptions {
  readonly schemas: readonly SampleSchema[];
  /** Whose rows these may be; undefined where the provider in the row is taken as it is. */
  readonly check: ProviderCheck | undefined;
}

export function sampleRows(message: StoredMessage, { schemas, check }: SampleRowsOptions): TableRows[] {
  const batch = readSampleBatchHeader(message.value, schemas);
  if (check !== undefined) return checkedRows(batch, check);
  const pieces = new Pieces(batch.schema);
  checkSampleRows(batch.rows, batch.rowCount, {
    schema: batch.schema,
    onRow: (start, end) => pieces.add(batch.rows, start, end),
  });
  return pieces.finish();
}

/** Row by row: another provider in it is put right, a row of somebody else's node becomes a reject. */
function checkedRows(batch: SampleBatch, check: ProviderCheck): TableRows[] {
  const { rows, rowCount, schema } = batch;
  const pieces = new Pieces(schema);
  const rejects: TableRows[] = [];
  const provider = Buffer.from(check.provider, 'utf8');
  const nodeOf = createReasonOfNode(schema, check);
  const locateProvider = createTextLocator(schema, 'providerId');
  const onRow = (start: number, end: number) => {
    const foreign = nodeOf(rows, start);
    if (foreign !== undefined) {
      rejects.push(rejectedRow(rows, start, { schema, check, reason: foreign }));
      return;
    }
    const place = locateProvider(rows, start);
    if (isText(rows, place, provider)) {
      pieces.add(rows, start, end);
      return;
    }
    check.onRelabelled();
    const row = replaceText(rows, { start, end, place }, check.provider);
    pieces.add(row, 0, row.length);
  };
  checkSampleRows(rows, rowCount, { schema, onRow });
  // Rejects come first: see the order of inserts in range-buffer.ts.
  return [...rejects, ...pieces.finish()];
}

/** Why the node of a row is not this provider's. Rows of one node stand together, so that it is looked up once. */
function createReasonOfNode(
  schema: SampleSchema,
  check: ProviderCheck,
): (rows: Buffer, start: number) => string | undefined {
  const locateNode = createTextLocator(schema, 'node');
  let last: { readonly node: Buffer; readonly reason: string | undefined } | undefined;
  return (rows, start) => {
    const place = locateNode(rows, start);
    if (last === undefined || !isText(rows, place, last.node)) {
      const node = rows.subarray(place.textStart, place.end);
      last = { node, reason: check.foreignReason(node.toString('utf8')) };
    }
    return last.reason;
  };
}

function isText(rows: Buffer, place: TextPlace, text: Buffer): boolean {
  const { textStart, end } = place;
  return end - textStart === text.length && rows.compare(text, 0, text.length, textStart, end) === 0;
}

function rejectedRow(
  rows: Buffer,
  start: number,
  { schema, check, reason }: { schema: SampleSchema; check: ProviderCheck; reason: string },
): TableRows {
  const row = storedRowAt(rows, start, schema);
  return check.reject({
    node: String(row['node']),
    gpuUuid: String(row['gpu_uuid']),
    gpuInstance: String(row['gpu_instance']),
    pool: String(row['pool']),
    tsMs: Number(rows.readBigInt64LE(start)),
    row: JSON.stringify(row),
    reason,
  });
}

interface Piece {
  readonly day: number;
  readonly rows: Buffer;
  readonly start: number;
  end: number;
  rowCount: number;
  newestTsMs: number;
}

/** Rows that follow one another in the same buffer and on the same UTC day are one piece. */
class Pieces {
  readonly #schema: SampleSchema;
  readonly #pieces: Piece[] = [];

  constructor(schema: SampleSchema) {
    this.#schema = schema;
  }

  add(rows: Buffer, start: number, end: number): void {
    // ts is the first column of every version.
    const tsMs = Number(rows.readBigInt64LE(start));
    const day = Math.floor(tsMs / DAY_MS);
    const last = this.#pieces.at(-1);
    if (last?.day === day && last.rows === rows && last.end === start) {
      last.end = end;
      last.rowCount += 1;
      if (tsMs > last.newestTsMs) last.newestTsMs = tsMs;
    } else this.#pieces.push({ day, rows, start, end, rowCount: 1, newestTsMs: tsMs });
  }

  finish(): TableRows[] {
    const { version, columns } = this.#schema;
    const ofVersion = version === sampleSchemaV1.version ? '' : `:v${version}`;
    const storedColumns = storedColumnsOf(columns);
    return this.#pieces.map(({ day, rows, start, end, rowCount, newestTsMs }) => ({
      table: tables.gpuSamplesIn,
      // The store is partitioned by day, and rows of two versions have other columns.
      group: `${tables.gpuSamplesIn}:${day}${ofVersion}`,
      columns: storedColumns,
      bytes: rows.subarray(start, end),
      rowCount,
      newestTsMs,
    }));
  }
}

const namesByColumns = new WeakMap<SampleSchema['columns'], readonly string[]>();

function storedColumnsOf(columns: SampleSchema['columns']): readonly string[] {
  const known = namesByColumns.get(columns);
  if (known !== undefined) return known;
  const names = columns.map((column) => column.storedColumn);
  namesByColumns.set(columns, names);
  return names;
}
