/**
 * Derives leases from what a pool's scheduler says. A look repeats what earlier looks said, under the same event ids; a
 * time without looks is bridged by the scheduler's accounting, or, without one, closed at the last sight and marked so.
 */
import { formatInstant, instantFromMs, isPoolmeterError, type Clock, type EpochMs } from '@poolmeter/domain';
import type { HeldShare, Scheduler } from '@poolmeter/scheduler';
import type { Logger } from '@poolmeter/service';
import { sql } from 'kysely';
import type { BillingStore } from '../database.js';
import { recordFindings } from '../reconciliation/findings.js';
import { inferredEnd, leaseEventsFromShares } from './derive-lease-events.js';
import { inChunks } from './lease-store.js';
import { recordLeaseEvents } from './record-lease-events.js';
import type { EventSource, LeaseEventFacts } from './recorded-lease-event.js';

export interface WatchedPool {
  readonly pool: string;
  readonly scheduler: Scheduler;
}

export interface WatchDeps {
  readonly store: BillingStore;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Accounting may be late by this much; asking for a little more costs only repeats. */
const OVERLAP_MS = 3_600_000;
const BEGINNING = instantFromMs(0);

export interface Look {
  readonly newEvents: number;
  readonly inferredEnds: number;
}

/** One look. It rejects, and changes nothing, when the scheduler fails: silence is not "nobody holds anything". */
export async function lookAtScheduler(
  deps: WatchDeps,
  { pool, scheduler }: WatchedPool,
  signal?: AbortSignal,
): Promise<Look> {
  const since = await lastLook(deps.store, pool);
  const { held, observedAt } = await scheduler.observe(signal);
  const accounts = scheduler.capabilities.has('accounting');
  const from = since === undefined ? BEGINNING : instantFromMs(Math.max(0, since - OVERLAP_MS));
  const account = accounts
    ? await readAccount(scheduler, { from, until: observedAt, signal })
    : { shares: [], reachesBackTo: undefined };
  if (account.reachesBackTo !== undefined && since !== undefined) {
    await noteGap(deps, { pool, since, reachesBackTo: account.reachesBackTo });
  }
  const shares = newestOfEach([...held, ...account.shares]);
  const fromShares = await record(deps, leaseEventsFromShares(shares), 'watcher');
  const inferred = await inferEnds(deps, { pool, shares });
  const inferredEnds = await record(deps, inferred, 'watcher-inferred');
  await noteLook(deps.store, { pool, observedAt, held });
  if (inferredEnds > 0) {
    const details = { pool, inferred_ends: inferredEnds };
    deps.logger.warn(
      details,
      'Leases vanished without an account of their end; it was set to their last sight.',
    );
  }
  return { newEvents: fromShares + inferredEnds, inferredEnds };
}

interface Account {
  readonly shares: readonly HeldShare[];
  /** Set when the scheduler does not remember as far back as it was asked. */
  readonly reachesBackTo: EpochMs | undefined;
}

/** Finds how far back it goes to within this. */
const REACH_WITHIN_MS = 60_000;

/**
 * What the scheduler accounts for since an instant, or since as far back as it remembers: it refuses what is older, and
 * only tries show where that begins. What lies before is left to be inferred.
 */
async function readAccount(
  scheduler: Scheduler,
  wanted: { readonly from: EpochMs; readonly until: EpochMs; readonly signal: AbortSignal | undefined },
): Promise<Account> {
  const { until, signal } = wanted;
  const ask = async (since: EpochMs): Promise<readonly HeldShare[] | undefined> => {
    try {
      return await scheduler.accounting(since, signal);
    } catch (fault) {
      if (isPoolmeterError(fault) && fault.code === 'not_found') return undefined;
      throw fault;
    }
  };
  const all = await ask(wanted.from);
  if (all !== undefined) return { shares: all, reachesBackTo: undefined };
  let [forgotten, known, shares]: [number, EpochMs, readonly HeldShare[]] = [wanted.from, until, []];
  while (known - forgotten > REACH_WITHIN_MS) {
    const middle = instantFromMs(Math.floor((forgotten + known) / 2));
    const found = await ask(middle);
    if (found === undefined) forgotten = middle;
    else [known, shares] = [middle, found];
  }
  return { shares, reachesBackTo: known };
}

/** Leases that began and ended in between are known to nobody: that is for people to look at. */
async function noteGap(
  deps: WatchDeps,
  gap: { readonly pool: string; readonly since: EpochMs; readonly reachesBackTo: EpochMs },
): Promise<void> {
  const from = formatInstant(gap.since);
  const to = formatInstant(gap.reachesBackTo);
  if (gap.reachesBackTo <= gap.since) return;
  const message = `The scheduler of pool ${gap.pool} was not read from ${from} on and accounts only from ${to} on: leases in between are inferred, and short ones may be missing.`;
  deps.logger.warn({ pool: gap.pool, from, to }, message);
  const now = deps.clock.now();
  await recordFindings(deps.store.db, {
    month: from.slice(0, 7),
    now,
    findings: [{ law: ACCOUNT_LAW, object_id: gap.pool, message }],
  });
}

const ACCOUNT_LAW = 'the scheduler accounts for the time in which it was not read';

/** One word per lease: an account of its end goes before a sight of it running. */
function newestOfEach(shares: readonly HeldShare[]): HeldShare[] {
  const byLease = new Map<string, HeldShare>();
  for (const share of shares) {
    const key = JSON.stringify([share.leaseId, share.gpuUuid, share.gpuInstance]);
    const known = byLease.get(key);
    if (known === undefined || (known.endedAt === undefined && share.endedAt !== undefined))
      byLease.set(key, share);
  }
  return [...byLease.values()];
}

const EVENTS_PER_BATCH = 1_000;

async function record(
  deps: WatchDeps,
  events: readonly LeaseEventFacts[],
  source: EventSource,
): Promise<number> {
  let newEvents = 0;
  for (let from = 0; from < events.length; from += EVENTS_PER_BATCH) {
    const batch = await recordLeaseEvents(deps.store, events.slice(from, from + EVENTS_PER_BATCH), {
      clock: deps.clock,
      source,
      // What the scheduler did is a fact already; two leases of one share are held for a person to decide.
      onOverlap: 'hold',
      onUnknownLease: 'keep',
    });
    newEvents += batch.newCount;
  }
  return newEvents;
}

async function lastLook(store: BillingStore, pool: string): Promise<EpochMs | undefined> {
  const row = await store.db
    .selectFrom('billing.watchers')
    .select('looked_at')
    .where('pool', '=', pool)
    .executeTakeFirst();
  return row === undefined ? undefined : instantFromMs(row.looked_at.getTime());
}

/** Leases of this pool that were seen, run on in our records, and that neither a look nor an account names now. */
async function inferEnds(
  deps: WatchDeps,
  { pool, shares }: { readonly pool: string; readonly shares: readonly HeldShare[] },
): Promise<LeaseEventFacts[]> {
  const named = new Set(shares.map((share) => share.leaseId));
  const running = await deps.store.db
    .selectFrom('billing.watched_leases as w')
    .innerJoin('billing.leases as l', 'l.lease_id', 'w.lease_id')
    .select(['w.lease_id', 'w.last_seen_at'])
    .where('w.pool', '=', pool)
    .where('l.state', '=', 'running')
    .execute();
  return running
    .filter((row) => !named.has(row.lease_id))
    .map((row) => inferredEnd(row.lease_id, instantFromMs(row.last_seen_at.getTime())));
}

async function noteLook(
  store: BillingStore,
  look: { readonly pool: string; readonly observedAt: EpochMs; readonly held: readonly HeldShare[] },
): Promise<void> {
  const at = new Date(look.observedAt);
  const seen = [...new Set(look.held.map((share) => share.leaseId))];
  await store.transaction(
    async (trx) => {
      await trx
        .insertInto('billing.watchers')
        .values({ pool: look.pool, looked_at: at })
        .onConflict((conflict) => conflict.column('pool').doUpdateSet({ looked_at: at }))
        .execute();
      await sql`
        DELETE FROM billing.watched_leases
        WHERE pool = ${look.pool} AND NOT lease_id = ANY(${seen}::text[])`.execute(trx);
      await inChunks(seen, (chunk) =>
        trx
          .insertInto('billing.watched_leases')
          .values(chunk.map((leaseId) => ({ lease_id: leaseId, pool: look.pool, last_seen_at: at })))
          .onConflict((conflict) =>
            conflict.column('lease_id').doUpdateSet({ last_seen_at: at, pool: look.pool }),
          )
          .execute(),
      );
    },
    { isolation: 'read committed' },
  );
}
