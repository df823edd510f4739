/** One broker with the same rows on two topics, and a fresh ClickHouse for each contender. */
import { execFile, fork } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createKafkaBus, type BusMessage, type EventBus } from '@poolmeter/event-bus';
import {
  column,
  defineQuery,
  migrateMetricsStore,
  openMetricsStore,
  startEmbeddedClickHouse,
  tables,
  type EmbeddedClickHouse,
  type MetricsStore,
} from '@poolmeter/metrics-store';
import { createLogger } from '@poolmeter/service';
import {
  encodeSampleBatchOfRows,
  messageHeadersFor,
  SAMPLE_SCHEMA_VERSION,
  topics,
} from '@poolmeter/telemetry-schema';
import { z } from 'zod';
import { startBroker } from './kafka-broker.js';
import { fleetMessages, ROWS_PER_MESSAGE, type FleetMessage } from './made-up-fleet.js';
import type { WorkerNews } from './pipeline-worker-main.js';
import { watchUsage } from './process-usage.js';
import { FILE_INSERT_SETTINGS, rowsOfFile, WIRE_NAMES, WIRE_STRUCTURE } from './wire-files.js';

const PARTITIONS = 4;
const TICKS = 977;
const DAY_MS = 86_400_000;
/** The Kafka engine knows no header of ours: the same rows without it, on a topic of its own. */
const BARE_TOPIC = 'bench.bare-rows';
const PROBE_TOPIC = 'bench.probe';
const MESSAGES_PER_PUBLISH = 64;
const MESSAGES_PER_FILE = 1_563;
const POLL_MS = 200;
const LIMIT_MS = 120_000;
const STOP = fileURLToPath(new URL('../../scripts/kafka/stop.sh', import.meta.url));
const WORKER = new URL('pipeline-worker-main.js', import.meta.url);
const logger = createLogger({ service: 'bench', level: 'silent' });

export interface Run {
  readonly rowsPerSecond: number;
  readonly cpuSecondsPerMillionRows: number;
  readonly residentMegabytes: number;
}

export interface Contest {
  readonly rows: number;
  /** Our pipeline and ClickHouse together. */
  ours(round: number): Promise<Run>;
  /** The same rows from files, the fastest way into the same tables. */
  fromFiles(parallel: number): Promise<Run>;
  kafkaEngine(consumers: number, round: number): Promise<Run>;
  stop(): Promise<void>;
}

export async function startContest(): Promise<Contest> {
  const directory = await mkdtemp(join(tmpdir(), 'poolmeter-bench-'));
  const broker = await startBroker(join(directory, 'kafka'));
  const bus = createKafkaBus({ brokers: [broker.address], clientId: 'bench', logger });
  const startMs = Math.floor(Date.now() / DAY_MS) * DAY_MS - DAY_MS;
  const messages = [...fleetMessages(TICKS, startMs)];
  await publishAll(bus, messages);
  const files = await writeFiles(directory, messages);
  const rows = messages.length * ROWS_PER_MESSAGE;
  const place = { directory, rows };
  return {
    rows,
    ours: (round) =>
      onFreshStore(place, async ({ server }, run) => {
        const { url, username, password } = server;
        const group = `bench-${round}`;
        const ask = { broker: broker.address, group, messages: messages.length, url, username, password };
        const worker = fork(WORKER, [JSON.stringify(ask)]);
        try {
          await newsOf(worker, 'first');
          run.begin([worker.pid ?? 0, server.pid]);
          await newsOf(worker, 'stored');
          run.end();
        } finally {
          worker.send('stop');
          await once(worker, 'exit');
        }
      }),
    fromFiles: (parallel) =>
      onFreshStore(place, async ({ server, store }, run) => {
        run.begin([server.pid]);
        await insertFiles(store, files, parallel);
        run.end();
      }),
    // At least once: it was seen to store some messages twice.
    kafkaEngine: (consumers, round) =>
      onFreshStore({ ...place, isExact: false }, async ({ server, store }, run) => {
        const attach = kafkaTable({
          broker: broker.address,
          group: `engine-${consumers}-${round}`,
          consumers,
        });
        for (const statement of attach) await store.command(statement);
        await until(async () => (await count(store, messagesRead)) > 0);
        run.begin([server.pid]);
        // The hours are written last.
        await until(async () => (await count(store, hourRows)) >= rows);
        run.end();
        await store.command('DROP TABLE bench_queue_reader');
        await store.command('DROP TABLE bench_queue');
      }),
    stop: async () => {
      await bus.close();
      await promisify(execFile)(STOP, [join(directory, 'kafka')]);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

interface Stopwatch {
  begin(pids: readonly number[]): void;
  end(): void;
}

/** Runs one contender and checks that every row is in the raw table and in both rollups, exactly once where promised. */
async function onFreshStore(
  { directory, rows, isExact = true }: { directory: string; rows: number; isExact?: boolean },
  work: (on: { server: EmbeddedClickHouse; store: MetricsStore }, run: Stopwatch) => Promise<void>,
): Promise<Run> {
  const dataDir = await mkdtemp(join(directory, 'clickhouse-'));
  const spoolDir = await mkdtemp('/dev/shm/poolmeter-bench-');
  const server = await startEmbeddedClickHouse({ dataDir, spoolDir, logger });
  const { url, username, password } = server;
  const store = openMetricsStore({ url, username, password, applicationName: 'bench' });
  let beganAt = 0;
  let tookMs = 0;
  let watch: ReturnType<typeof watchUsage> | undefined;
  let usage: ReturnType<ReturnType<typeof watchUsage>['end']> | undefined;
  try {
    await migrateMetricsStore(store);
    await work(
      { server, store },
      {
        begin: (pids) => {
          watch = watchUsage(pids);
          beganAt = performance.now();
        },
        end: () => {
          tookMs = performance.now() - beganAt;
          usage = watch?.end();
        },
      },
    );
    await checkTables(store, rows, isExact);
  } finally {
    await store.close();
    await server.stop();
    await rm(dataDir, { recursive: true, force: true });
    await rm(spoolDir, { recursive: true, force: true });
  }
  return {
    rowsPerSecond: rows / (tookMs / 1_000),
    cpuSecondsPerMillionRows: (usage?.cpuSeconds ?? Number.NaN) / (rows / 1_000_000),
    residentMegabytes: (usage?.residentBytesMost ?? Number.NaN) / 1_000_000,
  };
}

const number = (name: string, sql: string) =>
  defineQuery({ name, sql, params: z.object({}), row: z.object({ value: column.wideInteger }) });
const rowsStored = number('bench-rows', 'SELECT count() AS value FROM gpu_samples');
const minuteRows = number('bench-minutes', 'SELECT sum(sample_count) AS value FROM gpu_samples_1m');
const hourRows = number('bench-hours', 'SELECT sum(sample_count) AS value FROM gpu_samples_1h');
const messagesRead = number(
  'bench-messages-read',
  'SELECT sum(num_messages_read) AS value FROM system.kafka_consumers',
);

async function count(store: MetricsStore, query: typeof rowsStored): Promise<number> {
  const [row] = await store.query(query, {});
  return row?.value ?? 0;
}

async function checkTables(store: MetricsStore, rows: number, isExact: boolean): Promise<void> {
  for (const query of [rowsStored, minuteRows, hourRows]) {
    const found = await count(store, query);
    if (isExact ? found !== rows : found < rows)
      throw new Error(`${query.name}: ${found} rows instead of ${rows}.`);
  }
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`Not stored after ${LIMIT_MS} ms.`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function newsOf(worker: ReturnType<typeof fork>, wanted: WorkerNews): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`The pipeline did not say "${wanted}".`)), LIMIT_MS);
    const listen = (news: unknown) => {
      if (news !== wanted) return;
      clearTimeout(late);
      worker.off('message', listen);
      resolve();
    };
    worker.on('message', listen);
    worker.once('exit', () => reject(new Error('The pipeline ended.')));
  });
}

/** Four collectors to each partition, as a fleet of many nodes would spread. */
async function publishAll(bus: EventBus, messages: readonly FleetMessage[]): Promise<void> {
  const names = [topics.gpuSamples, BARE_TOPIC, PROBE_TOPIC];
  await bus.ensureTopics(names.map((name) => ({ name, partitions: PARTITIONS })));
  const keys = await evenKeys(bus, Math.max(...messages.map(({ collector }) => collector)) + 1);
  for (let from = 0; from < messages.length; from += MESSAGES_PER_PUBLISH) {
    const part = messages.slice(from, from + MESSAGES_PER_PUBLISH);
    await bus.publish(
      topics.gpuSamples,
      part.map((message) => withHeader(message, keys[message.collector] ?? '')),
    );
    await bus.publish(
      BARE_TOPIC,
      part.map(({ collector, rows }) => ({ key: keys[collector] ?? '', headers: {}, value: rows })),
    );
  }
}

function withHeader({ collector, sequence, rows }: FleetMessage, key: string): BusMessage {
  const origin = { producer: `collector-${collector}`, producerEpoch: 1n, sequence: BigInt(sequence) };
  return {
    key,
    headers: messageHeadersFor({ ...origin, schema: 'gpu-sample', schemaVersion: SAMPLE_SCHEMA_VERSION }),
    value: encodeSampleBatchOfRows(origin, { rowCount: ROWS_PER_MESSAGE, rows }),
  };
}

async function evenKeys(bus: EventBus, wanted: number): Promise<string[]> {
  const perPartition = Array.from({ length: PARTITIONS }, () => [] as string[]);
  const ends = async () => (await bus.ranges(PROBE_TOPIC)).map(({ nextOffset }) => nextOffset);
  let before = await ends();
  for (let tried = 0; perPartition.some((keys) => keys.length < wanted / PARTITIONS); tried += 1) {
    const key = `collector-${tried}`;
    await bus.publish(PROBE_TOPIC, [{ key, headers: {}, value: Buffer.from('?') }]);
    const after = await ends();
    const partition = after.findIndex((offset, at) => offset !== before[at]);
    before = after;
    const keys = perPartition[partition];
    if (keys !== undefined && keys.length < wanted / PARTITIONS) keys.push(key);
  }
  return Array.from({ length: wanted }, (_, at) => perPartition[at % PARTITIONS]?.[at >> 2] ?? '');
}

/** Files of one partition each, in arrival order, as large as the pipeline's inserts. */
async function writeFiles(directory: string, messages: readonly FleetMessage[]): Promise<string[]> {
  const files: string[] = [];
  for (let partition = 0; partition < PARTITIONS; partition += 1) {
    const own = messages.filter(({ collector }) => collector % PARTITIONS === partition);
    for (let from = 0; from < own.length; from += MESSAGES_PER_FILE) {
      const path = join(directory, `rows-${partition}-${from}.bin`);
      await writeFile(path, Buffer.concat(own.slice(from, from + MESSAGES_PER_FILE).map(({ rows }) => rows)));
      files.push(path);
    }
  }
  return files;
}

async function insertFiles(store: MetricsStore, files: readonly string[], parallel: number): Promise<void> {
  const waiting = [...files];
  const worker = async () => {
    for (let path = waiting.shift(); path !== undefined; path = waiting.shift()) {
      await store.command(
        `INSERT INTO ${tables.gpuSamplesIn} (${WIRE_NAMES}) SELECT * FROM ${rowsOfFile(path)}`,
        {
          settings: { ...FILE_INSERT_SETTINGS, insert_deduplication_token: path },
        },
      );
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
}

/** The engine as its documentation advises for speed; at least once, without tokens. */
function kafkaTable(options: { broker: string; group: string; consumers: number }): string[] {
  const { broker, group, consumers } = options;
  return [
    `CREATE TABLE bench_queue (${WIRE_STRUCTURE}) ENGINE = Kafka SETTINGS kafka_broker_list = '${broker}',
     kafka_topic_list = '${BARE_TOPIC}', kafka_group_name = '${group}', kafka_format = 'RowBinary',
     kafka_num_consumers = ${consumers}, kafka_thread_per_consumer = ${consumers > 1 ? 1 : 0},
     kafka_max_block_size = 100000`,
    `CREATE MATERIALIZED VIEW bench_queue_reader TO ${tables.gpuSamplesIn} AS SELECT ${WIRE_NAMES} FROM bench_queue`,
  ];
}
