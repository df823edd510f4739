/** What the agents sent, and so what must be in the store: counted while sending, never read back. */

export interface SentRow {
  readonly gpuUuid: string;
  readonly tsMs: number;
  readonly powerDeciwatts: number;
}

export interface Totals {
  readonly rows: number;
  readonly ts_sum: string;
  readonly power_sum: number;
}

const MINUTE_MS = 60_000;

export class Truth {
  readonly latest = new Map<string, number>();
  /** Rows and power by GPU and minute. */
  readonly minutes = new Map<string, { rows: number; power: number }>();
  readonly rubbish = new Set<string>();
  rejects = 0;
  #rows = 0;
  #tsSum = 0n;
  #powerSum = 0;

  add({ gpuUuid, tsMs, powerDeciwatts }: SentRow): void {
    this.#rows += 1;
    this.#tsSum += BigInt(tsMs);
    this.#powerSum += powerDeciwatts;
    if (tsMs > (this.latest.get(gpuUuid) ?? 0)) this.latest.set(gpuUuid, tsMs);
    const key = minuteKey(gpuUuid, Math.floor(tsMs / MINUTE_MS) * MINUTE_MS);
    const minute = this.minutes.get(key) ?? { rows: 0, power: 0 };
    this.minutes.set(key, { rows: minute.rows + 1, power: minute.power + powerDeciwatts });
  }

  get totals(): Totals {
    return { rows: this.#rows, ts_sum: String(this.#tsSum), power_sum: this.#powerSum };
  }

  get latestSum(): string {
    return String([...this.latest.values()].reduce((sum, ms) => sum + BigInt(ms), 0n));
  }
}

export function minuteKey(gpuUuid: string, minuteMs: number): string {
  return `${gpuUuid}|${minuteMs}`;
}
