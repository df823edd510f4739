/** One process decides at a time. Who takes over starts anew: it removes nothing until it has watched for a while. */
import { PoolmeterError, type Clock } from '@poolmeter/domain';
import type { HeldLock } from '@poolmeter/relational-store';
import { sql } from 'kysely';
import type { AutoscalerStore } from './decision-store.js';

/** What a process has while it decides: since when, and the number that fences off whoever decided before. */
export interface Term {
  readonly sinceMs: number;
  readonly epoch: bigint;
}

export interface Leadership {
  /** The term of this process; undefined while another one decides. */
  take(): Promise<Term | undefined>;
  release(): Promise<void>;
}

export function createLeadership({ store, clock }: { store: AutoscalerStore; clock: Clock }): Leadership {
  let held: { readonly lock: HeldLock; readonly term: Term } | undefined;
  let taking: Promise<void> | undefined;
  const acquire = async () => {
    const lock = await store.tryLock('poolmeter.autoscaler');
    held = undefined;
    if (lock === undefined) return;
    const sinceMs = clock.now();
    held = { lock, term: { sinceMs, epoch: await raiseEpoch(store, sinceMs) } };
  };
  return {
    async take() {
      if (held?.lock.lost.aborted === false) return held.term;
      // Loops of several pools ask at the same time; one of them asks the database.
      taking ??= acquire().finally(() => (taking = undefined));
      await taking;
      return held?.term;
    },
    async release() {
      await held?.lock.release();
      held = undefined;
    },
  };
}

async function raiseEpoch(store: AutoscalerStore, sinceMs: number): Promise<bigint> {
  const { epoch } = await store.db
    .updateTable('autoscaler.leader')
    .set({ epoch: sql<bigint>`epoch + 1`, since: new Date(sinceMs) })
    .returning('epoch')
    .executeTakeFirstOrThrow();
  return epoch;
}

/**
 * Refuses when another process has taken over since. Asked before each step and each new decision: a lock that was
 * lost without a word, as by a paused process, must not act beside its successor.
 */
export async function holdsTerm(store: AutoscalerStore, epoch: bigint): Promise<void> {
  const row = await store.db.selectFrom('autoscaler.leader').select('epoch').executeTakeFirstOrThrow();
  if (row.epoch === epoch) return;
  throw new PoolmeterError('decision.refused', 'Another autoscaler has taken over; this one stops deciding.');
}
