/** Everything a round of kills needs, on loopback: a bus, ClickHouse behind a proxy that cuts, two pipelines, agents. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, type Clock } from '@poolmeter/domain';
import { createKafkaBus, createLogBus, type EventBus } from '@poolmeter/event-bus';
import {
  migrateMetricsStore,
  openMetricsStore,
  startEmbeddedClickHouse,
  type EmbeddedClickHouse,
  type MetricsStore,
} from '@poolmeter/metrics-store';
import { createLogger } from '@poolmeter/service';
import { topics } from '@poolmeter/telemetry-schema';
import { startBroker, type Broker } from '../kafka-broker.js';
import { Agents } from './agents.js';
import { startCuttingProxy, type CuttingProxy } from './cutting-proxy.js';
import type { Random } from './random.js';
import { Truth } from './truth.js';
import { WorkerProcess, type WorkerEnvironment } from './worker-process.js';

export const GROUP = 'kill-rounds';
const PARTITIONS = 4;
const KEPT_LINES = 400;
/** A restarted child of ClickHouse is waited for at most this long, so that a thousand deaths do not take hours. */
const RESTART_PAUSE_MS = 50;

export type BusKind = 'log' | 'kafka';

export interface KillWorld {
  readonly kind: BusKind;
  readonly bus: EventBus;
  readonly broker: Broker | undefined;
  readonly server: EmbeddedClickHouse;
  /** Asks the server itself, not through the proxy. */
  readonly store: MetricsStore;
  readonly proxy: CuttingProxy;
  readonly workers: readonly [WorkerProcess, WorkerProcess];
  readonly agents: Agents;
  readonly truth: Truth;
  /** The last lines that the pipelines logged. */
  readonly lines: readonly string[];
  stop(): Promise<void>;
}

export async function startKillWorld(kind: BusKind, random: Random): Promise<KillWorld> {
  const directory = await mkdtemp(join(tmpdir(), 'poolmeter-kills-'));
  const logger = createLogger({ service: 'kill-rounds', level: 'silent' });
  const broker = kind === 'kafka' ? await startBroker(join(directory, 'kafka')) : undefined;
  const busDirectory = join(directory, 'bus');
  const bus =
    broker === undefined
      ? createLogBus({ directory: busDirectory, logger })
      : createKafkaBus({ brokers: [broker.address], clientId: 'kill-rounds', logger });
  await bus.ensureTopics([topics.gpuSamples, topics.deadLetter].map(withPartitions));
  const server = await startEmbeddedClickHouse({
    dataDir: join(directory, 'clickhouse'),
    logger,
    clock: hastyClock,
  });
  const { url, username, password } = server;
  const store = openMetricsStore({ url, username, password, applicationName: 'kill-rounds' });
  await migrateMetricsStore(store);
  const proxy = await startCuttingProxy(Number(new URL(url).port));
  const lines: string[] = [];
  const environment: WorkerEnvironment = {
    ...(broker === undefined
      ? { POOLMETER_PIPELINE_BUS_DIRECTORY: busDirectory }
      : { POOLMETER_PIPELINE_BROKERS: broker.address }),
    POOLMETER_PIPELINE_GROUP: GROUP,
    POOLMETER_PIPELINE_PARTITIONS: String(PARTITIONS),
    POOLMETER_PIPELINE_CLICKHOUSE_URL: `http://127.0.0.1:${proxy.port}`,
    POOLMETER_PIPELINE_CLICKHOUSE_USERNAME: username,
    POOLMETER_PIPELINE_CLICKHOUSE_PASSWORD: password,
    POOLMETER_PIPELINE_FLUSH_INTERVAL: '100ms',
    POOLMETER_PIPELINE_OPS_PORT: '0',
    POOLMETER_PIPELINE_LOG_LEVEL: 'info',
  };
  const keepLine = (text: string) => {
    lines.push(...text.split('\n').filter((line) => line !== ''));
    lines.splice(0, Math.max(0, lines.length - KEPT_LINES));
  };
  const workers = [
    new WorkerProcess(environment, keepLine),
    new WorkerProcess(environment, keepLine),
  ] as const;
  const truth = new Truth();
  const agents = new Agents(bus, truth, random);
  return {
    kind,
    bus,
    broker,
    server,
    store,
    proxy,
    workers,
    agents,
    truth,
    lines,
    stop: async () => {
      await agents.stop();
      await Promise.all(workers.map((worker) => worker.stop()));
      await bus.close();
      await store.close();
      await proxy.stop();
      await server.stop();
      await broker?.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

const withPartitions = (name: string) => ({ name, partitions: PARTITIONS });

const hastyClock: Clock = {
  now: () => systemClock.now(),
  sleep: (ms, signal) => systemClock.sleep(Math.min(ms, RESTART_PAUSE_MS), signal),
};
