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

/** How far a group is behind in one partition. */
export interface PartitionLag extends PartitionRange {
  /** The next offset that the group will read after a restart; where the partition begins when it never committed. */
  readonly position: bigint;
  /** Messages from the position to the end. */
  readonly lag: bigint;
}

/** Offsets that a group will never see, although it has not committed them. */
export interface OffsetGap {
  readonly topic: string;
  readonly partition: number;
  /**
   * `removed`: retention or an operator dropped `[fromOffset, toOffset)` unread; reading goes on at `toOffset`.
   * `truncated`: the partition ends at `toOffset` although the group was at `fromOffset`: what it read from there on
   * is gone, and other messages will get those offsets.
   */
  readonly kind: 'removed' | 'truncated';
  readonly fromOffset: bigint;
  readonly toOffset: bigint;
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
  /**
   * Beside `topics`: the topic of each of these names and every topic that continues the name with a dot, such as
   * `poolmeter.gpu-samples` and `poolmeter.gpu-samples.north`. Topics that appear or go later are followed.
   */
  readonly topicFamilies?: readonly string[];
  /** Where to begin in a partition that the group has never committed. */
  readonly startAt: 'earliest' | 'latest';
  /** At most this many bytes of messages per batch. */
  readonly maxBatchBytes?: number;
  /** Called before the first batch of newly owned partitions. */
  onAssigned?(assignments: readonly Assignment[]): Promise<void>;
  /** Called before partitions are given away: flush and commit here; after it returns, commits are refused. */
  onRevoked?(partitions: readonly { topic: string; partition: number }[]): Promise<void>;
  /** Called before the first batch after the gap. A throw repeats the call; without it gaps are only logged. */
  onGap?(gap: OffsetGap): Promise<void>;
  /** One batch at a time per partition, several partitions side by side. A throw re-delivers the batch after a pause; nothing is skipped. */
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
  /** The topics of a family that exist, by name; see `SubscribeOptions.topicFamilies`. */
  topics(family: string): Promise<string[]>;
  ranges(topic: string): Promise<PartitionRange[]>;
  committed(group: string, topic: string): Promise<CommittedPosition[]>;
  /** Ends and lag of every partition of a topic, for any group, running or not. */
  lag(group: string, topic: string): Promise<PartitionLag[]>;
  /** Rejects when the bus cannot be reached. */
  ping(): Promise<void>;
  close(): Promise<void>;
}
