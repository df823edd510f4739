/** A running consumer of the log: takes its share of the partitions, reads them, hands them over when asked. */
import { randomUUID } from 'node:crypto';
import type { Logger } from '@poolmeter/service';
import { notOwned, partitionName, type OwnedPartition } from './balance-partitions.js';
import { Bell } from './bell.js';
import type { BusInstances } from './bus-instances.js';
import { ConsumerGroup } from './consumer-group.js';
import type { CommittedPosition, SubscribeOptions, Subscription } from './event-bus.js';
import type { LmdbEnvironment } from './lmdb-environment.js';
import type { LogStore } from './log-store.js';
import { jumpFrom, PartitionReader, startOf, type PartitionSource } from './partition-reader.js';
import { topicsToRead } from './topic-family.js';

export interface LogSubscriptionOptions {
  readonly environment: LmdbEnvironment;
  readonly store: LogStore;
  readonly instances: BusInstances;
  readonly logger: Logger;
  readonly subscribe: SubscribeOptions;
  /** Called when this member's partitions changed, so that others in this process look at once. */
  readonly onGroupChange: () => void;
  readonly onStopped: () => void;
}

/** Changes made by other processes are seen after this long. */
const LOOK_MS = 1_000;
const BATCH_BYTES = 1_048_576;

export class LogSubscription implements Subscription {
  readonly group: string;
  readonly #options: LogSubscriptionOptions;
  readonly #membership: ConsumerGroup;
  readonly #readers = new Map<string, PartitionReader>();
  readonly #bell = new Bell();
  #coordinating: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #stopped = false;

  constructor(options: LogSubscriptionOptions) {
    this.#options = options;
    this.group = options.subscribe.group;
    this.#membership = new ConsumerGroup({
      environment: options.environment,
      instances: options.instances,
      group: options.subscribe.group,
      member: randomUUID(),
      topics: () => topicsToRead(options.store.topicNames(), options.subscribe),
      partitionsOf: (topic) => options.store.partitionsOf(topic),
    });
  }

  async start(): Promise<void> {
    await this.#membership.join();
    this.#coordinating = this.#coordinate();
    this.#options.onGroupChange();
  }

  async commit(position: CommittedPosition): Promise<void> {
    const { topic, partition } = position;
    await this.#options.store.commit(this.group, position, () => {
      if (!this.#readers.has(partitionName(topic, partition))) throw notOwned(this.group, position);
      this.#membership.requireOwner({ topic, partition });
    });
    this.#readers.get(partitionName(topic, partition))?.noteCommitted(position.nextOffset);
  }

  pause(partitions: readonly OwnedPartition[]): void {
    for (const { topic, partition } of partitions)
      this.#readers.get(partitionName(topic, partition))?.pause();
  }

  resume(partitions: readonly OwnedPartition[]): void {
    for (const { topic, partition } of partitions)
      this.#readers.get(partitionName(topic, partition))?.resume();
  }

  seek(topic: string, partition: number, offset: bigint): Promise<void> {
    const reader = this.#readers.get(partitionName(topic, partition));
    if (reader === undefined) return Promise.reject(notOwned(this.group, { topic, partition }));
    reader.seek(offset);
    return Promise.resolve();
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** Looks at the group again without waiting for the next turn. */
  look(): void {
    this.#bell.ring();
  }

  /** Looks for messages, in all partitions or in those that were just written. */
  poke(topic?: string): void {
    for (const reader of this.#readers.values()) {
      if (topic === undefined || reader.topic === topic) reader.poke();
    }
  }

  async #coordinate(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#turn();
      } catch (fault) {
        this.#options.logger.error({ group: this.group, err: fault }, 'A look at the group failed.');
      }
      // stop() rings, so that nobody waits for this pause.
      await this.#bell.wait(LOOK_MS);
    }
  }

  async #turn(): Promise<void> {
    await this.#dropLost();
    await this.#membership.join();
    const { release, claim } = this.#membership.plan();
    if (release.length > 0) {
      await this.#revoke(release);
      await this.#membership.release(release);
      this.#options.onGroupChange();
    }
    if (claim.length > 0) await this.#assign(await this.#membership.claim(claim));
  }

  /** Another member thought that this process was gone, for instance because it was stopped for a while. */
  async #dropLost(): Promise<void> {
    const lost = [...this.#readers.values()].filter((reader) => !this.#membership.owns(reader));
    if (lost.length === 0) return;
    this.#options.logger.warn({ group: this.group, partitions: lost.length }, 'Partitions were taken away.');
    await this.#revoke(lost);
  }

  async #assign(partitions: readonly OwnedPartition[]): Promise<void> {
    const { store, subscribe } = this.#options;
    const assignments = partitions.map(({ topic, partition }) => ({
      topic,
      partition,
      committed: store.position(this.group, topic, partition),
    }));
    if (assignments.length === 0) return;
    const readers = assignments.map(({ topic, partition, committed }) =>
      this.#createReader({ topic, partition }, committed),
    );
    // Registered before the callback, which may already pause, seek and commit.
    for (const reader of readers) this.#readers.set(partitionName(reader.topic, reader.partition), reader);
    try {
      await subscribe.onAssigned?.(assignments);
    } catch (fault) {
      for (const reader of readers) this.#readers.delete(partitionName(reader.topic, reader.partition));
      await this.#membership.release(partitions);
      throw fault;
    }
    for (const reader of readers) reader.start();
  }

  #createReader(place: OwnedPartition, committed: CommittedPosition | undefined): PartitionReader {
    const { store, subscribe, logger } = this.#options;
    const range = store.range(place.topic, place.partition);
    return new PartitionReader({
      ...place,
      source: sourceOf(store, place),
      logger: logger.child({ group: this.group }),
      from: startOf(subscribe.startAt, committed?.nextOffset, range),
      committed: committed?.nextOffset,
      maxBatchBytes: subscribe.maxBatchBytes ?? BATCH_BYTES,
      subscribe,
    });
  }

  async #revoke(partitions: readonly OwnedPartition[]): Promise<void> {
    const names = partitions.map(({ topic, partition }) => partitionName(topic, partition));
    await Promise.all(names.map((name) => this.#readers.get(name)?.stop() ?? Promise.resolve()));
    try {
      const places = partitions.map(({ topic, partition }) => ({ topic, partition }));
      await this.#options.subscribe.onRevoked?.(places);
    } catch (fault) {
      this.#options.logger.error({ group: this.group, err: fault }, 'Handing over partitions failed.');
    } finally {
      for (const name of names) this.#readers.delete(name);
    }
  }

  async #stop(): Promise<void> {
    this.#stopped = true;
    this.#bell.ring();
    await this.#coordinating;
    const owned = [...this.#readers.values()];
    if (owned.length > 0) await this.#revoke(owned);
    try {
      await this.#membership.leave();
    } finally {
      this.#options.onStopped();
    }
  }
}

function sourceOf(store: LogStore, { topic, partition }: OwnedPartition): PartitionSource {
  return {
    has: (from) => store.range(topic, partition).nextOffset > from,
    read: (from, maxBytes) => {
      const jump = jumpFrom(from, store.range(topic, partition));
      if (jump !== undefined) return { messages: [], endOffset: jump.toOffset, jump };
      return store.read(topic, partition, { from: Number(from), maxBytes });
    },
  };
}
