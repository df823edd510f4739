import { busSettings } from '@poolmeter/event-bus';
import {
  defineConfig,
  durationMs,
  httpAddress,
  loadConfig,
  portNumber,
  secretText,
  wholeNumber,
} from '@poolmeter/service';
import { z } from 'zod';

export const BILLING_PREFIX = 'POOLMETER_BILLING';

/** How billing works, wherever it runs. */
const billingSettings = {
  leaseEventsGroup: z
    .string()
    .min(1)
    .default('poolmeter-billing')
    .describe('Consumer group of lease events.'),
  pipelineGroup: z
    .string()
    .min(1)
    .default('poolmeter-pipeline')
    .describe('Consumer group of the pipeline: an invoice is final only when it has read its period.'),
  partitions: wholeNumber
    .default(4)
    .describe('Partitions of a topic that this role creates; existing topics stay as they are.'),
  watchIntervalMs: durationMs.default(10_000).describe('From one look at a scheduler to the next.'),
  draftIntervalMs: durationMs
    .default(120_000)
    .describe('How often drafts of the running period are brought up to date.'),
  reconcileIntervalMs: durationMs
    .default(3_600_000)
    .describe('How often the books of this month and the last one are checked against their laws.'),
  graceMs: durationMs
    .default(86_400_000)
    .describe('From the end of a period to the first final invoice of it.'),
  positionWaitMs: durationMs
    .default(10_000)
    .describe('How long finalizing waits for readers of the bus that are nearly there.'),
};

const billingSettingsSchema = defineConfig(billingSettings);
export type BillingSettings = z.infer<typeof billingSettingsSchema>;

/** What billing uses when nothing is set. */
export function billingDefaults(): BillingSettings {
  return billingSettingsSchema.parse({});
}

/** Billing as a process of its own: what it connects to, besides how it works. */
export const billingConfigSchema = defineConfig({
  ...billingSettings,
  ...busSettings,
  pools: z
    .string()
    .min(1)
    .optional()
    .describe('The pools file: leases are read from the schedulers that it names. None when absent.'),
  postgresUrl: secretText.describe('postgres://USER:PASSWORD@HOST:PORT/DATABASE.'),
  clickhouseUrl: httpAddress.describe('ClickHouse over HTTP, such as http://127.0.0.1:8123.'),
  clickhouseDatabase: z.string().default('poolmeter'),
  clickhouseUsername: z.string().default('default'),
  clickhousePassword: secretText.optional(),
  opsHost: z.string().default('127.0.0.1'),
  opsPort: portNumber.default(9405).describe('Health and metrics of this process; 0 takes any free port.'),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
});

export type BillingProcessConfig = z.infer<typeof billingConfigSchema>;

export function loadBillingConfig(
  env: Readonly<Record<string, string | undefined>>,
  fileValues?: Record<string, unknown>,
): BillingProcessConfig {
  return loadConfig(billingConfigSchema, {
    env,
    prefix: BILLING_PREFIX,
    ...(fileValues === undefined ? {} : { fileValues }),
  });
}
