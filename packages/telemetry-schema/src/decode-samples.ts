import { PoolmeterError } from '@poolmeter/domain';
import type { GpuSample } from './gpu-sample.js';
import type { SampleColumn, StoredType } from './sample-columns.js';
import { sampleSchemaV1, type SampleSchema } from './sample-schemas.js';
import { unitValue } from './stored-value.js';

const FIXED_BYTES: Readonly<Record<Exclude<StoredType, 'String'>, number>> = {
  'DateTime64(3)': 8,
  UInt8: 1,
  Int8: 1,
  UInt16: 2,
  UInt32: 4,
  UInt64: 8,
};

interface Cursor {
  readonly bytes: Buffer;
  offset: number;
}

/** Either the bytes of neighbouring fixed columns together, or one string. */
type RowStep = number | 'string';

const stepsBySchema = new WeakMap<SampleSchema, readonly RowStep[]>();

/** Computed once per schema: it is asked for with every message. */
function rowStepsOf(schema: SampleSchema): readonly RowStep[] {
  const known = stepsBySchema.get(schema);
  if (known !== undefined) return known;
  const steps = stepsOf(schema.columns);
  stepsBySchema.set(schema, steps);
  return steps;
}

function stepsOf(columns: readonly SampleColumn[]): RowStep[] {
  const steps: RowStep[] = [];
  for (const column of columns) {
    const last = steps.at(-1);
    if (column.type === 'String') steps.push('string');
    else if (typeof last === 'number') steps[steps.length - 1] = last + FIXED_BYTES[column.type];
    else steps.push(FIXED_BYTES[column.type]);
  }
  return steps;
}

export interface CheckRowsOptions {
  /** Version 1 when absent. */
  readonly schema?: SampleSchema;
  /** Learns where each row lies. */
  onRow?(start: number, end: number): void;
}

/**
 * Walks the rows without reading them and refuses bytes that are not exactly `rowCount` rows. RowBinary has no
 * framing: one short row would shift every row behind it in the same insert.
 */
export function checkSampleRows(rows: Buffer, rowCount: number, options: CheckRowsOptions = {}): void {
  const rowSteps = rowStepsOf(options.schema ?? sampleSchemaV1);
  const cursor: Cursor = { bytes: rows, offset: 0 };
  for (let row = 0; row < rowCount; row += 1) {
    const start = cursor.offset;
    for (const step of rowSteps) {
      const byteCount = step === 'string' ? stringLength(cursor) : step;
      cursor.offset += byteCount;
    }
    if (cursor.offset > rows.length) throw truncated(row);
    options.onRow?.(start, cursor.offset);
  }
  if (cursor.offset !== rows.length) {
    const surplus = rows.length - cursor.offset;
    throw new PoolmeterError(
      'wire.malformed',
      `${surplus} bytes follow the last of ${rowCount} sample rows.`,
    );
  }
}

/**
 * Full samples from RowBinary rows, schema version 1 when none is given: for tests and tools, not for the ingest path.
 */
export function decodeSampleRows(rows: Buffer, rowCount: number, schema = sampleSchemaV1): GpuSample[] {
  checkSampleRows(rows, rowCount, { schema });
  const cursor: Cursor = { bytes: rows, offset: 0 };
  return Array.from({ length: rowCount }, () => decodeRow(cursor, schema));
}

function decodeRow(cursor: Cursor, schema: SampleSchema): GpuSample {
  const entries = schema.columns.map((column) => [column.field, readColumn(cursor, column)] as const);
  return Object.fromEntries(entries) as unknown as GpuSample;
}

/** The row that begins at `start` by its stored columns: integers as they travel, as text where a number is not exact. */
export function storedRowAt(
  rows: Buffer,
  start: number,
  schema: SampleSchema,
): Record<string, string | number> {
  const cursor: Cursor = { bytes: rows, offset: start };
  return Object.fromEntries(
    schema.columns.map((column) => {
      if (column.type === 'String') return [column.storedColumn, readString(cursor)];
      const stored = readInteger(cursor, column.type);
      const isExact = stored <= BigInt(Number.MAX_SAFE_INTEGER);
      return [column.storedColumn, isExact ? Number(stored) : stored.toString()];
    }),
  );
}

/** Where a text lies in a row: `[start, end)` with its length in front, `[textStart, end)` without. */
export interface TextPlace {
  readonly start: number;
  readonly textStart: number;
  readonly end: number;
}

/** Finds one text column in rows that were checked, without decoding them. */
export function createTextLocator(
  schema: SampleSchema,
  field: 'node' | 'providerId',
): (rows: Buffer, rowStart: number) => TextPlace {
  const at = schema.columns.findIndex((column) => column.field === field);
  const stepsBefore = stepsOf(schema.columns.slice(0, at));
  return (rows, rowStart) => {
    const cursor: Cursor = { bytes: rows, offset: rowStart };
    for (const step of stepsBefore) {
      const byteCount = step === 'string' ? stringLength(cursor) : step;
      cursor.offset += byteCount;
    }
    const start = cursor.offset;
    const length = stringLength(cursor);
    return { start, textStart: cursor.offset, end: cursor.offset + length };
  };
}

function readColumn(cursor: Cursor, column: SampleColumn): string | number | null {
  if (column.type === 'String') return readString(cursor);
  const stored = readInteger(cursor, column.type);
  if (column.missing !== undefined && stored === column.missing) return null;
  return unitValue(column, Number(stored));
}

function readInteger(cursor: Cursor, type: Exclude<StoredType, 'String'>): bigint {
  const { bytes, offset } = cursor;
  cursor.offset += FIXED_BYTES[type];
  switch (type) {
    case 'DateTime64(3)':
      return bytes.readBigInt64LE(offset);
    case 'UInt8':
      return BigInt(bytes.readUInt8(offset));
    case 'Int8':
      return BigInt(bytes.readInt8(offset));
    case 'UInt16':
      return BigInt(bytes.readUInt16LE(offset));
    case 'UInt32':
      return BigInt(bytes.readUInt32LE(offset));
    case 'UInt64':
      return bytes.readBigUInt64LE(offset);
  }
}

function readString(cursor: Cursor): string {
  const length = stringLength(cursor);
  const text = cursor.bytes.toString('utf8', cursor.offset, cursor.offset + length);
  cursor.offset += length;
  return text;
}

/** Reads a LEB128 length of at most 4 bytes (256 MiB); leaves the cursor at the text. */
function stringLength(cursor: Cursor): number {
  let length = 0;
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = cursor.bytes[cursor.offset];
    if (byte === undefined)
      throw new PoolmeterError('wire.malformed', 'A sample row ends inside a string length.');
    cursor.offset += 1;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) return length;
  }
  throw new PoolmeterError('wire.malformed', 'A string length in a sample row takes more than 4 bytes.');
}

function truncated(row: number): PoolmeterError {
  return new PoolmeterError('wire.malformed', `Sample row ${row + 1} ends before its last column.`);
}
