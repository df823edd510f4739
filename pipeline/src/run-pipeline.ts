/** The pipeline as a process of its own: connects what the configuration names, works until it is told to stop. */
import { systemClock } from '@poolmeter/domain';
import { openBus } from '@poolmeter/event-bus';
import { migrateMetricsStore, openMetricsStore } from '@poolmeter/metrics-store';
import {
  createLifecycle,
  createLogger,
  createOpsServer,
  createTelemetry,
  nextStopSignal,
  type SignalSource,
} from '@poolmeter/service';
import { PIPELINE_PREFIX, type PipelineProcessConfig } from './config.js';
import { createPipeline } from './create-pipeline.js';

export interface RunPipelineOptions {
  readonly config: PipelineProcessConfig;
  /** Where SIGTERM and SIGINT come from; the process itself when absent. */
  readonly signals?: SignalSource;
}

/** Resolves after a stop signal, when everything in hand is stored or noted for the next start. */
export async function runPipeline({ config, signals }: RunPipelineOptions): Promise<void> {
  const logger = createLogger({ service: 'pipeline', level: config.logLevel });
  const telemetry = createTelemetry({ service: 'pipeline' });
  const bus = openBus(config, { clientId: 'poolmeter-pipeline', prefix: PIPELINE_PREFIX, logger });
  const store = openMetricsStore({
    url: config.clickhouseUrl,
    database: config.clickhouseDatabase,
    username: config.clickhouseUsername,
    applicationName: 'pipeline',
    ...(config.clickhousePassword === undefined ? {} : { password: config.clickhousePassword }),
  });
  const pipeline = createPipeline({ bus, store, logger, telemetry, clock: systemClock, config });
  const readiness = [
    { name: 'bus', check: () => bus.ping() },
    { name: 'clickhouse', check: () => store.ping() },
    pipeline.readiness,
  ];
  const lifecycle = createLifecycle({ logger })
    .add(createOpsServer({ host: config.opsHost, port: config.opsPort, telemetry, readiness, logger }))
    .add(pipeline);
  const stopped = nextStopSignal(signals);
  try {
    await migrateMetricsStore(store);
    await lifecycle.start();
    logger.info({ signal: await stopped }, 'Stopping.');
  } finally {
    await lifecycle.stop();
    await bus.close();
    await store.close();
    await telemetry.shutdown();
  }
}
