/** What could not be stored goes to the dead-letter topic as it came, with the reason and where it came from. */
import { MESSAGE_BYTES_MAX, type BusMessage } from '@poolmeter/event-bus';
import type { Refused } from './range-buffer.js';

/** Room for the key, the original headers and the reason beside the value. */
const VALUE_BYTES_MAX = MESSAGE_BYTES_MAX - 20_000;
const REASON_CHARS_MAX = 1_000;
const HEADERS_CHARS_MAX = 8_000;

export const deadLetterHeaders = {
  code: 'dead-letter-code',
  reason: 'dead-letter-reason',
  topic: 'dead-letter-topic',
  partition: 'dead-letter-partition',
  offset: 'dead-letter-offset',
  /** Bytes of the original value, where it had to be cut. */
  originalBytes: 'dead-letter-original-bytes',
} as const;

export function deadLetterOf({ message, code, reason }: Refused): BusMessage {
  const isCut = message.value.byteLength > VALUE_BYTES_MAX;
  const original = JSON.stringify(message.headers).length <= HEADERS_CHARS_MAX ? message.headers : {};
  return {
    key: `${message.topic}/${message.partition}`,
    headers: {
      ...original,
      [deadLetterHeaders.code]: code,
      [deadLetterHeaders.reason]: reason.slice(0, REASON_CHARS_MAX),
      [deadLetterHeaders.topic]: message.topic,
      [deadLetterHeaders.partition]: String(message.partition),
      [deadLetterHeaders.offset]: message.offset.toString(),
      ...(isCut ? { [deadLetterHeaders.originalBytes]: String(message.value.byteLength) } : {}),
    },
    value: isCut ? message.value.subarray(0, VALUE_BYTES_MAX) : message.value,
  };
}
