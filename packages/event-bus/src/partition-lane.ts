/**
 * What is on its way to one partition: one batch at a time, in the order of the publishes. A batch of which nobody
 * knows whether it was stored is sent again unchanged, by the same producer, before anything else; given up, its
 * producer is never used for this partition again. kafkajs would let the next batch take the sequence of the one in
 * doubt, and the broker would acknowledge it as a repeat without storing it.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { PoolmeterError } from '@poolmeter/domain';
import type { Logger } from '@poolmeter/service';
import type { CompressionTypes, Message } from 'kafkajs';
import type { BusMessage } from './event-bus.js';
import { isRefusal, isSequenceLost, kafkaFault } from './kafka-fault.js';
import type { HeldProducer, KafkaProducers } from './kafka-producers.js';
import { MESSAGE_BYTES_MAX, messageBytes } from './message-limits.js';

export interface PartitionLaneOptions {
  readonly topic: string;
  readonly partition: number;
  readonly producers: KafkaProducers;
  readonly compression: CompressionTypes;
  readonly logger: Logger;
  /** A batch that is not settled this long after its publish is given up, and its callers are told. */
  readonly giveUpMs: number;
}

/** A piece of a publish that fits into one batch. */
interface Waiting {
  readonly messages: readonly BusMessage[];
  readonly bytes: number;
  readonly deadlineMs: number;
  readonly resolve: () => void;
  readonly reject: (fault: PoolmeterError) => void;
}

const RESEND_PAUSE_MS = 200;
/** Failed attempts in a row before the connection itself is taken for broken. */
const RECONNECT_AFTER = 2;
/** kafkajs sorts a send's messages by partition in time that grows with the square of their number. */
const BATCH_MESSAGES_MAX = 1_000;
/** kafkajs does not carry a sequence over 2³¹ as brokers expect it: a producer is changed long before. */
const SEQUENCE_MAX = 2 ** 30;

export class PartitionLane {
  readonly #options: PartitionLaneOptions;
  readonly #waiting: Waiting[] = [];
  #held: HeldProducer | undefined;
  #sequence = 0;
  #running: Promise<void> | undefined;

  constructor(options: PartitionLaneOptions) {
    this.#options = options;
  }

  /** Resolves when every message is acknowledged by all in-sync replicas. */
  async publish(messages: readonly BusMessage[]): Promise<void> {
    const deadlineMs = performance.now() + this.#options.giveUpMs;
    const settled = [...piecesOf(messages)].map(
      (piece) =>
        new Promise<void>((resolve, reject) => {
          this.#waiting.push({ ...piece, deadlineMs, resolve, reject });
        }),
    );
    this.#running ??= this.#sendAll().finally(() => {
      this.#running = undefined;
    });
    const outcomes = await Promise.allSettled(settled);
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  /** Sends what waits, then gives its producer back. */
  async close(): Promise<void> {
    await this.#running;
    this.#release();
  }

  async #sendAll(): Promise<void> {
    for (let group = this.#nextGroup(); group.length > 0; group = this.#nextGroup()) {
      const fault = await this.#settle(group);
      for (const { resolve, reject } of group) {
        if (fault === undefined) resolve();
        else reject(fault);
      }
      if (fault?.retriable === true) this.#rejectOverdue(fault);
    }
  }

  /** Neighbours that fit into one batch together. */
  #nextGroup(): Waiting[] {
    const group: Waiting[] = [];
    let [bytes, count] = [0, 0];
    for (const next of this.#waiting) {
      bytes += next.bytes;
      count += next.messages.length;
      if (group.length > 0 && (bytes > MESSAGE_BYTES_MAX || count > BATCH_MESSAGES_MAX)) break;
      group.push(next);
    }
    this.#waiting.splice(0, group.length);
    return group;
  }

  /** Nothing of these was sent. Without it, each of a long queue would wait for its own time-out in turn. */
  #rejectOverdue(fault: PoolmeterError): void {
    const now = performance.now();
    while (this.#waiting[0] !== undefined && this.#waiting[0].deadlineMs < now)
      this.#waiting.shift()?.reject(fault);
  }

  async #settle(group: readonly Waiting[]): Promise<PoolmeterError | undefined> {
    const { topic, partition, logger } = this.#options;
    const messages = group.flatMap((piece) => piece.messages.map((one) => kafkaMessageOf(one, partition)));
    const deadlineMs = Math.min(...group.map((piece) => piece.deadlineMs));
    if (this.#held?.spoiled === true || this.#sequence > SEQUENCE_MAX) this.#release();
    for (let attempt = 1; ; attempt += 1) {
      const fault = await this.#trySend(messages, attempt);
      if (fault === undefined) return undefined;
      if (isRefusal(fault) || isSequenceLost(fault) || performance.now() > deadlineMs) {
        this.#release('spoil');
        return fault;
      }
      logger.warn(
        { topic, partition, messages: messages.length, err: fault },
        'A send is repeated unchanged.',
      );
      await pause(RESEND_PAUSE_MS);
    }
  }

  async #trySend(messages: Message[], attempt: number): Promise<PoolmeterError | undefined> {
    const { topic, partition, compression, producers } = this.#options;
    try {
      this.#held ??= await producers.hold();
      if (attempt > RECONNECT_AFTER) await this.#held.reconnect();
      const answers = await this.#held.producer.send({ topic, messages, acks: -1, compression });
      this.#sequence += messages.length;
      // Without a leader for the partition in its metadata, kafkajs resolves although it sent nothing.
      if (answers.some((answer) => answer.partition === partition)) return undefined;
      this.#release('spoil');
      return notSent(topic, partition);
    } catch (thrown) {
      return kafkaFault(thrown, `store messages in ${topic}`);
    }
  }

  #release(spoil?: 'spoil'): void {
    this.#held?.release(spoil);
    this.#held = undefined;
    this.#sequence = 0;
  }
}

function notSent(topic: string, partition: number): PoolmeterError {
  return new PoolmeterError(
    'dependency.unavailable',
    `Kafka names no leader of ${topic}/${partition} yet: check that its brokers run.`,
    { retriable: true, details: { topic, partition } },
  );
}

/** One batch must stay below the broker's limit. */
function* piecesOf(messages: readonly BusMessage[]): Generator<{ messages: BusMessage[]; bytes: number }> {
  let piece: BusMessage[] = [];
  let bytes = 0;
  for (const message of messages) {
    const size = messageBytes(message);
    if (piece.length > 0 && (bytes + size > MESSAGE_BYTES_MAX || piece.length >= BATCH_MESSAGES_MAX)) {
      yield { messages: piece, bytes };
      [piece, bytes] = [[], 0];
    }
    piece.push(message);
    bytes += size;
  }
  if (piece.length > 0) yield { messages: piece, bytes };
}

function kafkaMessageOf(message: BusMessage, partition: number): Message {
  const { buffer, byteOffset, byteLength } = message.value;
  return {
    partition,
    key: message.key,
    headers: { ...message.headers },
    value: Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength),
  };
}
