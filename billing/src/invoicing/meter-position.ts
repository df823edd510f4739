/**
 * "Has everything that belongs to this period arrived?" is a question about bus positions, not about clocks: where the
 * bus stood once the period was over is noted, and readers must be past it (billing rule 13).
 */
import { formatInstant, type Clock, type EpochMs } from '@poolmeter/domain';
import type { EventBus } from '@poolmeter/event-bus';
import { sql } from 'kysely';
import type { BillingStore } from '../database.js';
import { parseBusPositions, type BusPositions } from './manifest.js';

/** Where readers stand. */
export interface MeterPosition {
  /** The end of every partition that usage and its evidence come through, now. */
  ends(): Promise<BusPositions>;
  /** What of these positions readers have not reached yet, in words; empty when they are past it. */
  missing(positions: BusPositions): Promise<readonly string[]>;
}

export interface ReaderGroup {
  readonly group: string;
  readonly topics: readonly string[];
}

/** Compares the ends of topics with what reader groups have committed. */
export function createBusMeterPosition(bus: EventBus, groups: readonly ReaderGroup[]): MeterPosition {
  const topics = [...new Set(groups.flatMap((group) => group.topics))].sort();
  return {
    async ends() {
      const ranges = await Promise.all(topics.map((topic) => bus.ranges(topic)));
      return ranges.flat().map(({ topic, partition, nextOffset }) => ({
        topic,
        partition,
        next_offset: nextOffset.toString(),
      }));
    },
    async missing(positions) {
      const behind: string[] = [];
      for (const { group, topics: own } of groups) {
        for (const topic of own) {
          const committed = new Map(
            (await bus.committed(group, topic)).map((one) => [one.partition, one.nextOffset]),
          );
          for (const wanted of positions.filter((one) => one.topic === topic)) {
            const reached = committed.get(wanted.partition) ?? 0n;
            if (reached < BigInt(wanted.next_offset)) {
              behind.push(`${group} is at ${topic}/${wanted.partition}:${reached} of ${wanted.next_offset}`);
            }
          }
        }
      }
      return behind;
    },
  };
}

export interface PassedPeriod {
  readonly positions: BusPositions;
  readonly behind: readonly string[];
}

/** Notes, once per period end, where the bus stood, and says who is behind that. */
async function periodPassed(
  store: BillingStore,
  meter: MeterPosition,
  { periodEnd, now }: { readonly periodEnd: EpochMs; readonly now: EpochMs },
): Promise<PassedPeriod> {
  const end = new Date(periodEnd);
  const noted = await store.db
    .selectFrom('billing.period_positions')
    .select('positions')
    .where('period_end', '=', end)
    .executeTakeFirst();
  if (noted !== undefined) {
    const positions = parseBusPositions(noted.positions);
    return { positions, behind: await meter.missing(positions) };
  }
  const ends = await meter.ends();
  await store.db
    .insertInto('billing.period_positions')
    .values({ period_end: end, noted_at: new Date(now), positions: sql`${ends}::jsonb` })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  return periodPassed(store, meter, { periodEnd, now });
}

/** Waits a little for readers that are on their way; a period that was only just noted needs a moment. */
export async function waitForPeriod(
  store: BillingStore,
  meter: MeterPosition,
  wait: { readonly periodEnd: EpochMs; readonly clock: Clock; readonly waitMs: number },
): Promise<PassedPeriod> {
  const { clock, periodEnd } = wait;
  const giveUpAt = clock.now() + wait.waitMs;
  for (;;) {
    const passed = await periodPassed(store, meter, { periodEnd, now: clock.now() });
    if (passed.behind.length === 0 || clock.now() >= giveUpAt) return passed;
    await clock.sleep(Math.min(200, wait.waitMs));
  }
}

export function behindText(periodEnd: EpochMs, behind: readonly string[]): string {
  return `Not everything up to ${formatInstant(periodEnd)} is read yet: ${behind.join('; ')}.`;
}
