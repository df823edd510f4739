/** One process decides at a time. Who takes over starts anew: it removes nothing until it has watched for a while. */
import type { Clock } from '@poolmeter/domain';
import type { HeldLock, RelationalStore } from '@poolmeter/relational-store';

export interface Leadership {
  /** When this process took over; undefined while another one decides. */
  take(): Promise<number | undefined>;
  release(): Promise<void>;
}

export function createLeadership({
  store,
  clock,
}: {
  store: Pick<RelationalStore<unknown>, 'tryLock'>;
  clock: Clock;
}): Leadership {
  let held: { readonly lock: HeldLock; readonly sinceMs: number } | undefined;
  let taking: Promise<void> | undefined;
  const acquire = async () => {
    const lock = await store.tryLock('poolmeter.autoscaler');
    held = lock === undefined ? undefined : { lock, sinceMs: clock.now() };
  };
  return {
    async take() {
      if (held?.lock.lost.aborted === false) return held.sinceMs;
      // Loops of several pools ask at the same time; one of them asks the database.
      taking ??= acquire().finally(() => (taking = undefined));
      await taking;
      return held?.sinceMs;
    },
    async release() {
      await held?.lock.release();
      held = undefined;
    },
  };
}
