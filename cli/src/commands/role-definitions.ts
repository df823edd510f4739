/** The roles of a production installation: where each reads its settings and how it runs. */
import { createLogger, maskedConfig, nextStopSignal, type ConfigSchema } from '@poolmeter/service';
import type { AutoscalerConfig } from '@poolmeter/autoscaler';
import type { z } from 'zod';
import { openBus } from '@poolmeter/event-bus';

type Environment = Readonly<Record<string, string | undefined>>;
type FileValues = Record<string, unknown>;

export interface Role {
  readonly name: string;
  readonly prefix: string;
  readonly summary: string;
  /** Checks the settings; loads the role's code, which no other command needs. */
  readonly prepare: (env: Environment, fileValues: FileValues) => Promise<PreparedRole>;
}

export interface PreparedRole {
  readonly settings: Readonly<Record<string, unknown>>;
  /** As `--check-config` shows them. */
  readonly masked: Record<string, unknown>;
  readonly run: () => Promise<void>;
}

function prepared<S extends ConfigSchema>(
  schema: S,
  config: z.output<S>,
  run: (config: z.output<S>) => Promise<void>,
): PreparedRole {
  return {
    settings: config,
    masked: maskedConfig(schema, config),
    run: () => run(config),
  };
}

export const roles: readonly Role[] = [
  {
    name: 'collector',
    prefix: 'POOLMETER_COLLECTOR',
    summary: 'the agent: scrape exporters, follow kernel logs, publish',
    async prepare(env, file) {
      const app = await import('@poolmeter/collector');
      return prepared(app.collectorConfigSchema, app.loadCollectorConfig(env, file), (config) =>
        app.runCollector({ config }),
      );
    },
  },
  {
    name: 'pipeline',
    prefix: 'POOLMETER_PIPELINE',
    summary: 'carry samples, events and copies of rows from the bus into ClickHouse',
    async prepare(env, file) {
      const app = await import('@poolmeter/pipeline');
      return prepared(app.pipelineConfigSchema, app.loadPipelineConfig(env, file), (config) =>
        app.runPipeline({ config }),
      );
    },
  },
  {
    name: 'alerts',
    prefix: 'POOLMETER_ALERTS',
    summary: 'judge faults and keep incidents',
    async prepare(env, file) {
      const app = await import('@poolmeter/alerts');
      return prepared(app.alertsConfigSchema, app.loadAlertsConfig(env, file), (config) =>
        app.runAlerts({ config, secrets: env }),
      );
    },
  },
  {
    name: 'billing',
    prefix: 'POOLMETER_BILLING',
    summary: 'record leases, keep drafts of invoices up to date',
    async prepare(env, file) {
      const app = await import('@poolmeter/billing');
      return prepared(app.billingConfigSchema, app.loadBillingConfig(env, file), async (config) =>
        app.runBilling({ config, schedulers: await schedulersOf(config.pools) }),
      );
    },
  },
  {
    name: 'autoscaler',
    prefix: 'POOLMETER_AUTOSCALER',
    summary: 'watch pools, decide, and act as far as it may',
    async prepare(env, file) {
      const app = await import('@poolmeter/autoscaler');
      return prepared(app.autoscalerConfigSchema, app.loadAutoscalerConfig(env, file), runAutoscaler);
    },
  },
  {
    name: 'api',
    prefix: 'POOLMETER_API',
    summary: 'serve the HTTP API and the console',
    async prepare(env, file) {
      const app = await import('./api-role.js');
      return prepared(app.apiConfigSchema, app.loadApiConfig(env, file), app.runApi);
    },
  },
];

/** The schedulers that leases are read from; pools without one tell nothing. */
async function schedulersOf(poolsFile: string | undefined) {
  if (poolsFile === undefined) return [];
  const [{ loadPools }, { createScheduler }] = await Promise.all([
    import('@poolmeter/autoscaler'),
    import('@poolmeter/scheduler'),
  ]);
  const pools = await loadPools(poolsFile);
  return pools
    .filter((pool) => pool.scheduler !== undefined)
    .map((pool) => ({ pool: pool.id, scheduler: createScheduler(pool.scheduler, pool) }));
}

async function runAutoscaler(config: AutoscalerConfig): Promise<void> {
  const app = await import('@poolmeter/autoscaler');
  const logger = createLogger({ service: 'autoscaler', level: config.logLevel });
  const of = { clientId: 'poolmeter-autoscaler', prefix: app.AUTOSCALER_PREFIX, logger };
  const stopped = nextStopSignal();
  const lifecycle = await app.runAutoscaler({
    config,
    openBus: (settings) => Promise.resolve(openBus(settings, of)),
  });
  logger.info({ signal: await stopped }, 'Stopping.');
  await lifecycle.stop();
}
