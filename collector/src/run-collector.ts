/** The collector as a process of its own: connects what the configuration names, works until it is told to stop. */
import { PoolmeterError, systemClock } from '@poolmeter/domain';
import { openBus } from '@poolmeter/event-bus';
import {
  createLifecycle,
  createLogger,
  createOpsServer,
  createTelemetry,
  nextStopSignal,
  type SignalSource,
} from '@poolmeter/service';
import { topicOfProvider, topics } from '@poolmeter/telemetry-schema';
import { createCollector, type CollectorSettings } from './collector.js';
import { COLLECTOR_PREFIX, namedValue, type CollectorProcessConfig } from './config.js';

export interface RunCollectorOptions {
  readonly config: CollectorProcessConfig;
  /** Where SIGTERM and SIGINT come from; the process itself when absent. */
  readonly signals?: SignalSource;
}

/** Resolves after a stop signal, when everything in hand is on the bus or in the spool. */
export async function runCollector({ config, signals }: RunCollectorOptions): Promise<void> {
  const settings = collectorSettings(config);
  const logger = createLogger({ service: 'collector', level: config.logLevel });
  const telemetry = createTelemetry({ service: 'collector' });
  const bus = openBus(config, { clientId: 'poolmeter-collector', prefix: COLLECTOR_PREFIX, logger });
  const readiness = [{ name: 'bus', check: () => bus.ping() }];
  const lifecycle = createLifecycle({ logger })
    .add(createOpsServer({ host: config.opsHost, port: config.opsPort, telemetry, readiness, logger }))
    .add(createCollector({ bus, clock: systemClock, logger, telemetry, config: settings }));
  const stopped = nextStopSignal(signals);
  try {
    await lifecycle.start();
    logger.info({ signal: await stopped }, 'Stopping.');
  } finally {
    await lifecycle.stop();
    await bus.close();
    await telemetry.shutdown();
  }
}

/** What the process's settings mean for the collector in it. */
export function collectorSettings(config: CollectorProcessConfig): CollectorSettings {
  const { pool, providerId } = config;
  const targets = config.scrape
    .map(namedValue)
    .map(({ node, value }) => ({ url: value, node, pool, providerId }));
  const kernelLogs = config.kernelLogs
    .map(namedValue)
    .map(({ node, value }) => ({ file: value, node, pool, providerId }));
  if (targets.length === 0 && kernelLogs.length === 0) {
    throw new PoolmeterError(
      'config.invalid',
      'The collector has nothing to read: set POOLMETER_COLLECTOR_SCRAPE or POOLMETER_COLLECTOR_KERNEL_LOGS.',
    );
  }
  const nameless = kernelLogs.find((log) => log.node === undefined);
  if (nameless !== undefined && targets.length !== 1) {
    throw new PoolmeterError(
      'config.invalid',
      `Say which node wrote ${nameless.file}: POOLMETER_COLLECTOR_KERNEL_LOGS=NODE=${nameless.file}.`,
    );
  }
  return {
    targets,
    kernelLogs,
    intervalMs: config.scrapeIntervalMs,
    stateDir: config.stateDirectory,
    spoolMaxBytes: config.spoolMaxBytes,
    agent: config.agent,
    topicsOfProvider: config.providerTopics ? topicProviderOf(providerId) : undefined,
  };
}

/** A provider whose name cannot be part of a topic is refused at the start, not at the first sample. */
function topicProviderOf(providerId: string): string {
  topicOfProvider(topics.gpuSamples, providerId);
  return providerId;
}
