import { PoolmeterError } from '@poolmeter/domain';
import type { BusMessage } from './event-bus.js';

/**
 * The largest message, key and headers included. Kafka's default limit for a record batch is 1 MiB with its framing;
 * both adapters refuse the same messages, so that what works embedded works in production.
 */
export const MESSAGE_BYTES_MAX = 1_000_000;

/** Framing of one record in a Kafka batch is below this; it counts so that small messages do not add up unseen. */
const RECORD_OVERHEAD_BYTES = 32;

/** What a message takes in a batch. */
export function messageBytes(message: BusMessage): number {
  let bytes = RECORD_OVERHEAD_BYTES + Buffer.byteLength(message.key) + message.value.byteLength;
  for (const [name, value] of Object.entries(message.headers)) {
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value) + 2;
  }
  return bytes;
}

/** Refuses a whole publish before anything of it is sent. */
export function requireFitting(topic: string, messages: readonly BusMessage[]): void {
  for (const message of messages) {
    const bytes = messageBytes(message);
    if (bytes > MESSAGE_BYTES_MAX) {
      throw new PoolmeterError(
        'bus.rejected',
        `A message of ${bytes} bytes for ${topic} is over the limit of ${MESSAGE_BYTES_MAX}: publish smaller batches.`,
        { details: { topic, key: message.key, bytes, limit_bytes: MESSAGE_BYTES_MAX } },
      );
    }
  }
}
