/** The autoscaler as a process of its own: composition, nothing else. */
import { createIdSource, systemClock, type Clock } from '@poolmeter/domain';
import { openMetricsStore } from '@poolmeter/metrics-store';
import { openRelationalStore, type RelayedMessage } from '@poolmeter/relational-store';
import type { Scheduler } from '@poolmeter/scheduler';
import {
  createLifecycle,
  createLogger,
  createOpsServer,
  createTelemetry,
  type Lifecycle,
} from '@poolmeter/service';
import type { AutoscalerDatabase } from './autoscaler-database.js';
import { createAutoscaler } from './autoscaler.js';
import type { AutoscalerConfig } from './config.js';
import { loadPools, type Pool } from './pools-file.js';

/** What the autoscaler needs of the event bus. */
export interface DecisionBus {
  publish(topic: string, messages: readonly RelayedMessage[]): Promise<void>;
  ping(): Promise<void>;
  close(): Promise<void>;
}

export interface RunAutoscalerOptions {
  readonly config: AutoscalerConfig;
  readonly openBus: (config: AutoscalerConfig) => Promise<DecisionBus>;
  /** The adapter of each pool's kind when absent. */
  readonly schedulerFor?: (pool: Pool) => Scheduler;
  readonly clock?: Clock;
}

/** Started when it resolves; `stop` ends it in order. */
export async function runAutoscaler(options: RunAutoscalerOptions): Promise<Lifecycle> {
  const { config, clock = systemClock } = options;
  const logger = createLogger({ service: 'autoscaler', level: config.logLevel });
  const telemetry = createTelemetry({ service: 'autoscaler' });
  const pools = await loadPools(config.pools);
  const store = openRelationalStore<AutoscalerDatabase>({
    url: config.postgresUrl,
    applicationName: 'autoscaler',
  });
  const metrics = openMetricsStore({
    url: config.clickhouseUrl,
    database: config.clickhouseDatabase,
    username: config.clickhouseUsername,
    ...(config.clickhousePassword === undefined ? {} : { password: config.clickhousePassword }),
    applicationName: 'autoscaler',
  });
  const bus = await options.openBus(config);
  const ops = createOpsServer({
    host: config.opsHost,
    port: config.opsPort,
    telemetry,
    logger,
    readiness: [
      { name: 'postgresql', check: () => store.ping() },
      { name: 'clickhouse', check: () => metrics.ping() },
      { name: 'event bus', check: () => bus.ping() },
    ],
  });
  const autoscaler = createAutoscaler({
    store,
    metrics,
    pools,
    ...(options.schedulerFor === undefined ? {} : { schedulerFor: options.schedulerFor }),
    publish: (topic, messages) => bus.publish(topic, messages),
    clock,
    ids: createIdSource(clock),
    logger,
    meter: telemetry.meter,
    everyMs: config.everyMs,
  });
  const connections = {
    name: 'connections',
    start: () => Promise.resolve(),
    stop: async () => {
      await Promise.all([bus.close(), metrics.close(), store.close(), telemetry.shutdown()]);
    },
  };
  const lifecycle = createLifecycle({ logger, clock }).add(connections).add(ops).add(autoscaler);
  await lifecycle.start();
  return lifecycle;
}
