import { PoolmeterError } from '@poolmeter/domain';
import type { GpuSample } from './gpu-sample.js';
import { RowWriter } from './row-writer.js';
import type { SampleColumn } from './sample-columns.js';
import { sampleSchemaV1, type SampleSchema } from './sample-schemas.js';
import { storedRange, storing } from './stored-value.js';

/** Typical size of a row on the wire: 8 names and 34 numbers. Only a first guess for the buffer. */
const EXPECTED_ROW_BYTES = 256;

export interface EncodeSamplesOptions {
  /** Version 1 when absent. */
  readonly schema?: SampleSchema;
  /** Called for each value that cannot be true; it travels as missing. Count it: it is a fault of the source. */
  onImplausible?(column: SampleColumn, value: number): void;
}

type WriteColumn = (writer: RowWriter, sample: GpuSample, options: EncodeSamplesOptions) => void;

const writersBySchema = new WeakMap<SampleSchema, readonly WriteColumn[]>();

function columnWritersOf(schema: SampleSchema): readonly WriteColumn[] {
  const known = writersBySchema.get(schema);
  if (known !== undefined) return known;
  const writers = schema.columns.map(columnWriter);
  writersBySchema.set(schema, writers);
  return writers;
}

/** The RowBinary bytes of the samples, rows one after another, without a header. */
export function encodeSampleRows(samples: readonly GpuSample[], options: EncodeSamplesOptions = {}): Buffer {
  const writeColumns = columnWritersOf(options.schema ?? sampleSchemaV1);
  const writer = new RowWriter(samples.length * EXPECTED_ROW_BYTES);
  for (const sample of samples) {
    for (const write of writeColumns) write(writer, sample, options);
  }
  return writer.finish();
}

function columnWriter(column: SampleColumn): WriteColumn {
  if (column.type === 'String') return (writer, sample) => writer.string(sample[column.field] as string);
  if (column.type === 'DateTime64(3)')
    return (writer, sample) => writer.int64(sample[column.field] as number);
  const put = integerWriter(column);
  if (column.missing === undefined) {
    return (writer, sample) => put(writer, requireInRange(column, sample[column.field] as number));
  }
  const missing = Number(column.missing);
  const store = storing(column);
  return (writer, sample, options) => {
    const value = sample[column.field] as number | null;
    if (value === null) {
      put(writer, missing);
      return;
    }
    const stored = store(value);
    if (stored === undefined) options.onImplausible?.(column, value);
    put(writer, stored ?? missing);
  };
}

function integerWriter(column: SampleColumn): (writer: RowWriter, stored: number) => void {
  switch (column.type) {
    case 'UInt8':
      return (writer, stored) => writer.uint8(stored);
    case 'Int8':
      return (writer, stored) => writer.int8(stored);
    case 'UInt16':
      return (writer, stored) => writer.uint16(stored);
    case 'UInt32':
      return (writer, stored) => writer.uint32(stored);
    case 'UInt64':
      // The maximum of UInt64 is no exact number: above the safe integers only "missing" is ever written.
      return (writer, stored) => writer.uint64(stored > Number.MAX_SAFE_INTEGER ? 'maximum' : stored);
    case 'String':
    case 'DateTime64(3)':
      throw new Error(`Column ${column.unitColumn} is not an integer column.`);
  }
}

/** Label columns have no "missing": a value that does not fit is a defect of the caller. */
function requireInRange(column: SampleColumn, value: number): number {
  const { least, most } = storedRange(column);
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new PoolmeterError(
      'wire.malformed',
      `${column.unitColumn} ${value} does not fit ${column.type}: give a whole number from ${least} to ${most}.`,
    );
  }
  return value;
}
