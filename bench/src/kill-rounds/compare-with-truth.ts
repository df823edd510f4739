/** Every difference between what was sent and what the store holds. */
import { randomUUID } from 'node:crypto';
import type { EventBus } from '@poolmeter/event-bus';
import { column, defineQuery, type MetricsStore } from '@poolmeter/metrics-store';
import { topics } from '@poolmeter/telemetry-schema';
import { z } from 'zod';
import { GROUP, type KillWorld } from './kill-world.js';
import { minuteKey } from './truth.js';

const DRAIN_LIMIT_MS = 120_000;
const POLL_MS = 100;

const storedTotals = defineQuery({
  name: 'kill-rounds-totals',
  sql: `
    SELECT
      (SELECT count() FROM gpu_samples) AS rows,
      (SELECT uniqExact((gpu_uuid, ts)) FROM gpu_samples) AS keys,
      (SELECT toString(sum(toUnixTimestamp64Milli(ts))) FROM gpu_samples) AS ts_sum,
      (SELECT sum(raw_power_watts) FROM gpu_samples) AS power,
      (SELECT sum(sample_count) FROM gpu_samples_1m) AS minute_rows,
      (SELECT toUInt64(round(sum(power_watts_sum) * 10)) FROM gpu_samples_1m) AS minute_power,
      (SELECT sum(sample_count) FROM gpu_samples_1h) AS hour_rows,
      (SELECT toUInt64(round(sum(power_watts_sum) * 10)) FROM gpu_samples_1h) AS hour_power,
      (SELECT count() FROM gpu_latest FINAL) AS latest_rows,
      (SELECT toString(sum(toUnixTimestamp64Milli(ts))) FROM gpu_latest FINAL) AS latest_ts_sum,
      (SELECT count() FROM ingest_rejects) AS rejects
  `,
  params: z.object({}),
  row: z.object({
    rows: column.wideInteger,
    keys: column.wideInteger,
    ts_sum: column.text,
    power: column.wideInteger,
    minute_rows: column.wideInteger,
    minute_power: column.wideInteger,
    hour_rows: column.wideInteger,
    hour_power: column.wideInteger,
    latest_rows: column.wideInteger,
    latest_ts_sum: column.text,
    rejects: column.wideInteger,
  }),
});

const storedMinutes = defineQuery({
  name: 'kill-rounds-minutes',
  sql: `
    SELECT
      gpu_uuid,
      toUnixTimestamp(ts) AS minute_s,
      sum(sample_count) AS rows,
      toUInt64(round(sum(power_watts_sum) * 10)) AS power
    FROM gpu_samples_1m
    GROUP BY gpu_uuid, minute_s
  `,
  params: z.object({}),
  row: z.object({
    gpu_uuid: column.text,
    minute_s: column.integer,
    rows: column.wideInteger,
    power: column.wideInteger,
  }),
});

/**
 * Waits until everything that was sent is committed by the group, with no range in hand; what is left when that takes
 * too long. A pipeline that ended because ClickHouse was away as it started is started again, as a supervisor would.
 */
export async function drain({ bus, workers }: KillWorld): Promise<string[]> {
  const deadline = performance.now() + DRAIN_LIMIT_MS;
  for (;;) {
    for (const worker of workers) worker.start();
    // A broker that is just starting does not answer yet.
    const isDone = await isDrained(bus).catch(() => false);
    if (isDone) return [];
    if (performance.now() > deadline) return [`not drained after ${DRAIN_LIMIT_MS / 1_000} s`];
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function isDrained(bus: EventBus): Promise<boolean> {
  const positions = await bus.committed(GROUP, topics.gpuSamples);
  const ranges = await bus.ranges(topics.gpuSamples);
  return ranges.every(({ partition, nextOffset }) => {
    const position = positions.find((one) => one.partition === partition);
    if (position === undefined) return nextOffset === 0n;
    return position.nextOffset === nextOffset && position.metadata === '';
  });
}

/** Differences in the sums over everything; empty when all agree. */
export async function differencesInTotals({ store, truth }: KillWorld): Promise<string[]> {
  const [stored] = await store.query(storedTotals, {});
  const { rows, ts_sum, power_sum } = truth.totals;
  const wanted: Record<string, number | string> = {
    rows,
    keys: rows,
    ts_sum,
    power: power_sum,
    minute_rows: rows,
    minute_power: power_sum,
    hour_rows: rows,
    hour_power: power_sum,
    latest_rows: truth.latest.size,
    latest_ts_sum: truth.latestSum,
    rejects: truth.rejects,
  };
  return Object.entries(stored ?? {}).flatMap(([name, value]) =>
    value === wanted[name] ? [] : [`${name} is ${value}, not ${wanted[name]}`],
  );
}

/** Differences minute by minute and GPU by GPU, and in the dead letters. */
export async function differencesInDetail(world: KillWorld): Promise<string[]> {
  const minutes = await differencesInMinutes(world.store, world.truth.minutes);
  const letters = await deadLetters(world);
  const { rubbish } = world.truth;
  return [
    ...minutes,
    ...[...rubbish].filter((text) => !letters.has(text)).map((text) => `"${text}" is no dead letter`),
    ...[...letters].filter((text) => !rubbish.has(text)).map((text) => `"${text}" is a dead letter`),
  ];
}

async function differencesInMinutes(
  store: MetricsStore,
  wanted: ReadonlyMap<string, { rows: number; power: number }>,
): Promise<string[]> {
  const seen = new Set<string>();
  const found: string[] = [];
  for (const { gpu_uuid, minute_s, rows, power } of await store.query(storedMinutes, {})) {
    const key = minuteKey(gpu_uuid, minute_s * 1_000);
    seen.add(key);
    const truth = wanted.get(key);
    if (truth?.rows !== rows || truth.power !== power)
      found.push(`minute ${key} has ${rows} rows and ${power} dW, not ${JSON.stringify(truth)}`);
  }
  for (const key of wanted.keys()) if (!seen.has(key)) found.push(`minute ${key} is missing`);
  return found;
}

async function deadLetters({ bus }: KillWorld): Promise<ReadonlySet<string>> {
  const texts = new Set<string>();
  const ends = await bus.ranges(topics.deadLetter);
  const next = new Map(ends.map(({ partition, earliestOffset }) => [partition, earliestOffset]));
  const subscription = await bus.subscribe({
    group: `kill-rounds-${randomUUID()}`,
    topics: [topics.deadLetter],
    startAt: 'earliest',
    onBatch: ({ partition, messages }) => {
      for (const { value, offset } of messages) {
        texts.add(Buffer.from(value).toString('utf8'));
        next.set(partition, offset + 1n);
      }
      return Promise.resolve();
    },
  });
  const deadline = performance.now() + DRAIN_LIMIT_MS;
  while (ends.some(({ partition, nextOffset }) => (next.get(partition) ?? 0n) < nextOffset)) {
    if (performance.now() > deadline) throw new Error('The dead letters could not be read to their end.');
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  await subscription.stop();
  return texts;
}
