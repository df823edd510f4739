import { createHash } from 'node:crypto';
import { instantFromMs, type EpochMs } from '@poolmeter/domain';

/**
 * Each source is scraped at the same place within every interval: `k × interval + offset`. The offset follows from its
 * address, so that many sources are spread over the interval and a restart keeps the rhythm.
 */
export function scrapeOffsetMs(url: string, intervalMs: number): number {
  const digest = createHash('sha256').update(url).digest();
  return Math.floor((digest.readUInt32BE(0) / 2 ** 32) * intervalMs);
}

export interface GridStep {
  readonly at: EpochMs;
  /** Grid points that lie between the last one and this. */
  readonly skipped: number;
}

/** The first grid point after `now`, and how many were missed since the one that was served last. */
export function nextGridStep(
  now: EpochMs,
  grid: { readonly intervalMs: number; readonly offsetMs: number; readonly last: EpochMs },
): GridStep {
  const point = Math.floor((now - grid.offsetMs) / grid.intervalMs) + 1;
  const at = instantFromMs(point * grid.intervalMs + grid.offsetMs);
  return { at, skipped: Math.max(0, Math.ceil((at - grid.last) / grid.intervalMs) - 1) };
}
