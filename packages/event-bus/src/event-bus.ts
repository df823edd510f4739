/** A message to publish. The key chooses the partition: equal keys stay in order. */
export interface BusMessage {
  readonly key: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly value: Uint8Array;
}

/** A message as it was stored. Offsets only grow within a partition; they are the product's "position". */
export interface StoredMessage extends BusMessage {
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
  /** When the bus stored it, epoch milliseconds: for freshness only, never an order. */
  readonly storedAtMs: number;
}

/** Where a group stands in one partition: the next offset to read, and what its owner noted with it. */
export interface CommittedPosition {
  readonly topic: string;
  readonly partition: number;
  readonly nextOffset: bigint;
  readonly metadata: string;
}

/** The range a partition holds: `[earliest, next)`. */
export interface PartitionRange {
  readonly topic: string;
  readonly partition: number;
  readonly earliestOffset: bigint;
  readonly nextOffset: bigint;
}

export interface TopicSpec {
  readonly name: string;
  readonly partitions: number;
  /** Messages older than this may be dropped. */
  readonly retentionMs?: number;
  /** When a partition holds more than this, its oldest messages may be dropped. */
  readonly retentionBytes?: number;
}

export interface Assignment {
  readonly topic: string;
  readonly partition: number;
  /** undefined: this group has never committed here. */
  readonly committed: CommittedPosition | undefined;
}

export interface MessageBatch {
  readonly topic: string;
  readonly partition: number;
  /** In offset order, without gaps that the reader could close. */
  readonly messages: readonly StoredMessage[];
  /** Offset after the last message that the partition held when this batch was read: lag = this − next. */
  readonly endOffset: bigint;
}

export interface SubscribeOptions {
  readonly group: string;
  readonly topics: readonly string[];
  /** Where to begin in a partition that the group has never committed. */
  readonly startAt: 'earliest' | 'latest';
  /** At most this many bytes of messages per batch. */
  readonly maxBatchBytes?: number;
  /** Called before the first batch of newly owned partitions. */
  onAssigned?(assignments: readonly Assignment[]): Promise<void>;
  /** Called before partitions are given away: flush and commit here; after it returns, commits are refused. */
  onRevoked?(partitions: readonly { topic: string; partition: number }[]): Promise<void>;
  /** One batch at a time per partition. A throw re-delivers the batch after a pause; nothing is skipped. */
  onBatch(batch: MessageBatch): Promise<void>;
}

/** A running consumer. Reading a batch commits nothing: the owner commits when its effect is durable. */
export interface Subscription {
  commit(position: CommittedPosition): Promise<void>;
  /** Stops delivery of these partitions until resume; keeps their ownership. */
  pause(partitions: readonly { topic: string; partition: number }[]): void;
  resume(partitions: readonly { topic: string; partition: number }[]): void;
  /** Delivery goes on from this offset. */
  seek(topic: string, partition: number, offset: bigint): Promise<void>;
  /** Hands partitions back (onRevoked runs) and resolves when no callback is running. */
  stop(): Promise<void>;
}

/** Facts travel here. Kafka in production, a durable log on LMDB in the embedded shape; one contract suite for both. */
export interface EventBus {
  ensureTopics(topics: readonly TopicSpec[]): Promise<void>;
  /** Resolves once the messages are durable, in order per key; rejects when it is not known that they are. */
  publish(topic: string, messages: readonly BusMessage[]): Promise<void>;
  subscribe(options: SubscribeOptions): Promise<Subscription>;
  ranges(topic: string): Promise<PartitionRange[]>;
  committed(group: string, topic: string): Promise<CommittedPosition[]>;
  /** Rejects when the bus cannot be reached. */
  ping(): Promise<void>;
  close(): Promise<void>;
}
