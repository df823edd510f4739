/**
 * A made-up fleet of 100,000 GPUs, each scraped every ten seconds, for five minutes on one machine: agents, a real
 * Kafka broker, the pipeline and ClickHouse together. Measured is the time from a scrape's stamp to the moment at which
 * a reader of ClickHouse gets the row, for 200 GPUs; the reader asks five times a second, and its wait counts.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { createKafkaBus } from '@poolmeter/event-bus';
import {
  column,
  defineQuery,
  migrateMetricsStore,
  openMetricsStore,
  startEmbeddedClickHouse,
  type MetricsStore,
} from '@poolmeter/metrics-store';
import { createLogger } from '@poolmeter/service';
import { topics } from '@poolmeter/telemetry-schema';
import { z } from 'zod';
import type { Figures } from './bench.js';
import { startBroker } from './kafka-broker.js';
import { WorkerProcess } from './kill-rounds/worker-process.js';
import { startSendingFleet } from './sending-fleet.js';
import { cpuSecondsOf } from './process-usage.js';

const GPUS = 100_000;
const SCRAPE_INTERVAL_MS = 10_000;
const DURATION_MS = 300_000;
/** The first rows meet a cold start of everything. */
const WARM_UP_MS = 20_000;
const PROBED_GPUS = 200;
const POLL_MS = 200;
const PARTITIONS = 4;

const newestOfGpus = defineQuery({
  name: 'bench-newest-of-gpus',
  sql: `
    SELECT gpu_uuid, groupArray(toUnixTimestamp64Milli(ts)) AS ts_ms
    FROM gpu_samples
    WHERE ts >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC') AND gpu_uuid IN {gpu_uuids:Array(String)}
    GROUP BY gpu_uuid
  `,
  params: z.object({ since_ms: z.int(), gpu_uuids: z.array(z.string()) }),
  row: z.object({ gpu_uuid: column.text, ts_ms: z.array(column.wideInteger) }),
});

export async function benchLatency(durationMs = DURATION_MS): Promise<Figures> {
  const directory = await mkdtemp(join(tmpdir(), 'poolmeter-latency-'));
  const logger = createLogger({ service: 'bench', level: 'warn' });
  const broker = await startBroker(join(directory, 'kafka'));
  const bus = createKafkaBus({ brokers: [broker.address], clientId: 'bench', logger });
  await bus.ensureTopics([{ name: topics.gpuSamples, partitions: PARTITIONS }]);
  const server = await startEmbeddedClickHouse({ dataDir: join(directory, 'clickhouse'), logger });
  const { url, username, password } = server;
  const store = openMetricsStore({ url, username, password, applicationName: 'bench' });
  await migrateMetricsStore(store);
  const pipeline = new WorkerProcess(
    {
      POOLMETER_PIPELINE_BROKERS: broker.address,
      POOLMETER_PIPELINE_CLICKHOUSE_URL: url,
      POOLMETER_PIPELINE_CLICKHOUSE_USERNAME: username,
      POOLMETER_PIPELINE_CLICKHOUSE_PASSWORD: password,
      POOLMETER_PIPELINE_OPS_PORT: '0',
      POOLMETER_PIPELINE_LOG_LEVEL: 'warn',
    },
    (text) => process.stderr.write(text),
  );
  pipeline.start();
  const fleet = startSendingFleet({ bus, gpus: GPUS, scrapeIntervalMs: SCRAPE_INTERVAL_MS });
  try {
    const pids = { pipeline: pipeline.pid, clickhouse: server.pid, broker: await broker.pid() };
    const before = Object.entries(pids).map(([name, pid]) => [name, cpuSecondsOf(pid)] as const);
    const waits = await watchWaits(store, fleet.uuidsOf(PROBED_GPUS), durationMs);
    const cores = Object.fromEntries(
      before.map(([name, seconds]) => [
        `${name}_cores`,
        (cpuSecondsOf(pids[name as keyof typeof pids]) - seconds) / (durationMs / 1_000),
      ]),
    );
    waits.sort((a, b) => a - b);
    const at = (share: number) => waits[Math.floor(waits.length * share)] ?? Number.NaN;
    return {
      gpus: GPUS,
      p50_ms: at(0.5),
      p99_ms: at(0.99),
      most_ms: at(1 - 1e-9),
      waits_seen: waits.length,
      rows_sent: fleet.rowsSent(),
      ...cores,
    };
  } finally {
    await fleet.stop();
    await pipeline.stop();
    await bus.close();
    await store.close();
    await server.stop();
    await broker.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

/** From the stamp of each row of these GPUs to the moment at which it was first read. */
async function watchWaits(
  store: MetricsStore,
  gpuUuids: readonly string[],
  durationMs: number,
): Promise<number[]> {
  const from = Date.now();
  const seen = new Set<string>();
  const waits: number[] = [];
  while (Date.now() - from < durationMs) {
    const params = { since_ms: Date.now() - 3 * SCRAPE_INTERVAL_MS, gpu_uuids: [...gpuUuids] };
    const rows = await store.query(newestOfGpus, params);
    const now = Date.now();
    for (const { gpu_uuid, ts_ms } of rows) {
      for (const ms of ts_ms) {
        const key = `${gpu_uuid}|${ms}`;
        if (seen.has(key)) continue;
        seen.add(key);
        if (ms > from + WARM_UP_MS) waits.push(now - ms);
      }
    }
    await pause(POLL_MS);
  }
  return waits;
}
