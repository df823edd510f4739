/** The fault monitor as a process of its own: what it connects to, besides how it works. */
import { busSettings } from '@poolmeter/event-bus';
import {
  defineConfig,
  httpAddress,
  loadConfig,
  portNumber,
  secretText,
  wholeNumber,
} from '@poolmeter/service';
import { z } from 'zod';
import { monitorSettings } from './monitor/monitor-config.js';

export const ALERTS_PREFIX = 'POOLMETER_ALERTS';

export const alertsConfigSchema = defineConfig({
  ...monitorSettings,
  policyFile: z.string().optional().describe('Fault policy (YAML); the policy that ships when absent.'),
  notificationsFile: z
    .string()
    .optional()
    .describe('Channels of notifications (YAML); nobody is told when absent.'),
  partitions: wholeNumber
    .default(4)
    .describe('Partitions of the topic of incidents, should it have to be created.'),
  ...busSettings,
  clickhouseUrl: httpAddress.describe('ClickHouse over HTTP, such as http://127.0.0.1:8123.'),
  clickhouseDatabase: z.string().default('poolmeter'),
  clickhouseUsername: z.string().default('default'),
  clickhousePassword: secretText.optional(),
  postgresUrl: secretText.describe('PostgreSQL, postgres://user:password@host:5432/poolmeter.'),
  opsHost: z.string().default('127.0.0.1'),
  opsPort: portNumber.default(9403).describe('Health and metrics of this process; 0 takes any free port.'),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
});

export type AlertsConfig = z.output<typeof alertsConfigSchema>;

export function loadAlertsConfig(
  env: Readonly<Record<string, string | undefined>>,
  fileValues?: Record<string, unknown>,
): AlertsConfig {
  return loadConfig(alertsConfigSchema, {
    env,
    prefix: ALERTS_PREFIX,
    ...(fileValues === undefined ? {} : { fileValues }),
  });
}
