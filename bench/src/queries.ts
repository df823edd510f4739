/**
 * The named queries behind the boards, over HTTP and with every row checked, on a day of 1,024 GPUs every 10 s (8.8
 * million rows) and on the latest rows of 10,240 GPUs. In the same run the rollups are held against the raw rows.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  fleetUtilisation,
  gpuList,
  migrateMetricsStore,
  nodeLastSeen,
  openMetricsStore,
  readGpuSamples,
  startEmbeddedClickHouse,
  tables,
  type MetricsStore,
} from '@poolmeter/metrics-store';
import { createLogger } from '@poolmeter/service';
import type { Figures } from './bench.js';
import { FLEET_GPUS, fleetMessages } from './made-up-fleet.js';
import { median } from './median.js';
import { FILE_INSERT_SETTINGS, rowsOfFile, WIRE_COLUMNS, WIRE_NAMES } from './wire-files.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const TICKS_PER_HOUR = 360;
const RUNS = 15;
const WARM_UPS = 3;
/** With the fleet itself: 10,240 GPUs. */
const COPIES_OF_FLEET = 9;
const MEMORY_LIMIT_BYTES = 2_000_000_000;

export async function benchQueries(): Promise<Figures> {
  const directory = await mkdtemp(join(tmpdir(), 'poolmeter-bench-'));
  const server = await startEmbeddedClickHouse({
    dataDir: join(directory, 'clickhouse'),
    memoryLimitBytes: MEMORY_LIMIT_BYTES,
    logger: createLogger({ service: 'bench', level: 'silent' }),
  });
  const { url, username, password } = server;
  const store = openMetricsStore({ url, username, password, applicationName: 'bench' });
  try {
    await migrateMetricsStore(store);
    const fromMs = Math.floor(Date.now() / DAY_MS) * DAY_MS - DAY_MS;
    await fillDay(store, directory, fromMs);
    const differences = await rollupDifferences(store);
    await fillLatest(store, directory);
    return { ...(await timings(store, fromMs)), rollup_differences_rows: differences };
  } finally {
    await store.close();
    await server.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

/** One hour is made up and encoded; the others are the same hour with its clock and energy moved on. */
async function fillDay(store: MetricsStore, directory: string, fromMs: number): Promise<void> {
  const messages = [...fleetMessages(TICKS_PER_HOUR, fromMs)].map(({ rows }) => rows);
  const hourFile = join(directory, 'hour.bin');
  await writeFile(hourFile, Buffer.concat(messages));
  await writeFile(join(directory, 'tick.bin'), Buffer.concat(messages.slice(-FLEET_GPUS / 64)));
  for (let hour = 0; hour < 24; hour += 1) {
    const moved = WIRE_COLUMNS.map((name) => {
      if (name === 'ts' || name === 'ingested_at') return `${name} + toIntervalHour(${hour})`;
      return name === 'raw_energy_joules' ? `${name} + ${hour} * 1000000` : name;
    });
    await store.command(
      `INSERT INTO ${tables.gpuSamplesIn} (${WIRE_NAMES}) SELECT ${moved.join(', ')} FROM ${rowsOfFile(hourFile)}`,
      { settings: FILE_INSERT_SETTINGS },
    );
  }
  for (const table of [tables.gpuSamples, tables.gpuSamplesByMinute, tables.gpuSamplesByHour])
    await store.command(`OPTIMIZE TABLE ${table} FINAL`);
}

async function fillLatest(store: MetricsStore, directory: string): Promise<void> {
  const renamed = WIRE_COLUMNS.map((name) =>
    name === 'gpu_uuid' || name === 'node' ? `concat(${name}, '-', toString(copy))` : name,
  );
  await store.command(
    `INSERT INTO ${tables.gpuSamplesIn} (${WIRE_NAMES}) SELECT ${renamed.join(', ')}
     FROM ${rowsOfFile(join(directory, 'tick.bin'))} ARRAY JOIN range(${COPIES_OF_FLEET}) AS copy`,
    { settings: FILE_INSERT_SETTINGS },
  );
}

/** Minutes and hours in which a rollup says something else than the raw rows. */
async function rollupDifferences(store: MetricsStore): Promise<number> {
  let differences = 0;
  for (const [table, start] of [
    [tables.gpuSamplesByMinute, 'toStartOfMinute'],
    [tables.gpuSamplesByHour, 'toStartOfHour'],
  ] as const) {
    const { rows } = await store.select(
      `SELECT count() FROM (
         SELECT gpu_uuid, toDateTime(${start}(ts)) AS step, count(), sum(raw_gpu_util_ratio), sum(raw_sm_active_ratio),
           sum(raw_power_watts), max(raw_temperature_celsius), min(raw_sm_clock_mhz), min(energy_joules), max(energy_joules)
         FROM gpu_samples GROUP BY gpu_uuid, step
         EXCEPT
         SELECT gpu_uuid, toDateTime(ts), sum(sample_count), toUInt64(round(sum(gpu_util_ratio_sum) * 100)),
           toUInt64(round(sum(sm_active_ratio_sum) * 10000)), toUInt64(round(sum(power_watts_sum) * 10)),
           max(assumeNotNull(temperature_celsius_max)), min(assumeNotNull(sm_clock_mhz_min)),
           min(energy_joules_first), max(energy_joules)
         FROM ${table} GROUP BY gpu_uuid, ts)`,
      { name: 'bench.rollup-differences', maxRows: 1, maxExecutionS: 120 },
    );
    differences += Number(rows[0]?.[0] ?? Number.NaN);
  }
  return differences;
}

async function timings(store: MetricsStore, fromMs: number): Promise<Figures> {
  const day = { from_ms: fromMs, to_ms: fromMs + DAY_MS };
  const one = { gpuUuid: 'GPU-5d1f2c0e-7a3b-4c1d-9e2f-000000000500', fromMs, toMs: fromMs + DAY_MS };
  return {
    fleet_24h_ms: await timed(() => store.query(fleetUtilisation, { ...day, step_s: 60 })),
    fleet_24h_of_300_s_ms: await timed(() => store.query(fleetUtilisation, { ...day, step_s: 300 })),
    // Over a day the API and the boards read minutes unless they are told otherwise; raw rows are what an export reads.
    one_gpu_24h_ms: await timed(() => readGpuSamples(store, { ...one, limit: 10_000 })),
    one_gpu_24h_raw_ms: await timed(() => readGpuSamples(store, { ...one, stepMs: 0, limit: 10_000 })),
    latest_10k_ms: await timed(() => store.query(nodeLastSeen, {})),
    list_of_100_of_10000_gpus_ms: await timed(() => store.query(gpuList, { limit: 100 })),
    list_of_10000_gpus_ms: await timed(() => store.query(gpuList, {})),
  };
}

async function timed(run: () => Promise<readonly unknown[]>): Promise<number> {
  const tookMs: number[] = [];
  for (let at = 0; at < WARM_UPS + RUNS; at += 1) {
    const from = performance.now();
    if ((await run()).length === 0) throw new Error('A query found nothing.');
    if (at >= WARM_UPS) tookMs.push(performance.now() - from);
  }
  return median(tookMs);
}
