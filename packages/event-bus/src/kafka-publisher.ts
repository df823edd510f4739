/**
 * The only writer of a bus to Kafka: an idempotent producer with one send in flight. Order holds because nothing is
 * sent before the last send is settled; nothing is lost or doubled because an unsettled send is repeated unchanged.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { PoolmeterError } from '@poolmeter/domain';
import type { Logger } from '@poolmeter/service';
import { CompressionTypes, Partitioners, type Kafka, type Message, type Producer } from 'kafkajs';
import type { BusMessage } from './event-bus.js';
import { isRefusal, kafkaFault } from './kafka-fault.js';
import { KAFKA_RETRY } from './kafka-client.js';
import { MESSAGE_BYTES_MAX, messageBytes } from './message-limits.js';

export type KafkaCompression = 'none' | 'gzip';

export interface KafkaPublisherOptions {
  readonly kafka: Kafka;
  readonly compression: KafkaCompression;
  readonly logger: Logger;
  /** A send that is not settled after this long is given up, and its callers are told. */
  readonly giveUpMs: number;
}

/** A piece of a publish that fits into one send. */
interface Waiting {
  readonly topic: string;
  readonly messages: readonly BusMessage[];
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (fault: PoolmeterError) => void;
}

const RESEND_PAUSE_MS = 200;

export class KafkaPublisher {
  readonly #options: KafkaPublisherOptions;
  readonly #waiting: Waiting[] = [];
  #producer: Producer | undefined;
  #sending: Promise<void> | undefined;
  #closed = false;

  constructor(options: KafkaPublisherOptions) {
    this.#options = options;
  }

  /** Resolves when every message is acknowledged by all in-sync replicas. */
  async publish(topic: string, messages: readonly BusMessage[]): Promise<void> {
    if (this.#closed) throw new PoolmeterError('bus.closed', 'The Kafka producer is closed.');
    const pieces = [...piecesOf(messages)];
    const settled = pieces.map(
      (piece) =>
        new Promise<void>((resolve, reject) => {
          this.#waiting.push({ topic, ...piece, resolve, reject });
        }),
    );
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined;
    });
    const outcomes = await Promise.allSettled(settled);
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  /** Sends what waits, then disconnects. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#sending;
    await this.#discard();
  }

  async #sendAll(): Promise<void> {
    for (let group = this.#nextGroup(); group.length > 0; group = this.#nextGroup()) {
      const fault = await this.#settle(group);
      for (const { resolve, reject } of group) {
        if (fault === undefined) resolve();
        else reject(fault);
      }
    }
  }

  /** Neighbours of the same topic that fit into one send together. */
  #nextGroup(): Waiting[] {
    const group: Waiting[] = [];
    let bytes = 0;
    for (const next of this.#waiting) {
      if (next.topic !== (group[0]?.topic ?? next.topic)) break;
      if (group.length > 0 && bytes + next.bytes > MESSAGE_BYTES_MAX) break;
      group.push(next);
      bytes += next.bytes;
    }
    this.#waiting.splice(0, group.length);
    return group;
  }

  /**
   * After a rejected send the producer's sequence stands before this batch. The broker would take another batch of
   * the same size for a repeat of it and acknowledge it without storing it. So either the very same batch is sent
   * again, or this producer is never used again.
   */
  async #settle(group: readonly Waiting[]): Promise<PoolmeterError | undefined> {
    const topic = group[0]?.topic ?? '';
    const messages = group.flatMap((piece) => piece.messages.map(kafkaMessageOf));
    const deadlineMs = performance.now() + this.#options.giveUpMs;
    for (;;) {
      const fault = await this.#trySend(topic, messages);
      if (fault === undefined) return undefined;
      if (isRefusal(fault) || performance.now() > deadlineMs) {
        await this.#discard();
        return fault;
      }
      this.#options.logger.warn(
        { topic, messages: messages.length, err: fault },
        'A send is repeated unchanged.',
      );
      await pause(RESEND_PAUSE_MS);
    }
  }

  async #trySend(topic: string, messages: Message[]): Promise<PoolmeterError | undefined> {
    try {
      this.#producer ??= await this.#connect();
      const compression =
        this.#options.compression === 'gzip' ? CompressionTypes.GZIP : CompressionTypes.None;
      await this.#producer.send({ topic, messages, acks: -1, compression });
      return undefined;
    } catch (thrown) {
      return kafkaFault(thrown, `store messages in ${topic}`);
    }
  }

  async #connect(): Promise<Producer> {
    const producer = this.#options.kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
      retry: KAFKA_RETRY,
    });
    await producer.connect();
    return producer;
  }

  async #discard(): Promise<void> {
    const producer = this.#producer;
    this.#producer = undefined;
    try {
      await producer?.disconnect();
    } catch (fault) {
      this.#options.logger.warn(
        { err: fault },
        'A producer did not disconnect cleanly; it is not used again.',
      );
    }
  }
}

/** kafkajs makes one record batch per partition and send, which must stay below the broker's limit. */
function* piecesOf(messages: readonly BusMessage[]): Generator<{ messages: BusMessage[]; bytes: number }> {
  let piece: BusMessage[] = [];
  let bytes = 0;
  for (const message of messages) {
    const size = messageBytes(message);
    if (piece.length > 0 && bytes + size > MESSAGE_BYTES_MAX) {
      yield { messages: piece, bytes };
      [piece, bytes] = [[], 0];
    }
    piece.push(message);
    bytes += size;
  }
  if (piece.length > 0) yield { messages: piece, bytes };
}

function kafkaMessageOf(message: BusMessage): Message {
  const { buffer, byteOffset, byteLength } = message.value;
  return {
    key: message.key,
    headers: { ...message.headers },
    value: Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength),
  };
}
