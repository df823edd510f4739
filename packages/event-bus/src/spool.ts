/** A bounded queue on disk: what an agent could not publish yet, oldest first, until it is acknowledged. */
import { invariant } from '@poolmeter/domain';
import type { Logger } from '@poolmeter/service';
import type { BusMessage } from './event-bus.js';
import { LmdbEnvironment, type BinaryTable, type JsonTable } from './lmdb-environment.js';
import { decodeLogRecord, encodeLogRecord } from './log-record.js';

export interface SpoolOptions {
  readonly directory: string;
  /** Messages beyond this many bytes push out the oldest ones. */
  readonly maxBytes: number;
  readonly logger: Logger;
}

/** A message on its way to a topic. */
export interface SpoolEntry {
  readonly topic: string;
  readonly message: BusMessage;
}

export interface SpooledEntry extends SpoolEntry {
  /** Grows by one with every entry, also over restarts. */
  readonly position: bigint;
}

export interface SpoolState {
  readonly messages: number;
  readonly bytes: number;
  /** Messages pushed out since the spool was created; kept over restarts. */
  readonly droppedMessages: number;
}

export interface Spool {
  /** Resolves once the entries are on the disk, with how many old ones had to go for them. */
  append(entries: readonly SpoolEntry[]): Promise<{ droppedMessages: number }>;
  /** The oldest entries, at least one if there is any; they stay until acknowledged. */
  peek(limits?: { maxMessages?: number; maxBytes?: number }): SpooledEntry[];
  /** Forgets every entry up to and including this position. */
  ack(position: bigint): Promise<void>;
  state(): SpoolState;
  close(): Promise<void>;
}

interface Extent {
  readonly first: number;
  readonly next: number;
  readonly bytes: number;
  readonly droppedMessages: number;
}

const EMPTY: Extent = { first: 0, next: 0, bytes: 0, droppedMessages: 0 };
const TOPIC_HEADER = 'spool-topic';
/** LMDB's own pages and fragmentation come on top of the messages. */
const MAP_FACTOR = 4;
const MAP_BYTES_MIN = 64 * 1024 * 1024;
const PEEK = { maxMessages: 1_000, maxBytes: 1_000_000 };

export function createSpool(options: SpoolOptions): Spool {
  return new LmdbSpool(options);
}

class LmdbSpool implements Spool {
  readonly #maxBytes: number;
  readonly #logger: Logger;
  readonly #environment: LmdbEnvironment;
  readonly #entries: BinaryTable;
  readonly #extents: JsonTable<Extent>;

  constructor(options: SpoolOptions) {
    this.#maxBytes = options.maxBytes;
    this.#logger = options.logger;
    this.#environment = new LmdbEnvironment({
      directory: options.directory,
      mapSizeBytes: Math.max(MAP_BYTES_MIN, options.maxBytes * MAP_FACTOR),
      tablesMax: 4,
    });
    this.#entries = this.#environment.binaryTable('entries');
    this.#extents = this.#environment.jsonTable('extent');
  }

  async append(entries: readonly SpoolEntry[]): Promise<{ droppedMessages: number }> {
    const records = entries.map(({ topic, message }) =>
      encodeLogRecord({ ...message, headers: { ...message.headers, [TOPIC_HEADER]: topic } }, 0),
    );
    const droppedMessages = await this.#environment.write(() => {
      const extent = this.#extent();
      let { next, bytes } = extent;
      for (const record of records) {
        this.#entries.putSync(next, record);
        next += 1;
        bytes += record.length;
      }
      return this.#cut({ ...extent, next, bytes });
    });
    if (droppedMessages > 0) {
      this.#logger.warn(
        { dropped: droppedMessages, limit_bytes: this.#maxBytes },
        'The spool is full; its oldest messages are lost.',
      );
    }
    return { droppedMessages };
  }

  peek(limits: { maxMessages?: number; maxBytes?: number } = {}): SpooledEntry[] {
    this.#environment.requireOpen();
    const { maxMessages, maxBytes } = { ...PEEK, ...limits };
    const found: SpooledEntry[] = [];
    let bytes = 0;
    for (const { key, value } of this.#entries.getRange({ limit: maxMessages })) {
      bytes += value.length;
      if (found.length > 0 && bytes > maxBytes) break;
      found.push(spooledEntryOf(key, value));
    }
    return found;
  }

  async ack(position: bigint): Promise<void> {
    await this.#environment.write(() => {
      const extent = this.#extent();
      const end = Math.min(Number(position) + 1, extent.next);
      let { bytes } = extent;
      for (let at = extent.first; at < end; at += 1) bytes -= this.#remove(at);
      this.#extents.putSync('entries', { ...extent, first: Math.max(end, extent.first), bytes });
    });
  }

  state(): SpoolState {
    this.#environment.requireOpen();
    const { first, next, bytes, droppedMessages } = this.#extent();
    return { messages: next - first, bytes, droppedMessages };
  }

  close(): Promise<void> {
    return this.#environment.close();
  }

  /** Inside a write: drops the oldest entries until the rest fits, and notes the new extent. */
  #cut(extent: Extent): number {
    let { first, bytes } = extent;
    // The newest entry stays even when it alone is over the limit: it is what happens now.
    while (bytes > this.#maxBytes && first < extent.next - 1) {
      bytes -= this.#remove(first);
      first += 1;
    }
    const dropped = first - extent.first;
    this.#extents.putSync('entries', {
      ...extent,
      first,
      bytes,
      droppedMessages: extent.droppedMessages + dropped,
    });
    return dropped;
  }

  /** Inside a write; returns the bytes that went. */
  #remove(at: number): number {
    const record = this.#entries.get(at);
    invariant(record !== undefined, `spool entry ${at} lies within the extent`);
    this.#entries.removeSync(at);
    return record.length;
  }

  #extent(): Extent {
    return this.#extents.get('entries') ?? EMPTY;
  }
}

function spooledEntryOf(at: number, record: Buffer): SpooledEntry {
  const position = BigInt(at);
  const stored = decodeLogRecord(record, { topic: 'spool', partition: 0, offset: position });
  const { [TOPIC_HEADER]: topic, ...headers } = stored.headers;
  invariant(topic !== undefined, 'every spool entry names its topic');
  return { position, topic, message: { key: stored.key, headers, value: stored.value } };
}
