/**
 * Bytes per stored row after merges, of the simulator's default pool: the one that is held against real fleets by
 * packages/pool-simulator/src/realism.test.ts. What each scaled column loses is said in docs/data-model.md.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { instantFromMs } from '@poolmeter/domain';
import {
  gpuSamplesInsert,
  migrateMetricsStore,
  openMetricsStore,
  startEmbeddedClickHouse,
  tables,
  type MetricsStore,
} from '@poolmeter/metrics-store';
import { createSimulatedPool } from '@poolmeter/pool-simulator';
import { createLogger } from '@poolmeter/service';
import { decodeSampleBatchHeader } from '@poolmeter/telemetry-schema';
import { historyChunks } from 'poolmeter';
import type { Figures } from './bench.js';

const HOUR_MS = 3_600_000;
const HOURS = 24;
const STEP_MS = 10_000;
const SEED = 1;

export async function benchStorage(): Promise<Figures> {
  const directory = await mkdtemp(join(tmpdir(), 'poolmeter-bench-'));
  const server = await startEmbeddedClickHouse({
    dataDir: directory,
    logger: createLogger({ service: 'bench', level: 'silent' }),
  });
  const { url, username, password } = server;
  const store = openMetricsStore({ url, username, password, applicationName: 'bench' });
  try {
    await migrateMetricsStore(store);
    await fill(store);
    return await measure(store);
  } finally {
    await store.close();
    await server.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

/** Hour by hour through the collector's own parsing and encoding. */
async function fill(store: MetricsStore): Promise<void> {
  const startMs = Date.UTC(2026, 2, 2);
  const until = instantFromMs(startMs + HOURS * HOUR_MS);
  const pool = createSimulatedPool({ seed: SEED, startAt: instantFromMs(startMs) });
  const options = { pool, until, chunkMs: HOUR_MS, stepMs: STEP_MS };
  for (const chunk of historyChunks({ ...options, publishedAt: until })) {
    const values = chunk.samples.map(({ value }) => decodeSampleBatchHeader(value).rows);
    await store.insert({ ...gpuSamplesInsert, values, token: `hour-${chunk.until}` });
  }
  for (const table of [tables.gpuSamples, tables.gpuSamplesByMinute, tables.gpuSamplesByHour]) {
    // Only wide parts say what each column takes; a full day of a fleet is stored that way.
    await store.command(`ALTER TABLE ${table} MODIFY SETTING min_bytes_for_wide_part = 0`);
    await store.command(`OPTIMIZE TABLE ${table} FINAL`);
  }
}

async function measure(store: MetricsStore): Promise<Figures> {
  const rowsOf = async (sql: string) =>
    (await store.select(sql, { name: 'bench.storage', maxRows: 1_000 })).rows;
  const totals = await rowsOf(
    `SELECT table, sum(rows), sum(data_compressed_bytes + marks_bytes) / sum(rows) FROM system.parts
     WHERE active AND database = currentDatabase() AND table IN ('gpu_samples', 'gpu_samples_1m', 'gpu_samples_1h')
     GROUP BY table`,
  );
  const columns = await rowsOf(
    `SELECT column, sum(column_data_compressed_bytes) / sum(rows) AS bytes FROM system.parts_columns
     WHERE active AND database = currentDatabase() AND table = 'gpu_samples' GROUP BY column ORDER BY bytes DESC`,
  );
  const [[busy] = []] = await rowsOf('SELECT avg(raw_gpu_util_ratio BETWEEN 1 AND 100) FROM gpu_samples');
  const of = (table: string) => totals.find(([name]) => name === table) ?? [];
  return {
    rows: Number(of('gpu_samples')[1]),
    busy_rows_ratio: Number(busy),
    bytes_per_row: Number(of('gpu_samples')[2]),
    minute_bytes_per_row: Number(of('gpu_samples_1m')[2]),
    hour_bytes_per_row: Number(of('gpu_samples_1h')[2]),
    ...Object.fromEntries(
      columns.map(([name, bytes]) => [`raw_column_${String(name)}_bytes`, Number(bytes)]),
    ),
  };
}
