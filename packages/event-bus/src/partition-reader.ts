/** Hands the messages of one owned partition to the subscriber, one batch at a time, in order. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Logger } from '@poolmeter/service';
import { Bell } from './bell.js';
import type { MessageBatch } from './event-bus.js';
import type { LogStore } from './log-store.js';

export interface PartitionReaderOptions {
  readonly store: LogStore;
  readonly logger: Logger;
  readonly topic: string;
  readonly partition: number;
  readonly from: number;
  readonly maxBatchBytes: number;
  readonly onBatch: (batch: MessageBatch) => Promise<void>;
}

/** Pauses before a batch that failed is delivered again. */
const REDELIVERY_MS_FIRST = 100;
const REDELIVERY_MS_MAX = 5_000;

export class PartitionReader {
  readonly topic: string;
  readonly partition: number;
  readonly #options: PartitionReaderOptions;
  readonly #bell = new Bell();
  #position: number;
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

  seek(offset: number): void {
    this.#position = offset;
    this.#seeks += 1;
    this.#bell.ring();
  }

  /** Looks whether another process has published. */
  poke(): void {
    const { store, topic, partition } = this.#options;
    if (!this.#paused && store.nextOffset(topic, partition) > this.#position) this.#bell.ring();
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
    const { store, topic, partition, maxBatchBytes, onBatch, logger } = this.#options;
    const seeks = this.#seeks;
    try {
      const chunk = store.read(topic, partition, { from: this.#position, maxBytes: maxBatchBytes });
      const last = chunk.messages.at(-1);
      if (chunk.earliestOffset > this.#position) this.#skipTo(chunk.earliestOffset);
      if (last === undefined) return undefined;
      await onBatch({ topic, partition, messages: chunk.messages, endOffset: chunk.endOffset });
      if (seeks === this.#seeks) this.#position = Number(last.offset) + 1;
      this.#failures = 0;
      return 0;
    } catch (fault) {
      this.#failures += 1;
      const pauseMs = Math.min(REDELIVERY_MS_FIRST * 2 ** (this.#failures - 1), REDELIVERY_MS_MAX);
      logger.warn(
        { topic, partition, offset: this.#position, failures: this.#failures, err: fault },
        'A batch was not taken; it is delivered again.',
      );
      return pauseMs;
    }
  }

  #skipTo(earliest: number): void {
    const { logger, topic, partition } = this.#options;
    logger.warn(
      { topic, partition, from: this.#position, to: earliest },
      'Retention dropped messages that this group had not read.',
    );
    this.#position = earliest;
  }
}
