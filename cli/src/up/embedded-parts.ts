/** The three parts that a pool's software stands on: bus, ClickHouse, PostgreSQL; embedded unless an address is given. */
import { systemClock } from '@poolmeter/domain';
import { createKafkaBus, createLogBus, type EventBus } from '@poolmeter/event-bus';
import {
  applyReaderUser,
  applyRetention,
  migrateMetricsStore,
  openMetricsStore,
  startEmbeddedClickHouse,
  type AppliedMigration,
  type ChangedRetention,
  type ReaderUser,
  type RetentionDays,
} from '@poolmeter/metrics-store';
import { runMigrations, startEmbeddedPostgres } from '@poolmeter/relational-store';
import type { Logger } from '@poolmeter/service';
import type { DataFolder } from '../data-folder.js';
import { migrationSets } from '../migration-sets.js';
import type { UpOptions } from './up-options.js';

export interface Parts {
  readonly bus: EventBus;
  readonly clickhouse: {
    readonly url: string;
    readonly database: string;
    readonly readerUrl: string | undefined;
  };
  readonly postgresUrl: string;
  /** What stops them, in the order of need. */
  stop(): Promise<void>;
}

interface StartedPart<T> {
  readonly value: T;
  stop(): Promise<void>;
}

type ClickHousePart = Parts['clickhouse'];

const DATABASE = 'poolmeter';
const ENGINE_MEMORY_BYTES = 600_000_000;

/** Starts what is embedded, connects to what is not, and migrates both stores. What was started is stopped on a fault. */
export async function startParts(options: UpOptions, folder: DataFolder, logger: Logger): Promise<Parts> {
  const bus = openBus(options, folder, logger);
  const starting = [
    startClickHouse(options, folder, logger),
    startPostgres(options, folder, logger),
  ] as const;
  const [clickhouse, postgres] = await Promise.allSettled(starting);
  if (clickhouse.status === 'rejected' || postgres.status === 'rejected') {
    await bus.close();
    for (const part of [clickhouse, postgres]) if (part.status === 'fulfilled') await part.value.stop();
    throw clickhouse.status === 'rejected' ? clickhouse.reason : (postgres as PromiseRejectedResult).reason;
  }
  return {
    bus,
    clickhouse: clickhouse.value.value,
    postgresUrl: postgres.value.value,
    async stop() {
      await bus.close();
      await Promise.all([clickhouse.value.stop(), postgres.value.stop()]);
    },
  };
}

function openBus(options: UpOptions, folder: DataFolder, logger: Logger): EventBus {
  return options.kafka === undefined
    ? createLogBus({ directory: folder.of('bus'), logger, clock: systemClock })
    : createKafkaBus({ brokers: options.kafka, clientId: 'poolmeter', logger });
}

async function startClickHouse(
  options: UpOptions,
  folder: DataFolder,
  logger: Logger,
): Promise<StartedPart<ClickHousePart>> {
  if (options.clickhouse !== undefined) {
    const given = { url: options.clickhouse, database: DATABASE, readerUrl: undefined };
    await migrateClickHouse(given);
    return { value: given, stop: () => Promise.resolve() };
  }
  const server = await startEmbeddedClickHouse({
    dataDir: folder.of('clickhouse'),
    logger,
    memoryLimitBytes: ENGINE_MEMORY_BYTES,
  });
  const { username, password, reader } = server;
  const value = {
    url: withCredentials(server.url, { username, password }),
    database: server.database,
    readerUrl: withCredentials(server.url, reader),
  };
  try {
    await migrateClickHouse(value);
  } catch (fault) {
    await server.stop();
    throw fault;
  }
  return { value, stop: () => server.stop() };
}

interface MigratedClickHouse {
  readonly url: string;
  readonly database: string;
  readonly cluster?: string | undefined;
  /** What is absent stays as the store has it. */
  readonly retention?: RetentionDays;
  /** Created, or brought to its limits. */
  readonly reader?: ReaderUser | undefined;
}

/** Creates the database when it is missing and brings it forward; tells what it found and what it changed. */
export async function migrateClickHouse({
  url,
  database,
  cluster,
  retention = {},
  reader,
}: MigratedClickHouse): Promise<{ applied: AppliedMigration[]; changed: ChangedRetention[] }> {
  const store = openMetricsStore({ url, database, applicationName: 'migrate' });
  try {
    const applied = await migrateMetricsStore(store, { cluster });
    const changed = await applyRetention(store, { days: retention, cluster });
    if (reader !== undefined) await applyReaderUser(store, reader, cluster);
    return { applied, changed };
  } finally {
    await store.close();
  }
}

async function startPostgres(
  options: UpOptions,
  folder: DataFolder,
  logger: Logger,
): Promise<StartedPart<string>> {
  if (options.postgres !== undefined) {
    await runMigrations({ url: options.postgres, sets: migrationSets });
    return { value: options.postgres, stop: () => Promise.resolve() };
  }
  const server = await startEmbeddedPostgres({ dataDir: folder.of('postgres'), logger });
  try {
    await runMigrations({ url: server.url, sets: migrationSets });
  } catch (fault) {
    await server.stop();
    throw fault;
  }
  return { value: server.url, stop: () => server.stop() };
}

function withCredentials(address: string, user: { username: string; password: string }): string {
  const url = new URL(address);
  url.username = user.username;
  url.password = user.password;
  return url.href;
}
