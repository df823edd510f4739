/**
 * Stores the messages of one owned partition exactly once: note the range, insert it, move the position. Whatever
 * stops it in between, the next owner reads the note and repeats that range with the same tokens.
 */
import { isPoolmeterError, messageOf, PoolmeterError, type Clock } from '@poolmeter/domain';
import type { BusMessage, CommittedPosition, StoredMessage } from '@poolmeter/event-bus';
import type { Logger } from '@poolmeter/service';
import { deadLetterOf } from './dead-letter.js';
import { parsePendingNote, type PendingRange } from './pending-note.js';
import { splitInsert, type RowInsert } from './plan-inserts.js';
import type { SettleRequest } from './settle-insert.js';
import { RangeBuffer, type MessageRange, type RangeLimits, type Refused } from './range-buffer.js';
import { RepeatFilter } from './repeat-filter.js';
import type { ReadMessage } from './table-rows.js';

/** What the writer does to the world. Every call may be repeated with the same arguments. */
export interface WriterPorts {
  insert(insert: RowInsert, attempt: InsertAttempt): Promise<void>;
  /** After an insert that may have been sent before: makes sure that its rows are there, and each once. */
  settle(insert: RowInsert, request: SettleRequest): Promise<void>;
  commit(position: CommittedPosition): Promise<void>;
  publishDeadLetters(messages: readonly BusMessage[]): Promise<void>;
}

export interface InsertAttempt {
  readonly signal: AbortSignal;
  /** Told when the rows were sent a second time within the attempt. */
  readonly onRepeated?: () => void;
}

export type WriterStep = 'dead letters' | 'note' | 'insert' | 'settle' | 'commit';

/** What the writer tells about its work. */
export interface WriterEvents {
  /** Rows are in the store; a range that is repeated after a crash tells its rows again. */
  onRows(table: string, rowCount: number): void;
  /** Messages went to the dead-letter topic. */
  onRefused(refused: readonly Refused[]): void;
  /** Everything of the range is settled and its position committed. */
  onStored(range: MessageRange): void;
  /** A step failed and is tried again; `attempt` counts from 1. */
  onTrouble(step: WriterStep, fault: unknown, attempt: number): void;
  /** A step that had failed has succeeded. */
  onRecovered(): void;
}

export interface PartitionWriterOptions {
  readonly topic: string;
  readonly partition: number;
  readonly committed: CommittedPosition | undefined;
  readonly limits: RangeLimits;
  /** What a message puts into which table. */
  readonly read: ReadMessage;
  readonly ports: WriterPorts;
  readonly events: WriterEvents;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface RangeInHand {
  /** An earlier owner may have inserted some of it. */
  readonly isRepeated: boolean;
  /** Notes the range again, and so fails when the partition was given to somebody else. */
  readonly confirm: () => Promise<void>;
}

const RETRY_MS_FIRST = 100;
const RETRY_MS_MAX = 10_000;

export class PartitionWriter {
  readonly topic: string;
  readonly partition: number;
  readonly #options: PartitionWriterOptions;
  readonly #buffer: RangeBuffer;
  readonly #given = new AbortController();
  /** What an earlier owner had begun: nobody knows how far it came. */
  readonly #begun: PendingRange | undefined;
  #inHandBytes = 0;
  #openSinceMs: number | undefined;
  #writing: Promise<void> | undefined;

  constructor(options: PartitionWriterOptions) {
    this.topic = options.topic;
    this.partition = options.partition;
    this.#options = options;
    const pending = parsePendingNote(options.committed?.metadata ?? '');
    this.#begun = pending;
    this.#buffer = new RangeBuffer({
      topic: options.topic,
      partition: options.partition,
      limits: options.limits,
      repeats: new RepeatFilter(),
      read: options.read,
      from: options.committed?.nextOffset ?? 0n,
      ...(pending === undefined ? {} : { pending }),
    });
  }

  /** Bytes of messages that are held in memory. */
  get bufferedBytes(): number {
    return this.#buffer.bytes + this.#inHandBytes;
  }

  /** Takes messages into memory and begins to write when a range is full. Never waits. */
  add(messages: readonly StoredMessage[]): void {
    this.#buffer.add(messages);
    if (!this.#buffer.isEmpty) this.#openSinceMs ??= this.#options.clock.now();
    if (this.#buffer.hasClosed) this.#startWriting();
  }

  /** Closes a range that has waited long enough. */
  closeOlderThan(ageMs: number): void {
    if (this.#openSinceMs === undefined || this.#writing !== undefined) return;
    if (this.#options.clock.now() - this.#openSinceMs < ageMs) return;
    this.#buffer.close();
    this.#startWriting();
  }

  /** Writes everything that it holds, except a begun range whose messages have not all arrived: its note stays. */
  async flush(): Promise<void> {
    for (;;) {
      this.#buffer.close();
      this.#startWriting();
      if (this.#writing === undefined) return;
      await this.#writing;
    }
  }

  /** Stops all attempts: the partition is somebody else's now, who finds the note of what was begun. */
  abandon(reason: Error): void {
    this.#given.abort(reason);
  }

  #startWriting(): void {
    if (this.#writing !== undefined || !this.#buffer.hasClosed) return;
    this.#writing = this.#writeAll().finally(() => {
      this.#writing = undefined;
    });
    // The fault is told to whoever awaits flush(); a background write has already logged it.
    this.#writing.catch(() => undefined);
  }

  async #writeAll(): Promise<void> {
    try {
      for (let range = this.#buffer.take(); range !== undefined; range = this.#buffer.take()) {
        this.#openSinceMs = this.#options.clock.now();
        this.#inHandBytes = range.bytes;
        await this.#write(range);
        this.#inHandBytes = 0;
        this.#options.events.onStored(range);
      }
      if (this.#buffer.isEmpty) this.#openSinceMs = undefined;
    } catch (fault) {
      const { logger } = this.#options;
      const place = { topic: this.topic, partition: this.partition };
      logger.warn({ ...place, err: fault }, 'The partition was given up; its next owner repeats the rest.');
      this.abandon(fault instanceof Error ? fault : new Error(String(fault)));
      throw fault;
    }
  }

  async #write(range: MessageRange): Promise<void> {
    const { ports } = this.#options;
    const { topic, partition } = this;
    await this.#refuse(range.refused);
    if (range.inserts.length > 0) {
      const note = { topic, partition, nextOffset: range.first, metadata: range.note };
      const confirm = async () => {
        await this.#keepTrying('note', () => ports.commit(note));
      };
      await confirm();
      const isRepeated = this.#begun?.first === range.first;
      for (const insert of range.inserts) await this.#insert(insert, { isRepeated, confirm });
    }
    const position = { topic, partition, nextOffset: range.last + 1n, metadata: '' };
    await this.#keepTrying('commit', () => ports.commit(position));
  }

  /**
   * Rows that the store calls malformed would stop the partition for good. They are inserted one message at a time,
   * each under its own token, and those that are refused even so go to the dead letters.
   */
  async #insert(insert: RowInsert, range: RangeInHand): Promise<void> {
    const { ports, events } = this.#options;
    let sent = range.isRepeated ? 1 : 0;
    const send = (signal: AbortSignal) => {
      sent += 1;
      return ports.insert(insert, { signal, onRepeated: () => (sent += 1) });
    };
    const fault = await this.#keepTrying('insert', send, isMalformed);
    if (fault === undefined) {
      const { confirm } = range;
      if (sent > 1) await this.#keepTrying('settle', (signal) => ports.settle(insert, { signal, confirm }));
      events.onRows(insert.table, insert.rowCount);
    } else if (insert.parts.length > 1) {
      for (const single of splitInsert(insert)) await this.#insert(single, range);
    } else {
      const reason = messageOf(fault);
      await this.#refuse(insert.parts.map(({ message }) => ({ message, code: 'wire.malformed', reason })));
    }
  }

  async #refuse(refused: readonly Refused[]): Promise<void> {
    if (refused.length === 0) return;
    const letters = refused.map(deadLetterOf);
    await this.#keepTrying('dead letters', () => this.#options.ports.publishDeadLetters(letters));
    this.#options.events.onRefused(refused);
  }

  /**
   * The same step with the same bytes, until it succeeds or the partition is given away. A fault that the caller
   * accepts is returned instead.
   */
  async #keepTrying(
    step: WriterStep,
    run: (signal: AbortSignal) => Promise<void>,
    accepts: (fault: unknown) => boolean = () => false,
  ): Promise<unknown> {
    const { clock, events } = this.#options;
    const { signal } = this.#given;
    for (let attempt = 1; ; attempt += 1) {
      signal.throwIfAborted();
      try {
        await run(signal);
        if (attempt > 1) events.onRecovered();
        return undefined;
      } catch (fault) {
        if (accepts(fault)) return fault;
        if (isLost(step, fault)) throw fault;
        events.onTrouble(step, fault, attempt);
        const pauseMs = Math.min(RETRY_MS_FIRST * 2 ** (attempt - 1), RETRY_MS_MAX);
        await clock.sleep(pauseMs, signal);
      }
    }
  }
}

function isMalformed(fault: unknown): boolean {
  return isPoolmeterError(fault) && fault.code === 'wire.malformed' && !fault.retriable;
}

/** The bus refuses a commit for good when another consumer owns the partition. */
function isLost(step: WriterStep, fault: unknown): boolean {
  // Settling notes the range again before it mends.
  const isCommit = step === 'note' || step === 'commit' || step === 'settle';
  return isCommit && isPoolmeterError(fault) && !fault.retriable && fault.code.startsWith('bus.');
}

/** The reason that `abandon` gives when a hand-over took too long. */
export function handOverTimeout(
  partition: { topic: string; partition: number },
  limitMs: number,
): PoolmeterError {
  const name = `${partition.topic}/${partition.partition}`;
  return new PoolmeterError('timeout', `${name} could not be flushed within ${limitMs} ms.`, {
    details: partition,
  });
}
