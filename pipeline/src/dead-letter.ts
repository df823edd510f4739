/**
 * What could not be stored goes to the dead-letter topic as it came, with its key, the reason and where it came from.
 * `originalOf` is the way back: what `poolmeter pipeline redrive` publishes again.
 */
import { MESSAGE_BYTES_MAX, type BusMessage } from '@poolmeter/event-bus';
import type { Refused } from './range-buffer.js';
import { redriveHeaders } from './redrive-headers.js';

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
  /** How often this message was refused: 1, and one more each time that it was redriven in vain. */
  attempts: 'dead-letter-attempts',
  /** Bytes of the original value, where it had to be cut. */
  originalBytes: 'dead-letter-original-bytes',
  /** `true` where the original headers were too long to be kept. */
  headersCut: 'dead-letter-headers-cut',
} as const;

const ADDED: ReadonlySet<string> = new Set([
  ...Object.values(deadLetterHeaders),
  ...Object.values(redriveHeaders),
]);

export function deadLetterOf({ message, code, reason }: Refused): BusMessage {
  const isCut = message.value.byteLength > VALUE_BYTES_MAX;
  const headersCut = JSON.stringify(message.headers).length > HEADERS_CHARS_MAX;
  const attempts = wholeNumberIn(message.headers[redriveHeaders.attempts]) + 1;
  return {
    key: message.key,
    headers: {
      ...(headersCut ? {} : message.headers),
      [deadLetterHeaders.code]: code,
      [deadLetterHeaders.reason]: reason.slice(0, REASON_CHARS_MAX),
      [deadLetterHeaders.topic]: message.topic,
      [deadLetterHeaders.partition]: String(message.partition),
      [deadLetterHeaders.offset]: message.offset.toString(),
      [deadLetterHeaders.attempts]: String(attempts),
      ...(isCut ? { [deadLetterHeaders.originalBytes]: String(message.value.byteLength) } : {}),
      ...(headersCut ? { [deadLetterHeaders.headersCut]: 'true' } : {}),
    },
    value: isCut ? message.value.subarray(0, VALUE_BYTES_MAX) : message.value,
  };
}

/** A letter read back. */
export interface Original {
  readonly topic: string;
  readonly code: string;
  readonly attempts: number;
  /** The message as it came, with the marks of a redriven one; undefined when the letter does not hold all of it. */
  readonly message: BusMessage | undefined;
}

/** undefined for a message that is no dead letter. Letters of other services have the same headers. */
export function originalOf(letter: BusMessage): Original | undefined {
  const { headers, key, value } = letter;
  const topic = headers[deadLetterHeaders.topic];
  const partition = headers[deadLetterHeaders.partition];
  const offset = headers[deadLetterHeaders.offset];
  if (topic === undefined || partition === undefined || offset === undefined) return undefined;
  const again = wholeNumberIn(headers[redriveHeaders.attempts]) + 1;
  const attempts = Math.max(again, wholeNumberIn(headers[deadLetterHeaders.attempts]));
  const isWhole =
    headers[deadLetterHeaders.originalBytes] === undefined &&
    headers[deadLetterHeaders.headersCut] === undefined;
  const own = Object.entries(headers).filter(([name]) => !ADDED.has(name));
  const marks = {
    [redriveHeaders.from]: `${topic}/${partition}/${offset}`,
    [redriveHeaders.attempts]: String(attempts),
  };
  const message = { key, headers: { ...Object.fromEntries(own), ...marks }, value };
  const code = headers[deadLetterHeaders.code] ?? '';
  return { topic, code, attempts, message: isWhole ? message : undefined };
}

function wholeNumberIn(text: string | undefined): number {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : 0;
}
