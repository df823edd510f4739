/** How one message lies in the log: version, time, lengths, key, headers, value. */
import { PoolmeterError } from '@poolmeter/domain';
import type { BusMessage, StoredMessage } from './event-bus.js';

const VERSION = 1;
/** version UInt8, stored time Float64, key length UInt32, headers length UInt32, little endian. */
const FIXED_BYTES = 1 + 8 + 4 + 4;

export function encodeLogRecord(message: BusMessage, storedAtMs: number): Buffer {
  const key = Buffer.from(message.key);
  const headers = Buffer.from(JSON.stringify(message.headers));
  const record = Buffer.allocUnsafeSlow(FIXED_BYTES + key.length + headers.length + message.value.byteLength);
  record.writeUInt8(VERSION, 0);
  record.writeDoubleLE(storedAtMs, 1);
  record.writeUInt32LE(key.length, 9);
  record.writeUInt32LE(headers.length, 13);
  key.copy(record, FIXED_BYTES);
  headers.copy(record, FIXED_BYTES + key.length);
  record.set(message.value, FIXED_BYTES + key.length + headers.length);
  return record;
}

export interface LogPlace {
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
}

/** The message as readers see it; its value is a view into the record. */
export function decodeLogRecord(record: Buffer, place: LogPlace): StoredMessage {
  requireKnown(record, place);
  const keyEnd = FIXED_BYTES + record.readUInt32LE(9);
  const headersEnd = keyEnd + record.readUInt32LE(13);
  if (headersEnd > record.length) throw corrupt(place);
  return {
    ...place,
    storedAtMs: record.readDoubleLE(1),
    key: record.toString('utf8', FIXED_BYTES, keyEnd),
    headers: JSON.parse(record.toString('utf8', keyEnd, headersEnd)) as Record<string, string>,
    value: record.subarray(headersEnd),
  };
}

/** Only the time, for retention: the record may be large. */
export function storedAtOf(record: Buffer, place: LogPlace): number {
  requireKnown(record, place);
  return record.readDoubleLE(1);
}

function requireKnown(record: Buffer, place: LogPlace): void {
  if (record.length < FIXED_BYTES || record.readUInt8(0) !== VERSION) throw corrupt(place);
}

function corrupt(place: LogPlace): PoolmeterError {
  return new PoolmeterError(
    'storage.corrupt',
    `The record at ${place.topic}/${place.partition}@${place.offset} cannot be read: restore the bus folder from a backup.`,
    { details: { topic: place.topic, partition: place.partition, offset: String(place.offset) } },
  );
}
