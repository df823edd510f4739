/**
 * Compares the rollups with the raw table, hour by hour, and makes them again where they differ: what a crash left
 * short and nobody repeated, whatever the reason. The newest closed hours come every time, older ones in turn.
 */
import type { Clock, EpochMs } from '@poolmeter/domain';
import { mendRollups, type MetricsStore } from '@poolmeter/metrics-store';
import type { Logger } from '@poolmeter/service';

export interface ReconcileRollupsOptions {
  readonly store: Pick<MetricsStore, 'query' | 'command'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Only one pipeline compares: the owner of the first partition of samples. */
  readonly isOwner: () => boolean;
  readonly onMended: (what: 'rollups', count: number) => void;
}

export interface HourRange {
  readonly fromMs: number;
  readonly toMs: number;
}

const HOUR_MS = 3_600_000;
/** Rows of an hour that is over still arrive for a while. */
const STILL_ARRIVING_MS = 900_000;
const NEWEST_HOURS = 3;
/** Well within the time for which raw rows are kept: a rollup that outlived its rows is right, not wrong. */
const OLDER_HOURS = 7 * 24;

export function createRollupReconciler(options: ReconcileRollupsOptions): () => Promise<void> {
  const { store, clock, logger, isOwner, onMended } = options;
  let pass = 0;
  return async () => {
    if (!isOwner()) return;
    const ranges = hoursToCompare(clock.now(), pass);
    pass += 1;
    for (const range of ranges) {
      const { mended, left } = await mendRollups(store, range, { clock });
      if (mended.length > 0) {
        onMended('rollups', mended.length);
        logger.warn(
          { hours: mended.length, first: mended[0] },
          'Rollups differed from the raw table and were made again.',
        );
      }
      if (left.length > 0)
        logger.error(
          { hours: left.length, first: left[0] },
          'Rollups differ from the raw table and could not be mended.',
        );
    }
  };
}

/** The newest closed hours, and one of the week before them, another with each pass. */
export function hoursToCompare(now: EpochMs, pass: number): HourRange[] {
  const closedMs = Math.floor((now - STILL_ARRIVING_MS) / HOUR_MS) * HOUR_MS;
  const newestMs = closedMs - NEWEST_HOURS * HOUR_MS;
  const olderMs = newestMs - ((pass % OLDER_HOURS) + 1) * HOUR_MS;
  return [
    { fromMs: newestMs, toMs: closedMs },
    { fromMs: olderMs, toMs: olderMs + HOUR_MS },
  ];
}
