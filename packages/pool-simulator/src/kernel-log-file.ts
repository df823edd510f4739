/** A node's kernel log as a file that grows, as `dmesg --follow` would write it. */
import { instantFromMs, messageOf, PoolmeterError, type EpochMs } from '@poolmeter/domain';
import { appendFileSync, existsSync, readFileSync, truncateSync } from 'node:fs';
import { formatKernelRecord } from './kernel-log.js';
import type { SimulatedPool } from './simulated-pool.js';

const LINE_START = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}),(\d{6})\+00:00 /;

export interface KernelLogFileOptions {
  readonly pool: SimulatedPool;
  readonly node: string;
  readonly file: string;
  /** Where a file that does not exist yet begins. */
  readonly from: EpochMs;
}

export class KernelLogFile {
  readonly file: string;
  readonly #pool: SimulatedPool;
  readonly #node: string;
  /** Everything before this is in the file. */
  #from: EpochMs;
  /** The last line that is in the file, in microseconds. */
  #lastUs: number;

  constructor(options: KernelLogFileOptions) {
    this.file = options.file;
    this.#pool = options.pool;
    this.#node = options.node;
    this.#lastUs = lastLineUs(options.file) ?? Number.NEGATIVE_INFINITY;
    const written = Number.isFinite(this.#lastUs) ? Math.floor(this.#lastUs / 1000) : options.from;
    // Lines of a time that the file missed, while nobody wrote it, are added; the pool's history begins at its start.
    this.#from = instantFromMs(Math.min(Math.max(written, options.pool.startAt), options.pool.now()));
    if (!existsSync(options.file)) this.#append('');
  }

  /** Writes what happened before `to`. */
  appendUntil(to: EpochMs): void {
    if (to <= this.#from) return;
    const fresh = this.#pool
      .kernelRecords(this.#node, this.#from, to)
      .filter((record) => record.atUs > this.#lastUs);
    const last = fresh.at(-1);
    if (last !== undefined) {
      this.#append(fresh.map((record) => `${formatKernelRecord(record, 'dmesg-iso')}\n`).join(''));
      this.#lastUs = last.atUs;
    }
    this.#from = to;
  }

  #append(text: string): void {
    try {
      appendFileSync(this.file, text);
    } catch (cause) {
      throw new PoolmeterError(
        'dependency.unavailable',
        `The simulated kernel log ${this.file} cannot be written: ${messageOf(cause)}.`,
        { retriable: true, cause },
      );
    }
  }
}

/** When the last whole line was written; a line without its end is cut off, so that it is written again. */
function lastLineUs(file: string): number | undefined {
  if (!existsSync(file)) return undefined;
  const text = readFileSync(file, 'utf8');
  const complete = text.slice(0, text.lastIndexOf('\n') + 1);
  if (complete.length < text.length) truncateSync(file, Buffer.byteLength(complete));
  const line = complete.trimEnd().split('\n').at(-1) ?? '';
  const [, seconds, micros] = LINE_START.exec(line) ?? [];
  if (seconds === undefined || micros === undefined) return undefined;
  return Date.parse(`${seconds}Z`) * 1000 + Number(micros);
}
