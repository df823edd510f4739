/** One membership in a Kafka group, from join to leave: what of kafkajs' consumer the subscription relies on. */
import { setTimeout as pause } from 'node:timers/promises';
import { PoolmeterError } from '@poolmeter/domain';
import type { Logger } from '@poolmeter/service';
import type { Batch, Consumer, EachBatchPayload, KafkaMessage } from 'kafkajs';
import { partitionName, type OwnedPartition } from './balance-partitions.js';
import type { CommittedPosition, StoredMessage } from './event-bus.js';
import type { FetchedBatch } from './fetched-queue.js';
import { createAssigner } from './kafka-assigner.js';
import { createKafkaClient, KAFKA_RETRY, type KafkaConnection } from './kafka-client.js';
import { kafkaFault } from './kafka-fault.js';

export interface KafkaMembershipOptions {
  readonly connection: KafkaConnection;
  readonly group: string;
  readonly topics: readonly string[];
  readonly fetchBytes: number;
  readonly logger: Logger;
  /** What this member had at last, so that it may have it again. */
  readonly lastOwned: () => readonly OwnedPartition[];
  /** Awaited before the group is joined; undefined when there is nothing to hand over. Must not reject. */
  readonly beforeJoin: () => Promise<void> | undefined;
  /** Nothing is fetched of these partitions until they are resumed. */
  readonly onJoined: (partitions: readonly OwnedPartition[]) => void;
  /** False: the batch was not taken and is fetched again, unless a seek says otherwise. */
  readonly onBatch: (place: OwnedPartition, batch: FetchedBatch) => Promise<boolean>;
  /** It ended and will not come back by itself. */
  readonly onEnded: (fault: Error) => void;
}

/**
 * A consumer that is silent for this long loses its partitions. The least that brokers allow by default: after a broker's
 * crash, a group waits this long for members that joined under a new name.
 */
const SESSION_TIMEOUT_MS = 6_000;
/** A rebalance is noticed after this long. */
export const HEARTBEAT_MS = 1_000;
/** Longer than any hand-over should take. */
const REBALANCE_TIMEOUT_MS = 60_000;
/** An idle fetch returns after this long, so that commits, joins and stops do not wait behind it; kafkajs waits 5 s. */
const FETCH_WAIT_MS = 200;
/** Of one answer, over all partitions. */
const FETCH_BYTES_MAX = 16 * 1_048_576;
/** Added partitions are noticed after this long; kafkajs looks every 5 minutes. */
const METADATA_AGE_MS = 30_000;
/** A batch only goes into its partition's queue: none should wait for another's room. */
const PARALLEL_PARTITIONS = 64;
const DISCONNECT_MS = 8_000;

export class KafkaMembership {
  readonly #options: KafkaMembershipOptions;
  readonly #consumer: Consumer;
  /** Commits that the broker confirmed, by what was committed. */
  readonly #confirmed = new Set<string>();
  #heartbeat: (() => Promise<void>) | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: KafkaMembershipOptions) {
    this.#options = options;
    const kafka = createKafkaClient(options.connection, { beforeJoin: options.beforeJoin });
    this.#consumer = kafka.consumer({
      groupId: options.group,
      partitionAssigners: [createAssigner(options.lastOwned)],
      allowAutoTopicCreation: false,
      sessionTimeout: SESSION_TIMEOUT_MS,
      heartbeatInterval: HEARTBEAT_MS,
      rebalanceTimeout: REBALANCE_TIMEOUT_MS,
      maxWaitTimeInMs: FETCH_WAIT_MS,
      maxBytesPerPartition: options.fetchBytes,
      maxBytes: Math.max(FETCH_BYTES_MAX, options.fetchBytes),
      metadataMaxAge: METADATA_AGE_MS,
      retry: { ...KAFKA_RETRY, restartOnFailure: () => Promise.resolve(this.#closing === undefined) },
    });
  }

  async start(): Promise<void> {
    const { topics, group } = this.#options;
    this.#listen();
    try {
      await this.#consumer.connect();
      // Always from the beginning: after a loss kafkajs would otherwise go on at the end, past all that is still there.
      await this.#consumer.subscribe({ topics: [...topics], fromBeginning: true });
      await this.#consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: PARALLEL_PARTITIONS,
        eachBatch: (payload) => this.#eachBatch(payload),
      });
    } catch (thrown) {
      throw kafkaFault(thrown, `subscribe ${group} to ${topics.join(', ')}`);
    }
  }

  pause({ topic, partition }: OwnedPartition): void {
    this.#whileJoined(() => {
      this.#consumer.pause([{ topic, partitions: [partition] }]);
    });
  }

  resume({ topic, partition }: OwnedPartition): void {
    this.#whileJoined(() => {
      this.#consumer.resume([{ topic, partitions: [partition] }]);
    });
  }

  seek({ topic, partition }: OwnedPartition, offset: bigint): void {
    this.#whileJoined(() => {
      this.#consumer.seek({ topic, partition, offset: String(offset) });
    });
  }

  /** Keeps the session alive while kafkajs is held back from joining. */
  async beat(): Promise<void> {
    await this.#heartbeat?.();
  }

  /** kafkajs resolves a commit that it did not even send, when its runner has just ended: only the event counts. */
  async commit(position: CommittedPosition): Promise<void> {
    const { topic, partition, nextOffset, metadata } = position;
    const commit = { topic, partition, offset: String(nextOffset), metadata };
    const name = commitName(commit);
    this.#confirmed.delete(name);
    try {
      await this.#consumer.commitOffsets([commit]);
    } catch (thrown) {
      throw kafkaFault(thrown, `commit ${partitionName(topic, partition)}`);
    }
    if (this.#confirmed.delete(name)) return;
    throw new PoolmeterError(
      'dependency.unavailable',
      `The commit of ${partitionName(topic, partition)} was not sent: the consumer is reconnecting.`,
      { retriable: true, details: { topic, partition } },
    );
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** After a crash kafkajs knows no partitions until it has joined again, and then everything is set up anew. */
  #whileJoined(act: () => void): void {
    try {
      act();
    } catch (fault) {
      this.#options.logger.debug({ err: fault }, 'The consumer is reconnecting.');
    }
  }

  #listen(): void {
    const { events } = this.#consumer;
    this.#consumer.on(events.GROUP_JOIN, ({ payload }) => {
      if (this.#closing !== undefined) return;
      const places = Object.entries(payload.memberAssignment).flatMap(([topic, partitions]) =>
        partitions.map((partition) => ({ topic, partition })),
      );
      // A fetch from an offset that is gone would let kafkajs overwrite the group's position and its note.
      for (const place of places) this.pause(place);
      this.#options.onJoined(places);
    });
    this.#consumer.on(events.COMMIT_OFFSETS, ({ payload }) => {
      for (const { topic, partitions } of payload.topics) {
        for (const { partition, offset, metadata } of partitions as ConfirmedPartition[]) {
          this.#confirmed.add(
            commitName({ topic, partition, offset: String(offset), metadata: metadata ?? '' }),
          );
        }
      }
    });
    this.#consumer.on(events.CRASH, ({ payload }) => {
      if (!payload.restart && this.#closing === undefined) this.#options.onEnded(payload.error);
    });
  }

  async #eachBatch(payload: EachBatchPayload): Promise<void> {
    this.#heartbeat = () => payload.heartbeat();
    if (payload.isStale() || this.#closing !== undefined) return;
    const { topic, partition } = payload.batch;
    const last = payload.batch.messages.at(-1);
    if (last === undefined) return;
    const isTaken = await this.#options.onBatch({ topic, partition }, fetchedBatchOf(payload.batch));
    if (isTaken && !payload.isStale()) payload.resolveOffset(last.offset);
  }

  async #close(): Promise<void> {
    const late = new AbortController();
    const limit = pause(DISCONNECT_MS, 'late', { signal: late.signal }).catch(() => 'gone');
    const { logger } = this.#options;
    try {
      const gone = this.#consumer.disconnect().then(() => 'gone');
      const outcome = await Promise.race([gone, limit]);
      if (outcome === 'late') {
        logger.warn('Kafka did not answer the leave; the group notices by itself after the session timeout.');
        gone.catch((fault: unknown) => logger.warn({ err: fault }, 'A late disconnect failed.'));
      }
    } catch (fault) {
      logger.warn({ err: fault }, 'The consumer did not disconnect cleanly.');
    } finally {
      late.abort();
    }
  }
}

/** kafkajs leaves the metadata out of its types, and keeps the offset as its own Long. */
interface ConfirmedPartition {
  readonly partition: number;
  readonly offset: { toString(): string };
  readonly metadata?: string | null;
}

interface CommitFacts {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly metadata: string;
}

function commitName({ topic, partition, offset, metadata }: CommitFacts): string {
  return `${partitionName(topic, partition)} ${offset} ${metadata}`;
}

function fetchedBatchOf(batch: Batch): FetchedBatch {
  // kafkajs leaves it out of its types: the offset that was asked for, also when the answer begins later.
  const { fetchedOffset } = batch as Batch & { readonly fetchedOffset: string };
  return {
    from: BigInt(fetchedOffset),
    next: BigInt(batch.lastOffset()) + 1n,
    messages: batch.messages.map((message) => storedMessageOf(message, batch)),
    endOffset: BigInt(batch.highWatermark),
  };
}

function storedMessageOf(message: KafkaMessage, { topic, partition }: OwnedPartition): StoredMessage {
  const headers: Record<string, string> = {};
  for (const name in message.headers) {
    const value = message.headers[name];
    const first = Array.isArray(value) ? value[0] : value;
    if (first !== undefined) headers[name] = first.toString();
  }
  return {
    topic,
    partition,
    offset: BigInt(message.offset),
    storedAtMs: Number(message.timestamp),
    key: message.key?.toString() ?? '',
    headers,
    // A view into what the network delivered; it is copied nowhere on its way to the subscriber.
    value: message.value ?? Buffer.alloc(0),
  };
}
