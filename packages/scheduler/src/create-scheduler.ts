/** Chooses the adapter that a pool's configuration names. */
import { PoolmeterError } from '@poolmeter/domain';
import type { PoolContext } from './pool-context.js';
import { schedulerConfigSchema, type SlurmConfig, type WebhookConfig } from './scheduler-config.js';
import type { Scheduler } from './scheduler.js';
import { secretSource } from './secret-source.js';
import { createSimulatorScheduler } from './simulator-scheduler.js';
import { createSlurmScheduler } from './slurm/slurm-scheduler.js';
import { createWebhookScheduler } from './webhook-scheduler.js';

/** The adapter for this configuration; throws `config.invalid` that names every fault. */
export function createScheduler(config: unknown, pool: PoolContext): Scheduler {
  const parsed = schedulerConfigSchema.safeParse(config, { reportInput: false });
  if (!parsed.success) {
    const kinds = schedulerConfigSchema.options.map((option) => option.shape.kind.value).join(', ');
    const faults = parsed.error.issues.map(
      (issue) => `${issue.path.join('.') || 'scheduler'}: ${issue.message}`,
    );
    throw new PoolmeterError(
      'config.invalid',
      `The scheduler of pool ${pool.id} cannot be used: ${faults.join('; ')}. Kinds that exist: ${kinds}.`,
      { details: { faults } },
    );
  }
  switch (parsed.data.kind) {
    case 'simulator': {
      const { url, token, timeout_s } = parsed.data;
      return createSimulatorScheduler({
        url,
        timeoutMs: timeout_s * 1_000,
        ...(token === undefined ? {} : { token }),
      });
    }
    case 'webhook':
      return webhookScheduler(parsed.data, pool);
    case 'slurm':
      return slurmScheduler(parsed.data, pool);
  }
}

function webhookScheduler(config: WebhookConfig, pool: PoolContext): Scheduler {
  if (config.secret === undefined && config.secret_file === undefined) {
    throw new PoolmeterError(
      'config.invalid',
      `The webhook of pool ${pool.id} has no secret: set scheduler.secret_file (or secret) in the pools file.`,
    );
  }
  return createWebhookScheduler(
    {
      url: config.url,
      secret: secretSource({ text: config.secret, file: config.secret_file }),
      capabilities: new Set(config.can),
      timeoutMs: config.timeout_s * 1_000,
      attempts: config.attempts,
    },
    pool,
  );
}

function slurmScheduler(config: SlurmConfig, pool: PoolContext): Scheduler {
  return createSlurmScheduler(
    {
      url: config.url,
      apiVersion: config.api_version,
      user: config.user,
      token: secretSource({ text: config.token, file: config.token_file }),
      partitions: config.partitions,
      gpuModels: config.gpu_models,
      pricingModes: config.pricing_modes,
      scontrol: config.scontrol,
      slurmConf: config.slurm_conf,
      holdPoweredDown: config.hold_powered_down,
      bootTimeoutMs: config.boot_timeout_s * 1_000,
      minJobAgeMs: config.min_job_age_s * 1_000,
      timeoutMs: config.timeout_s * 1_000,
    },
    pool,
  );
}
