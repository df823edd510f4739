import { PoolmeterError } from '@poolmeter/domain';
import { checkSampleRows } from './decode-samples.js';
import { encodeSampleRows, type EncodeSamplesOptions } from './encode-samples.js';
import type { GpuSample } from './gpu-sample.js';
import { SAMPLE_SCHEMA_VERSION, sampleSchemaOf, sampleSchemas, type SampleSchema } from './sample-schemas.js';

/** `PMSB`: poolmeter sample batch. */
const MAGIC = 0x42534d50;

/**
 * Fixed part of the header, little endian: magic u32, schema version u16, producer length u16, row count u32, row
 * bytes u32, producer epoch u64, sequence u64. The producer's name (UTF-8) follows, then the rows.
 */
const FIXED_HEADER_BYTES = 32;

/** Who sent a batch: equal (producer, epoch, sequence) under one message key means the same batch sent again. */
export interface SampleBatchHeader {
  readonly producer: string;
  /** Grows with each start of the producer. */
  readonly producerEpoch: bigint;
  /** Counts by one per message key within an epoch. */
  readonly sequence: bigint;
}

export interface SampleBatch extends SampleBatchHeader {
  readonly schemaVersion: number;
  readonly schema: SampleSchema;
  readonly rowCount: number;
  /** RowBinary rows: a view into the message, not a copy. */
  readonly rows: Buffer;
}

export function encodeSampleBatch(
  header: SampleBatchHeader,
  samples: readonly GpuSample[],
  options: EncodeSamplesOptions = {},
): Buffer {
  const rows = encodeSampleRows(samples, options);
  const schemaVersion = options.schema?.version ?? SAMPLE_SCHEMA_VERSION;
  return encodeSampleBatchOfRows(header, { rowCount: samples.length, rows, schemaVersion });
}

/** The same for rows that are encoded already: for senders that must know their size first. */
export function encodeSampleBatchOfRows(
  header: SampleBatchHeader,
  encoded: { readonly rowCount: number; readonly rows: Buffer; readonly schemaVersion?: number },
): Buffer {
  const { rowCount, rows } = encoded;
  const producer = Buffer.from(header.producer, 'utf8');
  if (producer.length > 0xffff) {
    throw new PoolmeterError('wire.malformed', 'A producer name must not be longer than 65535 bytes.');
  }
  const head = Buffer.allocUnsafe(FIXED_HEADER_BYTES);
  head.writeUInt32LE(MAGIC, 0);
  head.writeUInt16LE(encoded.schemaVersion ?? SAMPLE_SCHEMA_VERSION, 4);
  head.writeUInt16LE(producer.length, 6);
  head.writeUInt32LE(rowCount, 8);
  head.writeUInt32LE(rows.length, 12);
  head.writeBigUInt64LE(header.producerEpoch, 16);
  head.writeBigUInt64LE(header.sequence, 24);
  return Buffer.concat([head, producer, rows]);
}

/**
 * Reads the header and checks that the rest is exactly the rows that it announces. Everything that does not add up
 * is `wire.malformed`; a version that this code does not know is `wire.unknown_schema`.
 */
export function decodeSampleBatchHeader(message: Uint8Array, schemas = sampleSchemas): SampleBatch {
  const batch = readSampleBatchHeader(message, schemas);
  checkSampleRows(batch.rows, batch.rowCount, { schema: batch.schema });
  return batch;
}

/** The same without the walk over the rows: for a reader that calls `checkSampleRows` itself. */
export function readSampleBatchHeader(message: Uint8Array, schemas: readonly SampleSchema[]): SampleBatch {
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  if (bytes.length < FIXED_HEADER_BYTES) {
    throw malformed(`A sample batch has at least ${FIXED_HEADER_BYTES} bytes, this one ${bytes.length}.`);
  }
  if (bytes.readUInt32LE(0) !== MAGIC) throw malformed('A sample batch begins with PMSB.');
  const schemaVersion = bytes.readUInt16LE(4);
  const schema = sampleSchemaOf(schemaVersion, schemas);
  const rowsStart = FIXED_HEADER_BYTES + bytes.readUInt16LE(6);
  const rowCount = bytes.readUInt32LE(8);
  const rowBytes = bytes.readUInt32LE(12);
  if (rowsStart + rowBytes !== bytes.length) {
    throw malformed(`The header announces ${rowsStart + rowBytes} bytes, the message has ${bytes.length}.`);
  }
  const rows = bytes.subarray(rowsStart);
  return {
    schemaVersion,
    schema,
    rowCount,
    producer: bytes.toString('utf8', FIXED_HEADER_BYTES, rowsStart),
    producerEpoch: bytes.readBigUInt64LE(16),
    sequence: bytes.readBigUInt64LE(24),
    rows,
  };
}

function malformed(message: string): PoolmeterError {
  return new PoolmeterError('wire.malformed', message);
}
