/**
 * How long a range may wait to be stored. An insert costs nearly the same whether it brings a hundred rows or ten
 * thousand, so that many partitions flushed each half second cost a core at any rate. The wait grows with what inserts
 * cost and with how many partitions bring something, up to a limit that keeps rows fresh.
 */
export interface FlushPacerOptions {
  readonly leastMs: number;
  readonly mostMs: number;
  /** The share of one core, in percent, that inserts closed by time alone may take. */
  readonly sharePercent: number;
}

/** The newest insert counts this much in the mean. */
const WEIGHT = 0.1;

export class FlushPacer {
  readonly #options: FlushPacerOptions;
  #costMs: number | undefined;

  constructor(options: FlushPacerOptions) {
    this.#options = options;
  }

  /** An insert took this long. */
  onInsert(tookMs: number): void {
    this.#costMs = this.#costMs === undefined ? tookMs : this.#costMs + WEIGHT * (tookMs - this.#costMs);
  }

  intervalMs(activePartitions: number): number {
    const { leastMs, mostMs, sharePercent } = this.#options;
    const wanted = (activePartitions * (this.#costMs ?? 0) * 100) / sharePercent;
    return Math.max(leastMs, Math.min(wanted, mostMs));
  }
}
