/** The fault monitor as a process: connects what the configuration names, works until it is told to stop. */
import { systemClock } from '@poolmeter/domain';
import { openBus } from '@poolmeter/event-bus';
import { openMetricsStore } from '@poolmeter/metrics-store';
import { createOutboxRelay, openRelationalStore, runMigrations } from '@poolmeter/relational-store';
import {
  createLifecycle,
  createLogger,
  createOpsServer,
  createTelemetry,
  nextStopSignal,
  type SignalSource,
} from '@poolmeter/service';
import { topics } from '@poolmeter/telemetry-schema';
import { ALERTS_PREFIX, type AlertsConfig } from './config.js';
import { createFaultMonitor } from './monitor/fault-monitor.js';
import { loadNotifications } from './notify/channels.js';
import { createNotifier } from './notify/notifier.js';
import { defaultPolicyFile, loadFaultPolicy } from './policy/load-policy.js';
import { alertsMigrations, type AlertsDatabase } from './store/alerts-database.js';

export interface RunAlertsOptions {
  readonly config: AlertsConfig;
  /** Where SIGTERM and SIGINT come from; the process itself when absent. */
  readonly signals?: SignalSource;
  /** Secrets of channels by the names that the file of channels gives: the environment. */
  readonly secrets: Readonly<Record<string, string | undefined>>;
}

/** Resolves after a stop signal, when everything in hand is stored. */
export async function runAlerts(options: RunAlertsOptions): Promise<void> {
  const { config, signals } = options;
  const policy = loadFaultPolicy(config.policyFile ?? defaultPolicyFile);
  const notifications =
    config.notificationsFile === undefined ? undefined : loadNotifications(config.notificationsFile);
  const logger = createLogger({ service: 'alerts', level: config.logLevel });
  const telemetry = createTelemetry({ service: 'alerts' });
  const bus = openBus(config, { clientId: 'poolmeter-alerts', prefix: ALERTS_PREFIX, logger });
  const store = openMetricsStore({
    url: config.clickhouseUrl,
    database: config.clickhouseDatabase,
    username: config.clickhouseUsername,
    applicationName: 'alerts',
    ...(config.clickhousePassword === undefined ? {} : { password: config.clickhousePassword }),
  });
  const relational = openRelationalStore<AlertsDatabase>({
    url: config.postgresUrl,
    applicationName: 'poolmeter-alerts',
  });
  const readiness = [
    { name: 'bus', check: () => bus.ping() },
    { name: 'clickhouse', check: () => store.ping() },
    { name: 'postgres', check: () => relational.ping() },
  ];
  const clock = systemClock;
  const lifecycle = createLifecycle({ logger })
    .add(createOpsServer({ host: config.opsHost, port: config.opsPort, telemetry, readiness, logger }))
    .add(
      createOutboxRelay({
        store: relational,
        schema: 'alerts',
        publish: (topic, messages) => bus.publish(topic, messages),
        logger,
      }),
    )
    .add(createFaultMonitor({ store, relational, clock, logger, telemetry, policy, config }));
  if (notifications !== undefined) {
    const { secrets } = options;
    lifecycle.add(createNotifier({ relational, notifications, secrets, clock, logger, telemetry }));
  }
  const stopped = nextStopSignal(signals);
  try {
    await runMigrations({ url: config.postgresUrl, sets: [alertsMigrations] });
    await bus.ensureTopics([{ name: topics.incidents, partitions: config.partitions }]);
    await lifecycle.start();
    logger.info({ signal: await stopped }, 'Stopping.');
  } finally {
    await lifecycle.stop();
    await bus.close();
    await store.close();
    await relational.close();
    await telemetry.shutdown();
  }
}
