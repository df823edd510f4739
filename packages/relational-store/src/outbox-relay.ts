/**
 * Carries an outbox to the bus, in order, at least once. One relay per schema works at a time (a named lock); a row is
 * marked only after the bus has acknowledged it, so a crash in between publishes it again under the same id.
 */
import { messageOf, systemClock, type Clock } from '@poolmeter/domain';
import type { Component, Logger } from '@poolmeter/service';
import { sql } from 'kysely';
import { checkSchemaName } from './outbox.js';
import type { HeldLock, RelationalStore } from './relational-store.js';

/** A message as the bus takes it; the shape of event-bus's BusMessage. */
export interface RelayedMessage {
  readonly key: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly value: Uint8Array;
}

export interface OutboxRelayOptions<DB> {
  readonly store: RelationalStore<DB>;
  readonly schema: string;
  /** Resolves once the messages are durable; rejects when that is not known. */
  readonly publish: (topic: string, messages: readonly RelayedMessage[]) => Promise<void>;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** Pause between looks into an empty outbox; 250 ms when absent. */
  readonly pollMs?: number;
  /** Messages per publication; 500 when absent. */
  readonly batchSize?: number;
  /** Published rows are kept this long for people to look at; 1 hour when absent. */
  readonly keepPublishedMs?: number;
}

interface OutboxRow {
  readonly position: bigint;
  readonly topic: string;
  readonly key: string;
  readonly headers: Record<string, string>;
  readonly value: Uint8Array;
}

const MAX_PAUSE_AFTER_FAULT_MS = 5_000;
const FOLLOWER_PAUSE_MS = 1_000;
const CLEAN_EVERY_MS = 60_000;
const ROWS_PER_CLEANING = 5_000;

export function createOutboxRelay<DB>(options: OutboxRelayOptions<DB>): Component {
  checkSchemaName(options.schema);
  const relay = new OutboxRelay(options);
  const stopping = new AbortController();
  let loop: Promise<void> | undefined;
  return {
    name: `outbox-relay:${options.schema}`,
    start() {
      loop ??= relay.run(stopping.signal);
      return Promise.resolve();
    },
    async stop() {
      stopping.abort(new Error('The relay is stopping.'));
      await loop;
    },
  };
}

class OutboxRelay<DB> {
  readonly #options: OutboxRelayOptions<DB>;
  readonly #clock: Clock;
  readonly #table;
  #cleanedAtMs = 0;

  constructor(options: OutboxRelayOptions<DB>) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#table = sql.table(`${options.schema}.outbox`);
  }

  async run(signal: AbortSignal): Promise<void> {
    let faults = 0;
    while (!signal.aborted) {
      try {
        const lock = await this.#options.store.tryLock(`poolmeter.outbox.${this.#options.schema}`);
        if (lock === undefined) {
          await this.#pause(FOLLOWER_PAUSE_MS, signal);
          continue;
        }
        await this.#lead(lock, { signal, progressed: () => (faults = 0) });
      } catch (fault) {
        faults += 1;
        const details = { schema: this.#options.schema, attempt: faults, error: messageOf(fault) };
        this.#options.logger.warn(details, 'The outbox could not be carried on; it is tried again.');
        await this.#pause(Math.min(MAX_PAUSE_AFTER_FAULT_MS, 125 * 2 ** faults), signal);
      }
    }
  }

  async #lead(
    lock: HeldLock,
    { signal, progressed }: { signal: AbortSignal; progressed: () => void },
  ): Promise<void> {
    try {
      const epoch = await this.#epoch();
      while (!signal.aborted && !lock.lost.aborted) {
        const carried = await this.#carryOne(epoch, lock);
        progressed();
        if (carried > 0) continue;
        await this.#cleanWhenDue();
        await this.#pause(this.#options.pollMs ?? 250, signal);
      }
    } finally {
      await lock.release();
    }
  }

  /** Publishes the oldest waiting rows and marks them. Returns how many there were. */
  async #carryOne(epoch: string, lock: HeldLock): Promise<number> {
    const { rows } = await sql<OutboxRow>`
      SELECT position, topic, key, headers, value
      FROM ${this.#table}
      WHERE published_at IS NULL
      ORDER BY position
      LIMIT ${sql.lit(this.#options.batchSize ?? 500)}`.execute(this.#options.store.db);
    for (const topic of new Set(rows.map((row) => row.topic))) {
      const group = rows.filter((row) => row.topic === topic);
      if (lock.lost.aborted) return 0;
      await this.#options.publish(
        topic,
        group.map((row) => this.#messageOf(row, epoch)),
      );
      const positions = group.map((row) => row.position);
      await sql`UPDATE ${this.#table} SET published_at = now() WHERE position = ANY(${positions}::bigint[])`.execute(
        this.#options.store.db,
      );
    }
    return rows.length;
  }

  /** `producer`, `producer-epoch` and `sequence` name a row for ever: a reader that keeps them can drop a repeat. */
  #messageOf(row: OutboxRow, epoch: string): RelayedMessage {
    const identity = {
      producer: `outbox.${this.#options.schema}`,
      'producer-epoch': epoch,
      sequence: String(row.position),
    };
    return { key: row.key, headers: { ...row.headers, ...identity }, value: row.value };
  }

  /** Positions begin again in a new database, so a positive number that stands for this very table goes with them. */
  async #epoch(): Promise<string> {
    const { rows } = await sql<{ epoch: bigint }>`
      SELECT hashtextextended(
        system_identifier || '.' || ${this.#options.schema + '.outbox'}::regclass::oid, 0
      ) & 9223372036854775807 AS epoch
      FROM pg_control_system()`.execute(this.#options.store.db);
    return String(rows[0]?.epoch);
  }

  async #cleanWhenDue(): Promise<void> {
    const nowMs = this.#clock.now();
    if (nowMs - this.#cleanedAtMs < CLEAN_EVERY_MS) return;
    this.#cleanedAtMs = nowMs;
    const before = new Date(nowMs - (this.#options.keepPublishedMs ?? 3_600_000));
    await sql`
      DELETE FROM ${this.#table} WHERE position IN (
        SELECT position FROM ${this.#table} WHERE published_at < ${before} LIMIT ${sql.lit(ROWS_PER_CLEANING)}
      )`.execute(this.#options.store.db);
  }

  /** The only way that a sleep fails is the abort that ends the loop. */
  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    await this.#clock.sleep(ms, signal).catch(() => undefined);
  }
}
