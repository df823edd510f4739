/** Hands the messages of one owned partition to the subscriber, one batch at a time, in order. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Logger } from '@poolmeter/service';
import { Bell } from './bell.js';
import type { OffsetGap, StoredMessage, SubscribeOptions } from './event-bus.js';

/** Where the messages of a partition come from. */
export interface PartitionSource {
  /** What lies at this offset and after it; the same again until a later offset is asked for. */
  read(from: bigint, maxBytes: number): SourceChunk;
  /** Whether a read from this offset would give something. */
  has(from: bigint): boolean;
}

export interface SourceChunk {
  /** Empty when there is nothing (yet), or when there is a jump to be told first. */
  readonly messages: readonly StoredMessage[];
  readonly endOffset: bigint;
  /** Reading can only go on elsewhere. */
  readonly jump?: Jump;
}

export interface Jump {
  readonly kind: OffsetGap['kind'];
  readonly toOffset: bigint;
}

export interface PartitionReaderOptions {
  readonly source: PartitionSource;
  readonly logger: Logger;
  readonly topic: string;
  readonly partition: number;
  readonly from: bigint;
  /** Where the group stands; undefined when it never committed here. */
  readonly committed: bigint | undefined;
  readonly maxBatchBytes: number;
  readonly subscribe: Pick<SubscribeOptions, 'onBatch' | 'onGap'>;
}

/** Where reading begins. A position outside of what the partition holds is left to the first read, which tells it. */
export function startOf(
  startAt: SubscribeOptions['startAt'],
  committed: bigint | undefined,
  range: { readonly earliestOffset: bigint; readonly nextOffset: bigint },
): bigint {
  return committed ?? (startAt === 'earliest' ? range.earliestOffset : range.nextOffset);
}

/** The jump that a reader at this offset has to make, given what the partition holds. */
export function jumpFrom(
  offset: bigint,
  range: { readonly earliestOffset: bigint; readonly nextOffset: bigint },
): Jump | undefined {
  if (offset < range.earliestOffset) return { kind: 'removed', toOffset: range.earliestOffset };
  if (offset > range.nextOffset) return { kind: 'truncated', toOffset: range.nextOffset };
  return undefined;
}

/** Pauses before a batch that failed is delivered again. */
const REDELIVERY_MS_FIRST = 100;
const REDELIVERY_MS_MAX = 5_000;

export class PartitionReader {
  readonly topic: string;
  readonly partition: number;
  readonly #options: PartitionReaderOptions;
  readonly #bell = new Bell();
  #position: bigint;
  #committed: bigint;
  /** Grows with every seek, so that a batch in hand does not overwrite a newer position. */
  #seeks = 0;
  #paused = false;
  #stopping = false;
  #failures = 0;
  #running: Promise<void> | undefined;

  constructor(options: PartitionReaderOptions) {
    this.topic = options.topic;
    this.partition = options.partition;
    this.#options = options;
    this.#position = options.from;
    this.#committed = options.committed ?? 0n;
  }

  /** The next offset to be delivered. */
  get position(): bigint {
    return this.#position;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Resolves when no batch of this partition is in the subscriber's hands. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#bell.ring();
    await this.#running;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#bell.ring();
  }

  seek(offset: bigint): void {
    this.#position = offset;
    this.#seeks += 1;
    this.#bell.ring();
  }

  /** What lies before it was read once: should it be removed, that is no loss. */
  noteCommitted(nextOffset: bigint): void {
    this.#committed = nextOffset;
  }

  /** Looks whether there is something new. */
  poke(): void {
    if (!this.#paused && this.#options.source.has(this.#position)) this.#bell.ring();
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      const waitMs = this.#paused ? undefined : await this.#deliverNext();
      // Even without a wait, other partitions, timers and sockets get their turn and LMDB's read snapshot moves on.
      await (waitMs === 0 ? nextTurn() : this.#bell.wait(waitMs));
    }
  }

  /** Returns how long to wait before the next look: 0 at once, undefined until something happens. */
  async #deliverNext(): Promise<number | undefined> {
    const { source, topic, partition, maxBatchBytes, subscribe, logger } = this.#options;
    const seeks = this.#seeks;
    try {
      const chunk = source.read(this.#position, maxBatchBytes);
      const last = chunk.messages.at(-1);
      if (chunk.jump !== undefined) await this.#tell(chunk.jump);
      else if (last === undefined) return undefined;
      else
        await subscribe.onBatch({ topic, partition, messages: chunk.messages, endOffset: chunk.endOffset });
      const next = chunk.jump?.toOffset ?? (last?.offset ?? 0n) + 1n;
      if (seeks === this.#seeks) this.#position = next;
      this.#failures = 0;
      return 0;
    } catch (fault) {
      this.#failures += 1;
      const pauseMs = Math.min(REDELIVERY_MS_FIRST * 2 ** (this.#failures - 1), REDELIVERY_MS_MAX);
      logger.warn(
        { topic, partition, offset: String(this.#position), failures: this.#failures, err: fault },
        'A batch was not taken; it is delivered again.',
      );
      return pauseMs;
    }
  }

  async #tell({ kind, toOffset }: Jump): Promise<void> {
    const { logger, topic, partition, subscribe } = this.#options;
    const isUnread = kind === 'truncated' || this.#committed < this.#position;
    const fromOffset = isUnread ? this.#position : this.#committed;
    if (kind === 'removed' && fromOffset >= toOffset) return;
    logger.error(
      { topic, partition, kind, from: String(fromOffset), to: String(toOffset) },
      kind === 'removed'
        ? 'Messages were removed before this group read them.'
        : 'The partition ends before the offset that this group had reached.',
    );
    await subscribe.onGap?.({ topic, partition, kind, fromOffset, toOffset });
  }
}
