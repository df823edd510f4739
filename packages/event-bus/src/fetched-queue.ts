/** Messages of one partition that were fetched ahead of their reader, within a bound. */
import { Bell } from './bell.js';
import type { StoredMessage } from './event-bus.js';
import { jumpFrom, type PartitionSource, type SourceChunk } from './partition-reader.js';

/** Bytes that all queues of a subscription hold together. */
export interface FetchBudget {
  bytes: number;
  readonly maxBytes: number;
}

export interface FetchedBatch {
  /** Where the fetch began. */
  readonly from: bigint;
  /** Where the next fetch will begin. */
  readonly next: bigint;
  readonly messages: readonly StoredMessage[];
  /** The offset after the last message of the partition at that time. */
  readonly endOffset: bigint;
}

export interface FetchedQueueOptions {
  readonly budget: FetchBudget;
  readonly maxBytes: number;
  /** Fetching has to go on from this offset. */
  readonly onRestart: (offset: bigint) => void;
  /** There is room again after `isFull`. */
  readonly onRoom: () => void;
}

interface Range {
  readonly earliestOffset: bigint;
  readonly nextOffset: bigint;
}

/** What a message costs beside its value: objects, headers, key. */
const MESSAGE_OVERHEAD_BYTES = 300;

export class FetchedQueue implements PartitionSource {
  readonly #options: FetchedQueueOptions;
  readonly #bell = new Bell();
  #messages: StoredMessage[] = [];
  #bytes = 0;
  #endOffset = 0n;
  #expected: bigint | undefined;
  /** After a restart, batches of earlier fetches may still arrive. */
  #restarting = true;
  #lost: Range | undefined;

  constructor(options: FetchedQueueOptions) {
    this.#options = options;
  }

  get isFull(): boolean {
    const { budget, maxBytes } = this.#options;
    return this.#bytes > 0 && (this.#bytes > maxBytes || budget.bytes > budget.maxBytes);
  }

  /** False when the batch does not follow: then what the partition holds has to be looked up for `relocate`. */
  add(batch: FetchedBatch): boolean {
    if (this.#lost !== undefined || batch.from !== this.#expected) return false;
    this.#take(batch);
    return true;
  }

  /**
   * Called with what the partition holds now, at the start and when a batch did not follow. Within that range, offsets
   * that a fetch passed over hold nothing for readers. Outside of it, the reader is told before fetching goes on.
   */
  relocate(batch: FetchedBatch | undefined, range: Range): boolean {
    const expected = this.#expected ?? 0n;
    const jump = jumpFrom(expected, range);
    if (batch !== undefined && !this.#restarting && batch.from > expected && jump === undefined) {
      this.#take(batch);
      return true;
    }
    if (jump?.kind === 'truncated') this.#clear();
    if (batch !== undefined || jump !== undefined) this.#lost = range;
    return false;
  }

  /** Forgets everything; the next fetch is to begin here. */
  restart(offset: bigint): void {
    this.#clear();
    this.#lost = undefined;
    this.#expected = offset;
    this.#restarting = true;
    this.#options.onRestart(offset);
  }

  /** Resolves when there is room, or after the time. */
  async waitForRoom(limitMs: number): Promise<void> {
    const deadline = performance.now() + limitMs;
    for (let left = limitMs; this.isFull && left > 0; left = deadline - performance.now())
      await this.#bell.wait(left);
  }

  has(from: bigint): boolean {
    return this.#lost !== undefined || (this.#messages.at(-1)?.offset ?? -1n) >= from;
  }

  read(from: bigint, maxBytes: number): SourceChunk {
    this.#dropBefore(from);
    const messages: StoredMessage[] = [];
    let bytes = 0;
    for (const message of this.#messages) {
      bytes += message.value.byteLength;
      if (messages.length > 0 && bytes > maxBytes) break;
      messages.push(message);
    }
    if (messages.length > 0 || this.#lost === undefined) return { messages, endOffset: this.#endOffset };
    const jump = jumpFrom(from, this.#lost);
    const endOffset = this.#lost.nextOffset;
    this.restart(jump?.toOffset ?? from);
    return jump === undefined ? { messages, endOffset } : { messages, endOffset, jump };
  }

  /** Gives its share of the budget back. */
  close(): void {
    this.#clear();
  }

  #take(batch: FetchedBatch): void {
    for (const message of batch.messages) {
      this.#messages.push(message);
      this.#count(bytesOf(message));
    }
    this.#endOffset = batch.endOffset;
    this.#expected = batch.next;
    this.#restarting = false;
  }

  #dropBefore(from: bigint): void {
    const found = this.#messages.findIndex(({ offset }) => offset >= from);
    const dropped = this.#messages.splice(0, found === -1 ? this.#messages.length : found);
    if (dropped.length === 0) return;
    for (const message of dropped) this.#count(-bytesOf(message));
    this.#tellRoom();
  }

  #clear(): void {
    this.#count(-this.#bytes);
    this.#messages = [];
    this.#tellRoom();
  }

  #tellRoom(): void {
    if (this.isFull) return;
    this.#bell.ring();
    this.#options.onRoom();
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#options.budget.bytes += bytes;
  }
}

function bytesOf(message: StoredMessage): number {
  return message.value.byteLength + MESSAGE_OVERHEAD_BYTES;
}
