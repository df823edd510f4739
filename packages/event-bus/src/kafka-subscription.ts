/** A running consumer on Kafka: manual commits with notes, hand-over before every rebalance, topics that come and go. */
import { setTimeout as pause } from 'node:timers/promises';
import { PoolmeterError } from '@poolmeter/domain';
import type { Logger } from '@poolmeter/service';
import { notOwned, partitionName, type OwnedPartition } from './balance-partitions.js';
import type {
  Assignment,
  CommittedPosition,
  PartitionRange,
  SubscribeOptions,
  Subscription,
} from './event-bus.js';
import { FetchedQueue, type FetchBudget, type FetchedBatch } from './fetched-queue.js';
import type { KafkaConnection } from './kafka-client.js';
import { HEARTBEAT_MS, KafkaMembership } from './kafka-membership.js';
import { PartitionReader, startOf } from './partition-reader.js';
import { topicsToRead } from './topic-family.js';

export interface KafkaSubscriptionOptions {
  readonly connection: KafkaConnection;
  readonly subscribe: SubscribeOptions;
  /** What is asked beside the group's own connection. */
  readonly ask: {
    topics(): Promise<string[]>;
    ranges(topic: string): Promise<PartitionRange[]>;
    committed(group: string, topic: string): Promise<CommittedPosition[]>;
  };
  /** How often new and gone topics are looked for, in milliseconds. */
  readonly topicLookMs: number;
  readonly onStopped: () => void;
}

const BATCH_BYTES = 1_048_576;
/** What is fetched ahead of the subscriber, over all partitions. */
const AHEAD_BYTES_MAX = 64 * 1_048_576;
/** A full partition holds up its broker's next fetch this long at most; after that it is left out of fetches. */
const ROOM_WAIT_MS = 100;
const RETRY_MS = 500;
const COMMITS_SETTLE_MS = 15_000;

interface Owned extends OwnedPartition {
  readonly queue: FetchedQueue;
  /** undefined until the group's position is known. */
  reader: PartitionReader | undefined;
  committed: CommittedPosition | undefined;
  isHeldBack: boolean;
}

export class KafkaSubscription implements Subscription {
  readonly group: string;
  readonly #options: KafkaSubscriptionOptions;
  readonly #logger: Logger;
  readonly #maxBatchBytes: number;
  readonly #budget: FetchBudget = { bytes: 0, maxBytes: AHEAD_BYTES_MAX };
  readonly #owned = new Map<string, Owned>();
  readonly #commits = new Set<Promise<void>>();
  #membership: KafkaMembership | undefined;
  #topics: readonly string[] = [];
  #lastOwned: readonly OwnedPartition[] = [];
  #lastLook = '';
  #assigning: Promise<void> = Promise.resolve();
  #revoking: Promise<void> | undefined;
  #switching: Promise<void> = Promise.resolve();
  #stopping: Promise<void> | undefined;
  readonly #stopped = new AbortController();
  #looking: Promise<void> = Promise.resolve();

  constructor(options: KafkaSubscriptionOptions) {
    this.#options = options;
    this.group = options.subscribe.group;
    this.#maxBatchBytes = options.subscribe.maxBatchBytes ?? BATCH_BYTES;
    this.#logger = options.connection.logger.child({ group: this.group });
  }

  async start(): Promise<void> {
    const { ask, subscribe } = this.#options;
    const topics = topicsToRead(await ask.topics(), subscribe);
    // kafkajs does not tell that it may not join or read; this question needs the same rights and is answered.
    for (const topic of topics) await ask.committed(this.group, topic);
    await this.#join(topics);
    this.#looking = this.#followTopics();
  }

  async commit(position: CommittedPosition): Promise<void> {
    const owned = this.#requireOwned(position);
    const work = this.#requireMembership().commit(position);
    const settled = work.then(
      () => undefined,
      () => undefined,
    );
    this.#commits.add(settled);
    void settled.then(() => this.#commits.delete(settled));
    await work;
    owned.committed = position;
    owned.reader?.noteCommitted(position.nextOffset);
  }

  pause(partitions: readonly OwnedPartition[]): void {
    for (const place of partitions) this.#ownedAt(place)?.reader?.pause();
  }

  resume(partitions: readonly OwnedPartition[]): void {
    for (const place of partitions) this.#ownedAt(place)?.reader?.resume();
  }

  async seek(topic: string, partition: number, offset: bigint): Promise<void> {
    const owned = this.#requireOwned({ topic, partition });
    await Promise.resolve();
    owned.queue.restart(offset);
    owned.reader?.seek(offset);
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** Topics that appear are joined at once, those that go after two looks: a starting broker may not know all yet. */
  async #followTopics(): Promise<void> {
    const { ask, subscribe, topicLookMs } = this.#options;
    for (;;) {
      // The only way that this pause fails is the abort at the end.
      await pause(topicLookMs, undefined, { signal: this.#stopped.signal }).catch(() => undefined);
      if (this.#stopping !== undefined) return;
      try {
        const topics = topicsToRead(await ask.topics(), subscribe);
        const isGrown = topics.some((topic) => !this.#topics.includes(topic));
        const isGone = topics.join() !== this.#topics.join() && topics.join() === this.#lastLook;
        this.#lastLook = topics.join();
        if (!isGrown && !isGone) continue;
        this.#logger.info({ topics }, 'The topics to read have changed; the group is joined anew.');
        await this.#rejoin(topics);
      } catch (fault) {
        this.#logger.warn({ err: fault }, 'A look at the topics failed; it is repeated.');
      }
    }
  }

  #rejoin(topics: readonly string[]): Promise<void> {
    this.#switching = this.#switching.then(async () => {
      await this.#leave();
      while (this.#stopping === undefined) {
        try {
          await this.#join(topics);
          return;
        } catch (fault) {
          this.#logger.error({ err: fault }, 'Joining the group failed; it is tried again.');
          await this.#leave();
          await pause(RETRY_MS);
        }
      }
    });
    return this.#switching;
  }

  async #join(topics: readonly string[]): Promise<void> {
    this.#topics = topics;
    if (topics.length === 0) return;
    const membership = new KafkaMembership({
      connection: this.#options.connection,
      group: this.group,
      topics,
      fetchBytes: this.#maxBatchBytes,
      logger: this.#logger,
      lastOwned: () => this.#lastOwned,
      beforeJoin: () => (this.#owned.size === 0 ? undefined : this.#revoke()),
      onJoined: (places) => this.#onJoined(places, membership),
      onBatch: (place, batch) => this.#onBatch(place, batch),
      onEnded: (fault) => {
        this.#logger.error({ err: fault }, 'The consumer ended; the group is joined anew.');
        void pause(RETRY_MS).then(() => (this.#membership === membership ? this.#rejoin(topics) : undefined));
      },
    });
    this.#membership = membership;
    await membership.start();
  }

  async #leave(): Promise<void> {
    const membership = this.#membership;
    if (this.#owned.size > 0) await this.#revoke();
    await membership?.close();
    this.#membership = undefined;
  }

  #onJoined(places: readonly OwnedPartition[], membership: KafkaMembership): void {
    for (const place of places) {
      const owned: Owned = {
        ...place,
        reader: undefined,
        committed: undefined,
        isHeldBack: false,
        queue: new FetchedQueue({
          budget: this.#budget,
          maxBytes: this.#maxBatchBytes,
          onRestart: (offset) => membership.seek(place, offset),
          onRoom: () => this.#onRoom(owned),
        }),
      };
      this.#owned.set(partitionName(place.topic, place.partition), owned);
    }
    this.#lastOwned = places;
    this.#revoking = undefined;
    this.#assigning = this.#assign([...this.#owned.values()]);
  }

  /** While it fails it is tried again, because Kafka knows no way to refuse an assignment. */
  async #assign(owned: readonly Owned[]): Promise<void> {
    while (owned.length > 0 && this.#revoking === undefined && this.#stopping === undefined) {
      try {
        const assignments = await this.#positionsOf(owned);
        await this.#options.subscribe.onAssigned?.(assignments);
        for (const one of owned) {
          one.reader?.start();
          this.#membership?.resume(one);
        }
        return;
      } catch (fault) {
        this.#logger.error({ err: fault }, 'Taking over partitions failed; it is tried again.');
        await pause(RETRY_MS);
      }
    }
  }

  async #positionsOf(owned: readonly Owned[]): Promise<Assignment[]> {
    const { ask, subscribe } = this.#options;
    const topics = [...new Set(owned.map(({ topic }) => topic))];
    const committed = (await Promise.all(topics.map((topic) => ask.committed(this.group, topic)))).flat();
    const ranges = (await Promise.all(topics.map((topic) => ask.ranges(topic)))).flat();
    for (const one of owned) {
      const isHere = (place: OwnedPartition) =>
        place.topic === one.topic && place.partition === one.partition;
      const range = ranges.find(isHere);
      if (range === undefined) throw notOwned(this.group, one);
      one.committed = committed.find(isHere);
      const from = startOf(subscribe.startAt, one.committed?.nextOffset, range);
      one.reader = this.#createReader(one, from);
      one.queue.restart(from);
      // Where the position is outside of what there is, the reader tells it before anything is fetched.
      one.queue.relocate(undefined, range);
    }
    return owned.map(({ topic, partition, committed: position }) => ({
      topic,
      partition,
      committed: position,
    }));
  }

  #createReader(owned: Owned, from: bigint): PartitionReader {
    return new PartitionReader({
      topic: owned.topic,
      partition: owned.partition,
      source: owned.queue,
      logger: this.#logger,
      from,
      committed: owned.committed?.nextOffset,
      maxBatchBytes: this.#maxBatchBytes,
      subscribe: this.#options.subscribe,
    });
  }

  async #onBatch(place: OwnedPartition, batch: FetchedBatch): Promise<boolean> {
    const owned = this.#ownedAt(place);
    const isOurs = () => this.#ownedAt(place) === owned && this.#revoking === undefined;
    if (owned?.reader === undefined || !isOurs()) return false;
    if (!owned.queue.add(batch)) {
      const range = await this.#rangeOf(place);
      if (range === undefined || !isOurs()) return false;
      if (!owned.queue.relocate(batch, range)) {
        this.#holdBack(owned);
        await this.#restoreCommitted(owned);
        owned.reader.poke();
        return false;
      }
    }
    owned.reader.poke();
    await owned.queue.waitForRoom(ROOM_WAIT_MS);
    if (isOurs() && owned.queue.isFull) this.#holdBack(owned);
    return true;
  }

  async #rangeOf({ topic, partition }: OwnedPartition): Promise<PartitionRange | undefined> {
    try {
      return (await this.#options.ask.ranges(topic)).find((range) => range.partition === partition);
    } catch (fault) {
      this.#logger.warn({ topic, partition, err: fault }, 'What a partition holds could not be asked.');
      await pause(RETRY_MS);
      return undefined;
    }
  }

  /** When a fetch met an offset that is gone, kafkajs has committed "the beginning" over the group's position. */
  async #restoreCommitted({ topic, partition, committed }: Owned): Promise<void> {
    if (committed === undefined) return;
    try {
      await this.#membership?.commit(committed);
    } catch (fault) {
      this.#logger.warn({ topic, partition, err: fault }, 'The position of the group could not be restored.');
    }
  }

  #holdBack(owned: Owned): void {
    owned.isHeldBack = true;
    this.#membership?.pause(owned);
  }

  #onRoom(owned: Owned): void {
    if (!owned.isHeldBack || this.#revoking !== undefined || this.#ownedAt(owned) !== owned) return;
    owned.isHeldBack = false;
    this.#membership?.resume(owned);
  }

  #revoke(): Promise<void> {
    this.#revoking ??= this.#revokeAll();
    return this.#revoking;
  }

  /** Never rejects: whatever happens in the callback, the partitions are gone. */
  async #revokeAll(): Promise<void> {
    const membership = this.#membership;
    const beat = setInterval(() => {
      // It is told about the rebalance that is under way; what counts is that the broker hears it.
      membership?.beat().catch(() => undefined);
    }, HEARTBEAT_MS);
    try {
      await this.#assigning;
      const owned = [...this.#owned.values()];
      await Promise.all(owned.map((one) => one.reader?.stop() ?? Promise.resolve()));
      await this.#options.subscribe.onRevoked?.(owned.map(({ topic, partition }) => ({ topic, partition })));
    } catch (fault) {
      this.#logger.error({ err: fault }, 'Handing over partitions failed.');
    } finally {
      clearInterval(beat);
    }
    for (const one of this.#owned.values()) one.queue.close();
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
    this.#stopped.abort();
    await this.#looking;
    await this.#switching;
    await this.#leave();
    this.#options.onStopped();
  }

  #ownedAt({ topic, partition }: OwnedPartition): Owned | undefined {
    return this.#owned.get(partitionName(topic, partition));
  }

  #requireOwned(place: OwnedPartition): Owned {
    const owned = this.#ownedAt(place);
    if (owned === undefined) throw notOwned(this.group, place);
    return owned;
  }

  #requireMembership(): KafkaMembership {
    if (this.#membership !== undefined) return this.#membership;
    throw new PoolmeterError('bus.closed', `This consumer of ${this.group} has stopped.`);
  }
}
