/** The stores that a backup is taken of or restored into: servers that are named, or those of a data folder. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isPoolmeterError, PoolmeterError } from '@poolmeter/domain';
import { createKafkaBus, createLogBus, type EventBus } from '@poolmeter/event-bus';
import { startEmbeddedClickHouse } from '@poolmeter/metrics-store';
import { startEmbeddedPostgres } from '@poolmeter/relational-store';
import { createLogger, type Logger } from '@poolmeter/service';
import { openDataFolder, type DataFolder } from '../data-folder.js';
import { readEndpoint } from '../endpoint-file.js';

export interface PlaceFlags {
  readonly dataDir: string;
  readonly clickhouse?: string;
  readonly postgres?: string;
  readonly kafka?: string;
}

export interface Places {
  /** With the credentials. */
  readonly clickhouse: { readonly url: string; readonly database: string };
  readonly postgres: string;
  readonly bus: EventBus | undefined;
  close(): Promise<void>;
}

const DATABASE = 'poolmeter';
const logger = () => createLogger({ service: 'backup', level: 'error' });

/** What holds data now: named servers, else a running `up`, else the stores of a folder whose `up` is stopped. */
export async function placesToRead(flags: PlaceFlags): Promise<Places> {
  const named = namedServers(flags);
  if (named !== undefined) return { ...named, ...busOf(flags, undefined) };
  const hasStores = await stat(join(flags.dataDir, 'clickhouse')).catch(() => undefined);
  const endpoint = hasStores === undefined ? undefined : await runningEndpoint(flags.dataDir);
  if (endpoint !== undefined) {
    return {
      clickhouse: endpoint.clickhouse,
      postgres: endpoint.postgres,
      ...busOf(flags, join(flags.dataDir, 'bus')),
    };
  }
  if (hasStores === undefined) {
    throw new PoolmeterError(
      'input.invalid',
      `${flags.dataDir} holds no data of poolmeter: name the folder with --data-dir, or the servers with --clickhouse and --postgres.`,
    );
  }
  return embeddedPlaces(flags);
}

/** What is to be filled: named servers, else a data folder that nobody uses. */
export async function placesToFill(flags: PlaceFlags): Promise<Places> {
  const named = namedServers(flags);
  if (named !== undefined) return { ...named, bus: undefined, close: () => Promise.resolve() };
  return embeddedPlaces({ dataDir: flags.dataDir });
}

function namedServers({
  clickhouse,
  postgres,
}: PlaceFlags): Pick<Places, 'clickhouse' | 'postgres'> | undefined {
  if (clickhouse === undefined && postgres === undefined) return undefined;
  if (clickhouse === undefined || postgres === undefined) {
    throw new PoolmeterError('config.invalid', 'Name both --clickhouse and --postgres, or neither.');
  }
  return { clickhouse: { url: clickhouse, database: DATABASE }, postgres };
}

/** The endpoint of an `up` that holds the folder; undefined when nobody does. */
async function runningEndpoint(dataDir: string) {
  try {
    const folder = await openDataFolder(dataDir);
    await folder.release();
    return undefined;
  } catch (fault) {
    if (!isPoolmeterError(fault) || fault.code !== 'storage.locked') throw fault;
    const endpoint = await readEndpoint(dataDir);
    if (endpoint !== undefined) return endpoint;
    throw new PoolmeterError(
      'dependency.unavailable',
      `"poolmeter up" in ${dataDir} is still starting: try again.`,
      {
        retriable: true,
      },
    );
  }
}

function busOf({ kafka }: PlaceFlags, logDirectory: string | undefined): Pick<Places, 'bus' | 'close'> {
  const brokers = kafka?.split(',').map((one) => one.trim());
  const bus =
    brokers !== undefined
      ? createKafkaBus({ brokers, clientId: 'poolmeter-backup', logger: logger() })
      : logDirectory === undefined
        ? undefined
        : createLogBus({ directory: logDirectory, logger: logger() });
  return { bus, close: async () => bus?.close() };
}

async function embeddedPlaces(flags: PlaceFlags): Promise<Places> {
  const folder = await openDataFolder(flags.dataDir);
  try {
    return await startedIn(folder, flags, logger());
  } catch (fault) {
    await folder.release();
    throw fault;
  }
}

async function startedIn(folder: DataFolder, flags: PlaceFlags, log: Logger): Promise<Places> {
  const clickhouse = await startEmbeddedClickHouse({ dataDir: folder.of('clickhouse'), logger: log });
  try {
    const postgres = await startEmbeddedPostgres({ dataDir: folder.of('postgres'), logger: log });
    const address = new URL(clickhouse.url);
    address.username = clickhouse.username;
    address.password = clickhouse.password;
    const { bus, close } = busOf(flags, folder.of('bus'));
    return {
      clickhouse: { url: address.href, database: clickhouse.database },
      postgres: postgres.url,
      bus,
      close: async () => {
        await close();
        await Promise.all([clickhouse.stop(), postgres.stop()]);
        await folder.release();
      },
    };
  } catch (fault) {
    await clickhouse.stop();
    throw fault;
  }
}
