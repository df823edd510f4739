/** Topics, messages and positions on LMDB: what the log bus keeps, without any consumer. */
import { PoolmeterError, type Clock } from '@poolmeter/domain';
import type { BusMessage, CommittedPosition, PartitionRange, StoredMessage, TopicSpec } from './event-bus.js';
import { partitionOfKey } from './key-partition.js';
import type { BinaryTable, JsonTable, LmdbEnvironment } from './lmdb-environment.js';
import { decodeLogRecord, encodeLogRecord, storedAtOf } from './log-record.js';
import { freeBytesOf } from './storage-fault.js';

/** What a partition holds; its bytes are those of records, without LMDB's own overhead. */
interface Extent {
  readonly earliest: number;
  readonly next: number;
  readonly bytes: number;
}

interface TopicRecord {
  readonly partitions: number;
  readonly retentionMs?: number;
  readonly retentionBytes?: number;
}

interface PositionRecord {
  readonly next: number;
  readonly metadata: string;
}

export interface Retention {
  readonly retentionMs: number;
  /** Per partition. */
  readonly retentionBytes: number;
}

export interface LogStoreOptions {
  readonly environment: LmdbEnvironment;
  readonly clock: Clock;
  readonly defaultRetention: Retention;
  /** Publishing stops while the disk has less than this left, so that retention can still write and free room. */
  readonly reserveBytes: number;
}

export interface ReadChunk {
  readonly messages: StoredMessage[];
  readonly endOffset: bigint;
}

const EMPTY: Extent = { earliest: 0, next: 0, bytes: 0 };
/** One transaction removes at most this many records, so that publishers never wait long for the write lock. */
const TRIM_RECORDS_MAX = 500;
/** A batch never has more messages than this, however small they are. */
const READ_RECORDS_MAX = 5_000;
/** The free room is looked up again after this many milliseconds. */
const FREE_BYTES_AGE_MS = 500;

export class LogStore {
  readonly #environment: LmdbEnvironment;
  readonly #clock: Clock;
  readonly #defaultRetention: Retention;
  readonly #reserveBytes: number;
  readonly #topics: JsonTable<TopicRecord>;
  readonly #extents: JsonTable<Extent>;
  readonly #positions: JsonTable<PositionRecord>;
  readonly #logs = new Map<string, BinaryTable>();
  #freeBytes = { bytes: Number.POSITIVE_INFINITY, readAtMs: Number.NEGATIVE_INFINITY };

  constructor(options: LogStoreOptions) {
    this.#environment = options.environment;
    this.#clock = options.clock;
    this.#defaultRetention = options.defaultRetention;
    this.#reserveBytes = options.reserveBytes;
    this.#topics = options.environment.jsonTable('topics');
    this.#extents = options.environment.jsonTable('extents');
    this.#positions = options.environment.jsonTable('positions');
  }

  /** Creates what is missing and takes over changed retention; a partition count can only grow. */
  async ensureTopics(specs: readonly TopicSpec[]): Promise<void> {
    for (const spec of specs) requireValidSpec(spec);
    if (specs.every((spec) => isSameTopic(this.#topics.get(spec.name), spec))) return;
    await this.#environment.write(() => {
      for (const spec of specs) {
        const { name, ...wanted } = spec;
        const partitions = Math.max(wanted.partitions, this.#topics.get(name)?.partitions ?? 0);
        this.#topics.putSync(name, { ...wanted, partitions });
      }
    });
  }

  partitionsOf(topic: string): number {
    this.#environment.requireOpen();
    const record = this.#topics.get(topic);
    if (record === undefined) {
      throw new PoolmeterError(
        'bus.rejected',
        `There is no topic ${topic}: create it with ensureTopics first.`,
        {
          details: { topic },
        },
      );
    }
    return record.partitions;
  }

  topicNames(): string[] {
    return [...this.#topics.getKeys()].map(String);
  }

  /** Resolves with the partitions that grew, once all messages are on the disk: all of them or none. */
  async append(topic: string, messages: readonly BusMessage[]): Promise<number[]> {
    const partitions = this.partitionsOf(topic);
    this.#requireRoom();
    const storedAtMs = this.#clock.now();
    const records = new Map<number, Buffer[]>();
    for (const message of messages) {
      const partition = partitionOfKey(message.key, partitions);
      const ofPartition = records.get(partition) ?? [];
      records.set(partition, ofPartition);
      ofPartition.push(encodeLogRecord(message, storedAtMs));
    }
    for (const partition of records.keys()) this.#log(topic, partition);
    await this.#environment.write(() => {
      for (const [partition, ofPartition] of records) this.#appendTo(topic, partition, ofPartition);
    });
    return [...records.keys()];
  }

  read(topic: string, partition: number, options: { from: number; maxBytes: number }): ReadChunk {
    this.#environment.requireOpen();
    const extent = this.#extent(topic, partition);
    const from = Math.max(options.from, extent.earliest);
    const messages: StoredMessage[] = [];
    let bytes = 0;
    if (from < extent.next) {
      const range = this.#log(topic, partition).getRange({ start: from, limit: READ_RECORDS_MAX });
      for (const { key, value } of range) {
        if (messages.length > 0 && bytes + value.length > options.maxBytes) break;
        messages.push(decodeLogRecord(value, { topic, partition, offset: BigInt(key) }));
        bytes += value.length;
      }
    }
    return { messages, endOffset: BigInt(extent.next) };
  }

  range(topic: string, partition: number): PartitionRange {
    const { earliest, next } = this.#extent(topic, partition);
    return { topic, partition, earliestOffset: BigInt(earliest), nextOffset: BigInt(next) };
  }

  ranges(topic: string): PartitionRange[] {
    return Array.from({ length: this.partitionsOf(topic) }, (_, partition) => this.range(topic, partition));
  }

  position(group: string, topic: string, partition: number): CommittedPosition | undefined {
    const record = this.#positions.get([group, topic, partition]);
    return record && { topic, partition, nextOffset: BigInt(record.next), metadata: record.metadata };
  }

  committed(group: string, topic: string): CommittedPosition[] {
    return Array.from({ length: this.partitionsOf(topic) }, (_, partition) =>
      this.position(group, topic, partition),
    ).filter((position) => position !== undefined);
  }

  /** `requireOwner` runs in the same transaction: a position is never written for a group that moved on. */
  async commit(group: string, position: CommittedPosition, requireOwner: () => void): Promise<void> {
    const { topic, partition, nextOffset, metadata } = position;
    await this.#environment.write(() => {
      requireOwner();
      this.#positions.putSync([group, topic, partition], { next: Number(nextOffset), metadata });
    });
  }

  /** Drops what is older than its topic's retention or beyond its size; returns how many messages went. */
  async trim(): Promise<number> {
    let dropped = 0;
    for (const topic of this.topicNames()) {
      for (let partition = 0; partition < this.partitionsOf(topic); partition += 1) {
        dropped += await this.#trimPartition(topic, partition);
      }
    }
    return dropped;
  }

  async #trimPartition(topic: string, partition: number): Promise<number> {
    const record = this.#topics.get(topic);
    const limits = {
      olderThanMs: this.#clock.now() - (record?.retentionMs ?? this.#defaultRetention.retentionMs),
      bytes: record?.retentionBytes ?? this.#defaultRetention.retentionBytes,
    };
    let dropped = 0;
    for (;;) {
      if (this.#expired(topic, partition, limits).length === 0) return dropped;
      dropped += await this.#environment.write(() => {
        const expired = this.#expired(topic, partition, limits);
        for (const { key } of expired) this.#log(topic, partition).removeSync(key);
        const extent = this.#extent(topic, partition);
        this.#extents.putSync([topic, partition], {
          earliest: (expired.at(-1)?.key ?? extent.earliest - 1) + 1,
          next: extent.next,
          bytes: expired.reduce((bytes, { length }) => bytes - length, extent.bytes),
        });
        return expired.length;
      });
    }
  }

  #expired(topic: string, partition: number, limits: { olderThanMs: number; bytes: number }) {
    const expired: { key: number; length: number }[] = [];
    let { bytes } = this.#extent(topic, partition);
    for (const { key, value } of this.#log(topic, partition).getRange({ limit: TRIM_RECORDS_MAX })) {
      const isOld = storedAtOf(value, { topic, partition, offset: BigInt(key) }) < limits.olderThanMs;
      if (!isOld && bytes <= limits.bytes) break;
      expired.push({ key, length: value.length });
      bytes -= value.length;
    }
    return expired;
  }

  #appendTo(topic: string, partition: number, records: readonly Buffer[]): void {
    const extent = this.#extent(topic, partition);
    const log = this.#log(topic, partition);
    let { next, bytes } = extent;
    for (const record of records) {
      log.putSync(next, record);
      next += 1;
      bytes += record.length;
    }
    this.#extents.putSync([topic, partition], { earliest: extent.earliest, next, bytes });
  }

  #extent(topic: string, partition: number): Extent {
    return this.#extents.get([topic, partition]) ?? EMPTY;
  }

  #log(topic: string, partition: number): BinaryTable {
    const name = `log/${topic}/${partition}`;
    const known = this.#logs.get(name);
    if (known !== undefined) return known;
    const opened = this.#environment.binaryTable(name);
    this.#logs.set(name, opened);
    return opened;
  }

  #requireRoom(): void {
    const now = performance.now();
    if (now - this.#freeBytes.readAtMs > FREE_BYTES_AGE_MS) {
      this.#freeBytes = { bytes: freeBytesOf(this.#environment.directory), readAtMs: now };
    }
    if (this.#freeBytes.bytes >= this.#reserveBytes) return;
    const { directory } = this.#environment;
    throw new PoolmeterError(
      'storage.full',
      `Only ${this.#freeBytes.bytes} bytes are left for ${directory}: free some disk space.`,
      {
        retriable: true,
        details: { directory, free_bytes: this.#freeBytes.bytes, reserve_bytes: this.#reserveBytes },
      },
    );
  }
}

function requireValidSpec(spec: TopicSpec): void {
  if (
    !/^[A-Za-z0-9._-]{1,200}$/.test(spec.name) ||
    !Number.isInteger(spec.partitions) ||
    spec.partitions < 1
  ) {
    throw new PoolmeterError(
      'input.invalid',
      `Topic "${spec.name}" with ${spec.partitions} partitions cannot be created: use letters, digits, . _ - and at least one partition.`,
    );
  }
}

function isSameTopic(record: TopicRecord | undefined, spec: TopicSpec): boolean {
  return (
    record !== undefined &&
    record.partitions >= spec.partitions &&
    record.retentionMs === spec.retentionMs &&
    record.retentionBytes === spec.retentionBytes
  );
}
