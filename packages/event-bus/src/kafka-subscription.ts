/** A running consumer on Kafka: manual commits with notes, hand-over before every rebalance. */
import { setTimeout as pause } from 'node:timers/promises';
import { messageOf, PoolmeterError } from '@poolmeter/domain';
import type { Logger } from '@poolmeter/service';
import type { Admin, Consumer, ConsumerGroupJoinEvent, EachBatchPayload, KafkaMessage } from 'kafkajs';
import { partitionName, type OwnedPartition } from './balance-partitions.js';
import type { CommittedPosition, StoredMessage, SubscribeOptions, Subscription } from './event-bus.js';
import { createKafkaClient, KAFKA_RETRY, type KafkaConnection } from './kafka-client.js';
import { kafkaFault } from './kafka-fault.js';
import { gatedSocketFactory } from './kafka-join-gate.js';
import { committedPositions } from './kafka-positions.js';

export interface KafkaSubscriptionOptions {
  readonly connection: KafkaConnection;
  readonly admin: () => Promise<Admin>;
  readonly subscribe: SubscribeOptions;
  readonly onStopped: () => void;
}

const BATCH_BYTES = 1_048_576;
/** A consumer that is silent for this long loses its partitions. */
const SESSION_TIMEOUT_MS = 10_000;
const HEARTBEAT_MS = 1_000;
/** Longer than any hand-over should take. */
const REBALANCE_TIMEOUT_MS = 60_000;
/** An idle fetch returns after this long, so that commits, joins and stops do not wait behind it. */
const FETCH_WAIT_MS = 200;
const PARALLEL_PARTITIONS = 8;
const REDELIVERY_MS_FIRST = 100;
const REDELIVERY_MS_MAX = 5_000;
const COMMITS_SETTLE_MS = 15_000;
const DISCONNECT_MS = 8_000;

interface Owned extends OwnedPartition {
  paused: boolean;
  failures: number;
}

export class KafkaSubscription implements Subscription {
  readonly group: string;
  readonly #options: KafkaSubscriptionOptions;
  readonly #logger: Logger;
  readonly #consumer: Consumer;
  readonly #owned = new Map<string, Owned>();
  readonly #inHand = new Set<Promise<void>>();
  readonly #commits = new Set<Promise<void>>();
  /** Commits that the broker confirmed, by what was committed. */
  readonly #confirmed = new Set<string>();
  #assigning: Promise<void> = Promise.resolve();
  #revoking: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: KafkaSubscriptionOptions) {
    this.#options = options;
    this.group = options.subscribe.group;
    this.#logger = options.connection.logger.child({ group: this.group });
    const kafka = createKafkaClient(
      options.connection,
      gatedSocketFactory(() => this.#beforeJoin()),
    );
    this.#consumer = kafka.consumer({
      groupId: this.group,
      allowAutoTopicCreation: false,
      sessionTimeout: SESSION_TIMEOUT_MS,
      heartbeatInterval: HEARTBEAT_MS,
      rebalanceTimeout: REBALANCE_TIMEOUT_MS,
      maxWaitTimeInMs: FETCH_WAIT_MS,
      maxBytesPerPartition: Math.max(options.subscribe.maxBatchBytes ?? 0, BATCH_BYTES),
      retry: { ...KAFKA_RETRY, restartOnFailure: () => Promise.resolve(this.#stopping === undefined) },
    });
  }

  async start(): Promise<void> {
    const { topics, startAt } = this.#options.subscribe;
    const { events } = this.#consumer;
    this.#consumer.on(events.GROUP_JOIN, (event) => this.#onJoined(event));
    this.#consumer.on(events.COMMIT_OFFSETS, ({ payload }) => {
      for (const { topic, partitions } of payload.topics) {
        for (const { partition, offset, metadata } of partitions as ConfirmedPartition[]) {
          this.#confirmed.add(
            commitName({ topic, partition, offset: String(offset), metadata: metadata ?? '' }),
          );
        }
      }
    });
    try {
      await this.#consumer.connect();
      await this.#consumer.subscribe({ topics: [...topics], fromBeginning: startAt === 'earliest' });
      await this.#consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: PARALLEL_PARTITIONS,
        eachBatch: (payload) => this.#eachBatch(payload),
      });
    } catch (thrown) {
      throw kafkaFault(thrown, `subscribe ${this.group} to ${topics.join(', ')}`);
    }
  }

  async commit(position: CommittedPosition): Promise<void> {
    this.#requireOwned(position);
    const work = this.#commit(position);
    const settled = work.then(
      () => undefined,
      () => undefined,
    );
    this.#commits.add(settled);
    void settled.then(() => this.#commits.delete(settled));
    await work;
  }

  pause(partitions: readonly OwnedPartition[]): void {
    for (const place of this.#mine(partitions)) {
      place.paused = true;
      this.#consumer.pause([{ topic: place.topic, partitions: [place.partition] }]);
    }
  }

  resume(partitions: readonly OwnedPartition[]): void {
    for (const place of this.#mine(partitions)) {
      place.paused = false;
      this.#consumer.resume([{ topic: place.topic, partitions: [place.partition] }]);
    }
  }

  seek(topic: string, partition: number, offset: bigint): Promise<void> {
    try {
      this.#requireOwned({ topic, partition });
      this.#consumer.seek({ topic, partition, offset: String(offset) });
      return Promise.resolve();
    } catch (thrown) {
      return Promise.reject(kafkaFault(thrown, `seek in ${partitionName(topic, partition)}`));
    }
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** kafkajs resolves a commit that it did not even send, when its runner has just ended: only the event counts. */
  async #commit(position: CommittedPosition): Promise<void> {
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

  #onJoined(event: ConsumerGroupJoinEvent): void {
    const places = Object.entries(event.payload.memberAssignment).flatMap(([topic, partitions]) =>
      partitions.map((partition) => ({ topic, partition })),
    );
    for (const place of places) {
      this.#owned.set(partitionName(place.topic, place.partition), { ...place, paused: false, failures: 0 });
    }
    this.#revoking = undefined;
    this.#assigning = this.#assign(places);
  }

  /** Batches wait for it. While it fails it is tried again, because Kafka knows no way to refuse an assignment. */
  async #assign(places: readonly OwnedPartition[]): Promise<void> {
    const { subscribe } = this.#options;
    if (places.length > 0) {
      this.#consumer.resume(places.map(({ topic, partition }) => ({ topic, partitions: [partition] })));
    }
    while (places.length > 0 && this.#revoking === undefined && this.#stopping === undefined) {
      try {
        const committed = await this.#committedOf(places);
        const assignments = places.map((place) => ({
          ...place,
          committed: committed.find((one) => one.topic === place.topic && one.partition === place.partition),
        }));
        await subscribe.onAssigned?.(assignments);
        return;
      } catch (fault) {
        this.#logger.error({ err: fault }, 'Taking over partitions failed; it is tried again.');
        await pause(REDELIVERY_MS_FIRST);
      }
    }
  }

  async #committedOf(places: readonly OwnedPartition[]): Promise<CommittedPosition[]> {
    const admin = await this.#options.admin();
    return committedPositions(admin, this.group, [...new Set(places.map(({ topic }) => topic))]);
  }

  async #eachBatch(payload: EachBatchPayload): Promise<void> {
    await this.#assigning;
    const place = this.#owned.get(partitionName(payload.batch.topic, payload.batch.partition));
    if (place === undefined || this.#stopping !== undefined) return;
    const beat = setInterval(() => {
      // A rebalance shows here first; kafkajs meets it again in its own heartbeat after this batch.
      payload.heartbeat().catch((fault: unknown) => {
        this.#logger.debug({ reason: messageOf(fault) }, 'A heartbeat during a batch failed.');
      });
    }, HEARTBEAT_MS);
    const work = this.#deliver(payload, place);
    this.#inHand.add(work);
    try {
      await work;
    } finally {
      clearInterval(beat);
      this.#inHand.delete(work);
    }
  }

  /** What is not resolved here is fetched again. */
  async #deliver(payload: EachBatchPayload, place: Owned): Promise<void> {
    const { batch } = payload;
    const { subscribe } = this.#options;
    const { topic, partition } = place;
    for (const messages of chunksOf(batch.messages, subscribe.maxBatchBytes ?? BATCH_BYTES)) {
      if (place.paused || payload.isStale() || this.#stopping !== undefined) return;
      try {
        const stored = messages.map((message) => storedMessageOf(message, place));
        await subscribe.onBatch({
          topic,
          partition,
          messages: stored,
          endOffset: BigInt(batch.highWatermark),
        });
        place.failures = 0;
      } catch (fault) {
        await this.#afterFailure(place, fault);
        return;
      }
      const last = messages.at(-1);
      if (last !== undefined && !payload.isStale()) payload.resolveOffset(last.offset);
    }
  }

  async #afterFailure(place: Owned, fault: unknown): Promise<void> {
    place.failures += 1;
    const pauseMs = Math.min(REDELIVERY_MS_FIRST * 2 ** (place.failures - 1), REDELIVERY_MS_MAX);
    const { topic, partition, failures } = place;
    this.#logger.warn(
      { topic, partition, failures, err: fault },
      'A batch was not taken; it is delivered again.',
    );
    const until = performance.now() + pauseMs;
    while (performance.now() < until && this.#stopping === undefined) await pause(REDELIVERY_MS_FIRST);
  }

  /** Called when kafkajs is about to join (again): undefined when nothing is owned. */
  #beforeJoin(): Promise<void> | undefined {
    if (this.#owned.size === 0) return undefined;
    this.#revoking ??= this.#revokeAll();
    return this.#revoking;
  }

  /** Never rejects: whatever happens in the callback, the partitions are gone. */
  async #revokeAll(): Promise<void> {
    await this.#assigning;
    await Promise.allSettled(this.#inHand);
    const places = [...this.#owned.values()].map(({ topic, partition }) => ({ topic, partition }));
    try {
      await this.#options.subscribe.onRevoked?.(places);
    } catch (fault) {
      this.#logger.error({ err: fault }, 'Handing over partitions failed.');
    }
    this.#owned.clear();
    await this.#commitsSettled();
  }

  /** A commit that is still under way must not succeed in the next generation, for a partition of somebody else. */
  async #commitsSettled(): Promise<void> {
    const late = new AbortController();
    const limit = pause(COMMITS_SETTLE_MS, 'late', { signal: late.signal }).catch(() => 'settled');
    const outcome = await Promise.race([Promise.all(this.#commits).then(() => 'settled'), limit]);
    late.abort();
    if (outcome === 'late')
      this.#logger.error('A commit was still under way when the group was joined again.');
  }

  async #stop(): Promise<void> {
    if (this.#owned.size > 0) await (this.#revoking ??= this.#revokeAll());
    const late = new AbortController();
    const limit = pause(DISCONNECT_MS, 'late', { signal: late.signal }).catch(() => 'gone');
    try {
      const gone = this.#consumer.disconnect().then(() => 'gone');
      const outcome = await Promise.race([gone, limit]);
      if (outcome === 'late') {
        this.#logger.warn(
          'Kafka did not answer the leave; the group notices by itself after the session timeout.',
        );
        gone.catch((fault: unknown) => this.#logger.warn({ err: fault }, 'A late disconnect failed.'));
      }
    } catch (fault) {
      this.#logger.warn({ err: fault }, 'The consumer did not disconnect cleanly.');
    } finally {
      late.abort();
      this.#options.onStopped();
    }
  }

  #mine(partitions: readonly OwnedPartition[]): Owned[] {
    return partitions
      .map(({ topic, partition }) => this.#owned.get(partitionName(topic, partition)))
      .filter((place) => place !== undefined);
  }

  #requireOwned({ topic, partition }: OwnedPartition): void {
    if (this.#owned.has(partitionName(topic, partition))) return;
    throw new PoolmeterError(
      'bus.rejected',
      `${partitionName(topic, partition)} is not assigned to this consumer of ${this.group}.`,
      { details: { group: this.group, topic, partition } },
    );
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

function* chunksOf(messages: readonly KafkaMessage[], maxBytes: number): Generator<KafkaMessage[]> {
  let chunk: KafkaMessage[] = [];
  let bytes = 0;
  for (const message of messages) {
    const size = message.value?.byteLength ?? 0;
    if (chunk.length > 0 && bytes + size > maxBytes) {
      yield chunk;
      [chunk, bytes] = [[], 0];
    }
    chunk.push(message);
    bytes += size;
  }
  if (chunk.length > 0) yield chunk;
}

function storedMessageOf(message: KafkaMessage, place: OwnedPartition): StoredMessage {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(message.headers ?? {})) {
    const first = Array.isArray(value) ? value[0] : value;
    if (first !== undefined) headers[name] = first.toString();
  }
  return {
    topic: place.topic,
    partition: place.partition,
    offset: BigInt(message.offset),
    storedAtMs: Number(message.timestamp),
    key: message.key?.toString() ?? '',
    headers,
    value: message.value ?? Buffer.alloc(0),
  };
}
