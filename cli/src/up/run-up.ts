/** `poolmeter up`: the whole product in one place, in the order in which it depends on itself. */
import { systemClock } from '@poolmeter/domain';
import { createApiServer } from '@poolmeter/http-api';
import { pipelineDefaults } from '@poolmeter/pipeline';
import { createSimulatedPool } from '@poolmeter/pool-simulator';
import {
  createLifecycle,
  createLogger,
  createTelemetry,
  nextStopSignal,
  type Logger,
  type Telemetry,
} from '@poolmeter/service';
import { topics } from '@poolmeter/telemetry-schema';
import { mkdirSync } from 'node:fs';
import { openDataFolder, type DataFolder } from '../data-folder.js';
import { writeEndpoint } from '../endpoint-file.js';
import { createOrigin, type Origin } from './api.js';
import { createBackFill } from './back-fill.js';
import { createDemoMoney } from './demo-money.js';
import { createDemoPool, type DemoPool } from './demo-pool.js';
import { loadDemoState, type DemoState } from './demo-state.js';
import { startParts, type Parts } from './embedded-parts.js';
import { localToken, type LocalToken } from './local-token.js';
import { openLogFile } from './log-file.js';
import { poolsOf } from './pools-of.js';
import { createProgress } from './progress.js';
import { createRealAgents } from './real-agents.js';
import { createServices, createUpPipeline, openStores } from './services.js';
import type { UpOptions } from './up-options.js';

export interface UpTerminal {
  /** Where the one line that says "ready" goes. */
  print(line: string): void;
  readonly isTerminal: boolean;
}

interface Demo {
  readonly state: DemoState;
  readonly statePath: string;
  readonly pool: DemoPool;
  readonly poolId: string;
}

/** One process reads everything: more partitions would only make smaller inserts. Kafka's own number stays as it is. */
const TOPIC_PARTITIONS = 1;

/** Resolves after SIGTERM or SIGINT, when everything in hand is stored and every child is gone. */
export async function runUp(options: UpOptions, terminal: UpTerminal): Promise<void> {
  const stopped = nextStopSignal();
  const folder = await openDataFolder(options.dataDir);
  const log = openLogFile(folder.of('poolmeter.log'));
  const logger = createLogger({ service: 'poolmeter', level: options.logLevel, destination: log.stream });
  const telemetry = createTelemetry({ service: 'poolmeter' });
  let parts: Parts | undefined;
  try {
    parts = await startParts(options, folder, logger);
    await runOnParts({ options, folder, logger, telemetry, parts, terminal, stopped });
  } finally {
    await parts?.stop();
    await telemetry.shutdown();
    await folder.release();
    log.close();
  }
}

interface Running {
  readonly options: UpOptions;
  readonly folder: DataFolder;
  readonly logger: Logger;
  readonly telemetry: Telemetry;
  readonly parts: Parts;
  readonly terminal: UpTerminal;
  readonly stopped: Promise<unknown>;
}

async function runOnParts(running: Running): Promise<void> {
  const { options, logger, telemetry, parts, stopped } = running;
  const clock = systemClock;
  await parts.bus.ensureTopics(Object.values(topics).map((name) => ({ name, partitions: TOPIC_PARTITIONS })));
  const stores = openStores(parts);
  const pipeline = createUpPipeline({ parts, stores, clock, logger, telemetry });
  const origin = createOrigin({
    bus: parts.bus,
    stores,
    readiness: [...readinessOf(parts, stores), pipeline.readiness],
    clock,
    logger,
    telemetry,
    scrapeIntervalMs: options.scrapeIntervalMs,
  });
  const server = createApiServer({
    api: origin.api,
    host: options.host,
    port: options.port,
    portSetting: '--port',
  });
  const lifecycle = createLifecycle({ logger }).add(server).add(origin.housekeeping);
  const local = await localToken(running.folder.path, origin.tokens);
  const demo = options.demo ? await prepareDemo(running) : undefined;
  if (demo !== undefined) lifecycle.add(createDemoMoney(() => ({ url: server.url, token: local.token })));
  try {
    // The demo's scheduler must listen before pools can name it.
    await demo?.pool.start();
    const pools = await poolsOf(options, demo && { pool: demo.poolId, schedulerUrl: demo.pool.schedulerUrl });
    for (const service of createServices({ parts, stores, pipeline, pools, clock, logger, telemetry }))
      lifecycle.add(service);
    if (!options.demo && options.scrape.length + options.kernelLogs.length > 0) {
      lifecycle.add(
        createRealAgents({
          options,
          pools,
          bus: parts.bus,
          clock,
          logger,
          telemetry,
          stateDir: running.folder.of('agent'),
        }),
      );
    }
    if (demo !== undefined) lifecycle.add(backFillOf(demo, running));
    await lifecycle.start();
    await announce(running, { origin, local, url: server.url });
    logger.info({ signal: await stopped }, 'Stopping.');
  } finally {
    await lifecycle.stop();
    await demo?.pool.stop();
    await stores.close();
  }
}

function readinessOf(parts: Parts, stores: ReturnType<typeof openStores>) {
  return [
    { name: 'event bus', check: () => parts.bus.ping() },
    { name: 'ClickHouse', check: () => stores.metrics.ping() },
    { name: 'PostgreSQL', check: () => stores.access.ping() },
  ];
}

async function prepareDemo({ options, folder, logger, telemetry, parts }: Running): Promise<Demo> {
  const directory = (...more: string[]) => folder.of('demo', ...more);
  mkdirSync(directory(), { recursive: true });
  const statePath = directory('demo.json');
  const clock = systemClock;
  const state = await loadDemoState(statePath, clock);
  const pool = createSimulatedPool({
    seed: state.seed,
    startAt: state.start_at_ms,
    journalFile: directory('actions.jsonl'),
  });
  const served = createDemoPool({
    pool,
    bus: parts.bus,
    clock,
    logger,
    telemetry,
    intervalMs: options.scrapeIntervalMs,
    directory,
  });
  return { state, statePath, pool: served, poolId: pool.shape.pool };
}

function backFillOf({ state, statePath }: Demo, { parts, logger, terminal }: Running) {
  const progress = createProgress('Filling in the last 7 days (demo)', {
    terminal: terminal.isTerminal,
    logger,
  });
  return createBackFill({
    state,
    statePath,
    readerGroup: pipelineDefaults().group,
    bus: parts.bus,
    clock: systemClock,
    logger,
    progress,
  });
}

async function announce(
  { folder, parts, terminal }: Running,
  { origin, local, url }: { origin: Origin; local: LocalToken; url: string },
): Promise<void> {
  const { clickhouse, postgresUrl } = parts;
  await writeEndpoint(folder.path, {
    url,
    token: local.token,
    clickhouse: {
      url: clickhouse.url,
      database: clickhouse.database,
      ...(clickhouse.readerUrl === undefined ? {} : { reader_url: clickhouse.readerUrl }),
    },
    postgres: postgresUrl,
    pid: process.pid,
  });
  const link = new URL(await origin.signIn.createLink(local.id), url).href;
  terminal.print(`poolmeter is ready at ${new URL('/', url).href} (sign in once with ${link})`);
}
