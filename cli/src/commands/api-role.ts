/** The API as a process of its own: the same origin as in `poolmeter up`, over servers that run elsewhere. */
import { systemClock } from '@poolmeter/domain';
import { createApiServer } from '@poolmeter/http-api';
import {
  createLifecycle,
  createLogger,
  createTelemetry,
  defineConfig,
  durationMs,
  loadConfig,
  nextStopSignal,
  portNumber,
  secretText,
} from '@poolmeter/service';
import { z } from 'zod';
import { busSettings, openBus } from '@poolmeter/event-bus';
import { createOrigin } from '../up/api.js';
import { openStores } from '../up/services.js';

export const API_PREFIX = 'POOLMETER_API';

export const apiConfigSchema = defineConfig({
  host: z.string().min(1).default('127.0.0.1').describe('Address to listen on.'),
  port: portNumber.default(8080).describe('0 takes any free port.'),
  postgresUrl: secretText.describe('postgres://USER:PASSWORD@HOST:PORT/DATABASE.'),
  ...busSettings,
  clickhouseUrl: z
    .url({ protocol: /^https?$/ })
    .describe('ClickHouse over HTTP, such as http://127.0.0.1:8123.'),
  clickhouseDatabase: z.string().min(1).default('poolmeter'),
  clickhouseUsername: z.string().min(1).default('default'),
  clickhousePassword: secretText.optional(),
  clickhouseReaderUsername: z
    .string()
    .min(1)
    .optional()
    .describe('A user that may only read, for dashboard panels.'),
  clickhouseReaderPassword: secretText.optional(),
  scrapeIntervalMs: durationMs
    .default(10_000)
    .describe('How often agents scrape: a GPU that is silent for longer counts as unknown.'),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
});

export type ApiConfig = z.infer<typeof apiConfigSchema>;

export function loadApiConfig(
  env: Readonly<Record<string, string | undefined>>,
  fileValues: Record<string, unknown>,
): ApiConfig {
  return loadConfig(apiConfigSchema, { env, prefix: API_PREFIX, fileValues });
}

/** Resolves after a stop signal, when the requests in hand are answered. */
export async function runApi(config: ApiConfig): Promise<void> {
  const logger = createLogger({ service: 'api', level: config.logLevel });
  const telemetry = createTelemetry({ service: 'api' });
  const bus = openBus(config, { clientId: 'poolmeter-api', prefix: API_PREFIX, logger });
  const stores = openStores({
    bus,
    clickhouse: clickhouseOf(config),
    postgresUrl: config.postgresUrl,
    stop: () => bus.close(),
  });
  const readiness = [
    { name: 'event bus', check: () => bus.ping() },
    { name: 'ClickHouse', check: () => stores.metrics.ping() },
    { name: 'PostgreSQL', check: () => stores.access.ping() },
  ];
  const { scrapeIntervalMs, host, port } = config;
  const stopped = nextStopSignal();
  const lifecycle = createLifecycle({ logger });
  try {
    const origin = createOrigin({
      stores,
      bus,
      readiness,
      clock: systemClock,
      logger,
      telemetry,
      scrapeIntervalMs,
    });
    const server = createApiServer({ api: origin.api, host, port, portSetting: 'POOLMETER_API_PORT' });
    lifecycle.add(server).add(origin.housekeeping);
    await lifecycle.start();
    logger.info({ url: server.url }, 'The API is ready.');
    logger.info({ signal: await stopped }, 'Stopping.');
  } finally {
    await lifecycle.stop();
    await stores.close();
    await bus.close();
    await telemetry.shutdown();
  }
}

function clickhouseOf(config: ApiConfig) {
  const { clickhouseUrl: url, clickhouseDatabase: database, clickhouseReaderUsername: reader } = config;
  return {
    database,
    url: withUser(url, config.clickhouseUsername, config.clickhousePassword),
    readerUrl: reader === undefined ? undefined : withUser(url, reader, config.clickhouseReaderPassword),
  };
}

function withUser(address: string, username: string, password: string | undefined): string {
  const url = new URL(address);
  url.username = username;
  url.password = password ?? '';
  return url.href;
}
