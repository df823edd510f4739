/**
 * The one door to the store for all partitions: a few inserts at once while it is well; while it is not, one at a time
 * and with growing pauses between them, whatever the number of partitions that wait.
 */
import { messageOf, PoolmeterError, type Clock } from '@poolmeter/domain';
import type { ReadinessCheck } from '@poolmeter/service';
import { limitParallel } from './limit-parallel.js';
import { storeTroubleOf, type StoreTrouble } from './store-trouble.js';

const PAUSE_MS_FIRST = 100;
const PAUSE_MS_MAX = 10_000;
/** An insert that is under way for longer makes the store slow, though not unwell. */
const SLOW_MS = 10_000;
/** Attempts come at most 20 s apart: ten of pause here, ten of the writer that repeats. */
const FORGET_MS = 60_000;

export interface StoreGateOptions {
  readonly clock: Clock;
  readonly parallelInserts: number;
  readonly onTrouble: (trouble: StoreTrouble) => void;
  /** A successful insert took this long. */
  readonly onInserted: (tookMs: number) => void;
}

interface Unwell {
  readonly trouble: StoreTrouble;
  readonly reason: string;
  readonly sinceMs: number;
  readonly failures: number;
  readonly failedAtMs: number;
  readonly retryAtMs: number;
}

export class StoreGate {
  readonly #options: StoreGateOptions;
  readonly #limited: ReturnType<typeof limitParallel>;
  readonly #oneByOne = limitParallel(1);
  readonly #runningSince = new Map<symbol, number>();
  #unwell: Unwell | undefined;

  constructor(options: StoreGateOptions) {
    this.#options = options;
    this.#limited = limitParallel(options.parallelInserts);
  }

  /** For `/readyz`: rejects with the reason while rows cannot be stored. */
  readonly readiness: ReadinessCheck = {
    name: 'storing',
    check: () => {
      const { trouble, reason, sinceMs } = this.state();
      if (trouble === undefined) return Promise.resolve();
      const seconds = Math.round((this.#options.clock.now() - sinceMs) / 1_000);
      const sentence = `No rows could be stored for ${seconds} s (${trouble}): ${reason}`;
      return Promise.reject(new PoolmeterError('dependency.unavailable', sentence, { retriable: true }));
    },
  };

  /** What is wrong with the store; no trouble while all is well. */
  state(): { trouble: StoreTrouble | undefined; reason: string; sinceMs: number } {
    const now = this.#options.clock.now();
    const oldest = Math.min(...this.#runningSince.values());
    // Without an attempt for a while there is nothing to store, and nobody knows: that is not a trouble.
    const isKnown = this.#runningSince.size > 0 || now - (this.#unwell?.failedAtMs ?? 0) < FORGET_MS;
    if (this.#unwell !== undefined && isKnown) return this.#unwell;
    return now - oldest > SLOW_MS
      ? { trouble: 'slow', reason: 'An insert has not been answered yet.', sinceMs: oldest }
      : { trouble: undefined, reason: '', sinceMs: 0 };
  }

  /** Runs one insert when it is its turn. Its fault is passed on: who repeats it, with the same bytes, is the caller. */
  run(insert: () => Promise<void>, signal: AbortSignal): Promise<void> {
    return this.#limited(async () => {
      if (this.#unwell === undefined) await this.#attempt(insert, signal);
      else await this.#oneByOne(() => this.#probe(insert, signal));
    });
  }

  async #probe(insert: () => Promise<void>, signal: AbortSignal): Promise<void> {
    const waitMs = (this.#unwell?.retryAtMs ?? 0) - this.#options.clock.now();
    if (waitMs > 0) await this.#options.clock.sleep(waitMs, signal);
    await this.#attempt(insert, signal);
  }

  async #attempt(insert: () => Promise<void>, signal: AbortSignal): Promise<void> {
    const { clock, onInserted } = this.#options;
    const running = Symbol('insert');
    const from = clock.now();
    this.#runningSince.set(running, from);
    try {
      await insert();
      this.#unwell = undefined;
      onInserted(clock.now() - from);
    } catch (fault) {
      // An insert that was called off says nothing about the store.
      if (!signal.aborted) this.#onFault(fault, from);
      throw fault;
    } finally {
      this.#runningSince.delete(running);
    }
  }

  #onFault(fault: unknown, startedAtMs: number): void {
    const trouble = storeTroubleOf(fault);
    if (trouble === undefined) return;
    const now = this.#options.clock.now();
    const before = this.#unwell;
    // Inserts that were under way together fail together: only one that began after the pause makes it longer.
    const isSameBlow = before !== undefined && startedAtMs < before.retryAtMs;
    const failures = isSameBlow ? before.failures : (before?.failures ?? 0) + 1;
    const pauseMs = Math.min(PAUSE_MS_FIRST * 2 ** (failures - 1), PAUSE_MS_MAX);
    this.#unwell = {
      trouble,
      reason: messageOf(fault),
      sinceMs: before?.sinceMs ?? startedAtMs,
      failures,
      failedAtMs: now,
      retryAtMs: isSameBlow ? before.retryAtMs : now + pauseMs,
    };
    this.#options.onTrouble(trouble);
  }
}
