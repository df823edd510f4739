/** Who sent a message, by its headers. */
import type { StoredMessage } from '@poolmeter/event-bus';
import { messageHeaders } from '@poolmeter/telemetry-schema';
import { redriveHeaders } from './redrive-headers.js';

export interface Sender {
  readonly producer: string;
  readonly epoch: bigint;
  readonly key: string;
  readonly sequence: bigint;
  /** The place of the dead letter's original, when an operator sent the message again. */
  readonly redrivenFrom: string | undefined;
}

const DIGITS = /^\d{1,20}$/;

/** undefined for messages that do not say it. */
export function senderOf({ headers, key }: StoredMessage): Sender | undefined {
  const producer = headers[messageHeaders.producer];
  const epoch = headers[messageHeaders.producerEpoch] ?? '';
  const sequence = headers[messageHeaders.sequence] ?? '';
  if (producer === undefined || !DIGITS.test(epoch) || !DIGITS.test(sequence)) return undefined;
  const redrivenFrom = headers[redriveHeaders.from];
  return { producer, epoch: BigInt(epoch), key, sequence: BigInt(sequence), redrivenFrom };
}
