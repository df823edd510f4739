/** Chooses the adapter that a pool's configuration names. */
import { PoolmeterError } from '@poolmeter/domain';
import { z } from 'zod';
import type { Scheduler } from './scheduler.js';
import { createSimulatorScheduler } from './simulator-scheduler.js';

const httpUrl = z
  .string()
  .refine(
    (text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol),
    'write an http or https URL',
  );

/** The `scheduler` of a pool in pools.yaml; one member per adapter that exists. */
export const schedulerConfigSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('simulator'),
    url: httpUrl,
    token: z.string().min(1).optional(),
    timeoutMs: z.int().min(1).max(600_000).optional(),
  }),
]);

export type SchedulerConfig = z.infer<typeof schedulerConfigSchema>;

/** The adapter for this configuration; throws `config.invalid` that names every fault. */
export function createScheduler(config: unknown): Scheduler {
  const parsed = schedulerConfigSchema.safeParse(config, { reportInput: false });
  if (!parsed.success) {
    const kinds = schedulerConfigSchema.options.map((option) => option.shape.kind.value).join(', ');
    const faults = parsed.error.issues.map(
      (issue) => `${issue.path.join('.') || 'scheduler'}: ${issue.message}`,
    );
    throw new PoolmeterError(
      'config.invalid',
      `A pool's scheduler cannot be used: ${faults.join('; ')}. Kinds that exist: ${kinds}.`,
      { details: { faults } },
    );
  }
  const { url, token, timeoutMs } = parsed.data;
  return createSimulatorScheduler({
    url,
    ...(token === undefined ? {} : { token }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });
}
