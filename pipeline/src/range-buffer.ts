/** Gathers the messages of one partition into ranges: pure, so that every cut can be tested. */
import { createHash } from 'node:crypto';
import type { ErrorCode } from '@poolmeter/domain';
import type { StoredMessage } from '@poolmeter/event-bus';
import { tables } from '@poolmeter/metrics-store';
import { formatPendingNote, type PendingRange } from './pending-note.js';
import { planInserts, type InsertPart, type RowInsert } from './plan-inserts.js';
import type { RepeatFilter } from './repeat-filter.js';
import type { ReadMessage } from './table-rows.js';

export interface RangeLimits {
  /** A range is closed when it has this many rows or bytes. */
  readonly rows: number;
  readonly bytes: number;
}

/** A message that cannot be stored, with the reason. */
export interface Refused {
  readonly message: StoredMessage;
  readonly code: ErrorCode;
  readonly reason: string;
}

/** A closed range: what becomes of every offset from first to last is settled. */
export interface MessageRange extends PendingRange {
  readonly note: string;
  readonly inserts: readonly RowInsert[];
  readonly refused: readonly Refused[];
  readonly messages: number;
  readonly repeats: number;
  readonly rows: number;
  readonly bytes: number;
  /** When the bus stored the first and the last message. */
  readonly oldestAtMs: number;
  readonly newestAtMs: number;
  /** The newest time in its samples; undefined without samples. */
  readonly newestTsMs: number | undefined;
}

interface OpenRange {
  readonly first: bigint;
  last: bigint;
  readonly oldestAtMs: number;
  newestAtMs: number;
  newestTsMs: number | undefined;
  readonly parts: InsertPart[];
  /** Rows of somebody else's nodes. */
  readonly rejects: InsertPart[];
  readonly refused: Refused[];
  messages: number;
  repeats: number;
  rows: number;
  bytes: number;
}

export interface RangeBufferOptions {
  readonly topic: string;
  readonly partition: number;
  readonly limits: RangeLimits;
  readonly repeats: RepeatFilter;
  readonly read: ReadMessage;
  /** The first offset that is not stored yet; earlier messages only teach the repeat filter. */
  readonly from: bigint;
  /** A range that was begun before a crash: cut exactly there, whatever the limits. */
  readonly pending?: PendingRange;
}

export class RangeBuffer {
  readonly #options: RangeBufferOptions;
  readonly #closed: MessageRange[] = [];
  #expected: bigint;
  #pending: PendingRange | undefined;
  #open: OpenRange | undefined;

  constructor(options: RangeBufferOptions) {
    this.#options = options;
    this.#expected = options.from;
    this.#pending = options.pending;
  }

  /** Bytes of messages that are not stored yet, apart from a range that was already taken. */
  get bytes(): number {
    return this.#closed.reduce((sum, range) => sum + range.bytes, this.#open?.bytes ?? 0);
  }

  get hasClosed(): boolean {
    return this.#closed.length > 0;
  }

  get isEmpty(): boolean {
    return !this.hasClosed && this.#open === undefined;
  }

  add(messages: readonly StoredMessage[]): void {
    for (const message of messages) {
      if (message.offset < this.#options.from) this.#options.repeats.isRepeat(message);
      if (message.offset < this.#expected) continue;
      // The end of the pending range may be gone through retention; what is left of it is a range of its own.
      if (this.#pending !== undefined && message.offset > this.#pending.last) this.#closePending();
      this.#push(message);
      this.#expected = message.offset + 1n;
      this.#closeWhenFull(message.offset);
    }
  }

  /** Closes the open range now: it is old enough, or the partition is given away. A pending range stays open. */
  close(): void {
    if (this.#open !== undefined && this.#pending === undefined) this.#seal(this.#open);
  }

  /** The next closed range, oldest first. */
  take(): MessageRange | undefined {
    return this.#closed.shift();
  }

  #closeWhenFull(offset: bigint): void {
    if (this.#pending !== undefined) {
      if (offset === this.#pending.last) this.#closePending();
      return;
    }
    const open = this.#open;
    if (open === undefined) return;
    if (open.rows >= this.#options.limits.rows || open.bytes >= this.#options.limits.bytes) this.#seal(open);
  }

  #closePending(): void {
    if (this.#open !== undefined) this.#seal(this.#open);
    this.#pending = undefined;
  }

  #push(message: StoredMessage): void {
    this.#open ??= {
      // A pending range keeps its first offset, and with it its token, even when that message is gone.
      first: this.#pending?.first ?? message.offset,
      last: message.offset,
      oldestAtMs: message.storedAtMs,
      newestAtMs: message.storedAtMs,
      newestTsMs: undefined,
      parts: [],
      rejects: [],
      refused: [],
      messages: 0,
      repeats: 0,
      rows: 0,
      bytes: 0,
    };
    const open = this.#open;
    open.last = message.offset;
    open.newestAtMs = message.storedAtMs;
    open.messages += 1;
    if (this.#options.repeats.isRepeat(message)) {
      open.repeats += 1;
      return;
    }
    open.bytes += message.value.byteLength;
    const content = this.#options.read(message);
    if (content.ok) {
      for (const rows of content.rows) {
        (rows.table === tables.ingestRejects ? open.rejects : open.parts).push({ message, rows });
        open.rows += rows.rowCount;
        if ('bytes' in rows) open.newestTsMs = Math.max(open.newestTsMs ?? -Infinity, rows.newestTsMs);
      }
    } else {
      open.refused.push({ message, code: content.code, reason: content.reason });
    }
  }

  #seal(open: OpenRange): void {
    const { topic, partition } = this.#options;
    const { parts, rejects, ...facts } = open;
    const last = this.#pending?.last ?? open.last;
    const place = { topic, partition, first: open.first, last, firstStoredAtMs: open.oldestAtMs };
    this.#closed.push({
      ...facts,
      last,
      note: formatPendingNote({ first: open.first, last }),
      inserts: planInserts(place, [...inTheirOwnInsert(rejects), ...parts]),
    });
    this.#open = undefined;
  }
}

/**
 * Who owns a node may be known differently when a range is repeated after a crash, so that other rows are rejected then.
 * The token of the rejects follows from what they are, and they are inserted before the samples: every row is then in
 * one of the two tables, or in both, and never in none.
 */
function inTheirOwnInsert(rejects: readonly InsertPart[]): InsertPart[] {
  if (rejects.length === 0) return [];
  const digest = createHash('sha256');
  for (const { message, rows } of rejects) digest.update(`${message.offset} ${JSON.stringify(rows)}\n`);
  const group = `${tables.ingestRejects}:${digest.digest('hex').slice(0, 16)}`;
  return rejects.map(({ message, rows }) => ({ message, rows: { ...rows, group } }));
}
