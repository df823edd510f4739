/** Billing as a process of its own: connects what the configuration names, works until it is told to stop. */
import { systemClock } from '@poolmeter/domain';
import { openBus } from '@poolmeter/event-bus';
import { openMetricsStore, type MetricsStore } from '@poolmeter/metrics-store';
import { openRelationalStore } from '@poolmeter/relational-store';
import {
  createLifecycle,
  createLogger,
  createOpsServer,
  createTelemetry,
  nextStopSignal,
  type SignalSource,
} from '@poolmeter/service';
import { BILLING_PREFIX, type BillingProcessConfig } from './config.js';
import { createBilling } from './create-billing.js';
import type { BillingDatabase } from './database.js';
import type { WatchedPool } from './leases/watch-scheduler.js';
import { createEvidenceSource } from './metering/evidence.js';

export interface RunBillingOptions {
  readonly config: BillingProcessConfig;
  readonly schedulers?: readonly WatchedPool[];
  /** Where SIGTERM and SIGINT come from; the process itself when absent. */
  readonly signals?: SignalSource;
}

/** Resolves after a stop signal, when the work in hand is done. */
export async function runBilling({ config, schedulers = [], signals }: RunBillingOptions): Promise<void> {
  const logger = createLogger({ service: 'billing', level: config.logLevel });
  const telemetry = createTelemetry({ service: 'billing' });
  const bus = openBus(config, { clientId: 'poolmeter-billing', prefix: BILLING_PREFIX, logger });
  const metrics = openMetrics(config);
  const store = openRelationalStore<BillingDatabase>({ url: config.postgresUrl, applicationName: 'billing' });
  const readiness = [
    { name: 'bus', check: () => bus.ping() },
    { name: 'clickhouse', check: () => metrics.ping() },
    { name: 'postgres', check: () => store.ping() },
  ];
  const evidence = createEvidenceSource({ store: metrics, nowMs: () => systemClock.now() });
  const shared = { store, bus, evidence, clock: systemClock, logger, telemetry };
  const lifecycle = createLifecycle({ logger })
    .add(createOpsServer({ host: config.opsHost, port: config.opsPort, telemetry, readiness, logger }))
    .add(createBilling({ ...shared, settings: config, schedulers }));
  const stopped = nextStopSignal(signals);
  try {
    await lifecycle.start();
    logger.info({ signal: await stopped }, 'Stopping.');
  } finally {
    await lifecycle.stop();
    await bus.close();
    await metrics.close();
    await store.close();
    await telemetry.shutdown();
  }
}

function openMetrics(config: BillingProcessConfig): MetricsStore {
  return openMetricsStore({
    url: config.clickhouseUrl,
    database: config.clickhouseDatabase,
    username: config.clickhouseUsername,
    applicationName: 'billing',
    ...(config.clickhousePassword === undefined ? {} : { password: config.clickhousePassword }),
  });
}
