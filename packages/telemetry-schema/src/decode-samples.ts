import { PoolmeterError } from '@poolmeter/domain';
import type { GpuSample } from './gpu-sample.js';
import { sampleColumnsV1, type SampleColumn, type StoredType } from './sample-columns.js';
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

const rowSteps: readonly RowStep[] = stepsOf(sampleColumnsV1);

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

/**
 * Walks the rows without reading them and refuses bytes that are not exactly `rowCount` rows. RowBinary has no
 * framing: one short row would shift every row behind it in the same insert. `onRow` learns where each row lies.
 */
export function checkSampleRows(
  rows: Buffer,
  rowCount: number,
  onRow?: (start: number, end: number) => void,
): void {
  const cursor: Cursor = { bytes: rows, offset: 0 };
  for (let row = 0; row < rowCount; row += 1) {
    const start = cursor.offset;
    for (const step of rowSteps) {
      const byteCount = step === 'string' ? stringLength(cursor) : step;
      cursor.offset += byteCount;
    }
    if (cursor.offset > rows.length) throw truncated(row);
    onRow?.(start, cursor.offset);
  }
  if (cursor.offset !== rows.length) {
    const surplus = rows.length - cursor.offset;
    throw new PoolmeterError(
      'wire.malformed',
      `${surplus} bytes follow the last of ${rowCount} sample rows.`,
    );
  }
}

/** Full samples from RowBinary rows of schema version 1: for tests and tools, not for the ingest path. */
export function decodeSampleRows(rows: Buffer, rowCount: number): GpuSample[] {
  checkSampleRows(rows, rowCount);
  const cursor: Cursor = { bytes: rows, offset: 0 };
  return Array.from({ length: rowCount }, () => decodeRow(cursor));
}

function decodeRow(cursor: Cursor): GpuSample {
  const entries = sampleColumnsV1.map((column) => [column.field, readColumn(cursor, column)] as const);
  return Object.fromEntries(entries) as unknown as GpuSample;
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
