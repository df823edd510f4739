/** The settings of the autoscaler as a process of its own: `POOLMETER_AUTOSCALER_…`. */
import { busSettings } from '@poolmeter/event-bus';
import {
  defineConfig,
  durationMs,
  httpAddress,
  loadConfig,
  portNumber,
  secretText,
} from '@poolmeter/service';
import { z } from 'zod';

export const AUTOSCALER_PREFIX = 'POOLMETER_AUTOSCALER';

export const autoscalerConfigSchema = defineConfig({
  pools: z.string().min(1).describe('The pools file, such as pools.yaml.'),
  everyMs: durationMs.default(15_000).describe('From one look at a pool to the next.'),
  ...busSettings,
  postgresUrl: secretText.describe('postgres://USER:PASSWORD@HOST:PORT/DATABASE.'),
  clickhouseUrl: httpAddress.describe('ClickHouse over HTTP, such as http://127.0.0.1:8123.'),
  clickhouseDatabase: z.string().default('poolmeter'),
  clickhouseUsername: z.string().default('default'),
  clickhousePassword: secretText.optional(),
  opsHost: z.string().default('127.0.0.1'),
  opsPort: portNumber.default(9404).describe('Health and metrics of this process; 0 takes any free port.'),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
});

export type AutoscalerConfig = z.infer<typeof autoscalerConfigSchema>;

export function loadAutoscalerConfig(
  env: Readonly<Record<string, string | undefined>>,
  fileValues?: Readonly<Record<string, unknown>>,
): AutoscalerConfig {
  return loadConfig(autoscalerConfigSchema, {
    env,
    prefix: AUTOSCALER_PREFIX,
    ...(fileValues === undefined ? {} : { fileValues }),
  });
}
