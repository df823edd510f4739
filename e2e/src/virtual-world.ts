/** The whole product on embedded parts in a temporary folder, with time that moves only when a test moves it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as realPause } from 'node:timers/promises';
import type { Pool } from '@poolmeter/autoscaler';
import { defaultScalingPolicy } from '@poolmeter/autoscaler';
import { instantFromMs, ManualClock, type EpochMs } from '@poolmeter/domain';
import { createSimulatedPool, servePool, type PoolShape, type Scenario } from '@poolmeter/pool-simulator';
import { createLifecycle, createLogger, createTelemetry } from '@poolmeter/service';
import { topics } from '@poolmeter/telemetry-schema';
import {
  createOrigin,
  createServices,
  createUpPipeline,
  historyChunks,
  openDataFolder,
  openStores,
  startParts,
  upOptions,
  type HistoryChunk,
  type Stores,
} from 'poolmeter';

export interface VirtualWorldOptions {
  readonly startAt: EpochMs;
  readonly until: EpochMs;
  readonly shape: PoolShape;
  readonly scenario: Scenario;
  readonly stepMs: number;
}

export interface VirtualWorld {
  readonly stores: Stores;
  /** Lets the world go on until `at`, scrape by scrape, as fast as the stores take it. */
  runUntil(at: EpochMs): Promise<void>;
  /** Moves the clock on second by second until `probe` answers something; fails after `limitMs` of real time. */
  waitFor<T>(what: string, probe: () => Promise<T | undefined>): Promise<T>;
  jumpTo(at: EpochMs): void;
  get<T>(path: string): Promise<T>;
  post<T>(path: string, body?: unknown): Promise<T>;
  stop(): Promise<void>;
}

const WAIT_LIMIT_MS = 20_000;
const SETTLE_MS = 12;
/** Real time between two steps of a wait, and how far the world moves with each of them. */
const PAUSE_OF_WAITS_MS = 50;
const STEP_OF_WAITS_MS = 500;

export async function openVirtualWorld(options: VirtualWorldOptions): Promise<VirtualWorld> {
  const dataDir = await mkdtemp(join(tmpdir(), 'poolmeter-e2e-'));
  const logger = createLogger({ service: 'e2e', level: 'error' });
  const telemetry = createTelemetry({ service: 'e2e' });
  const clock = new ManualClock(options.startAt);
  const folder = await openDataFolder(dataDir);
  const flags = {
    dataDir,
    host: '127.0.0.1',
    port: '0',
    scrape: [],
    kernelLog: [],
    scrapeInterval: '10s',
    logLevel: 'error',
  };
  const parts = await startParts(upOptions(flags), folder, logger);
  await parts.bus.ensureTopics(Object.values(topics).map((name) => ({ name, partitions: 2 })));
  const stores = openStores(parts);
  const { shape, scenario, startAt } = options;
  const served = servePool({
    pool: createSimulatedPool({ seed: 7, startAt, shape, scenario }),
    clock,
    logger,
    kernelLogDir: folder.of('kernel-log'),
  });
  await served.start();
  const pool: Pool = {
    id: shape.pool,
    nodePatterns: ['*'],
    providerId: 'north',
    scheduler: { kind: 'simulator', url: served.schedulerUrl },
    mode: 'recommend',
    policy: defaultScalingPolicy,
  };
  const pipeline = createUpPipeline({ parts, stores, clock, logger, telemetry });
  const origin = createOrigin({
    bus: parts.bus,
    stores,
    readiness: [pipeline.readiness],
    clock,
    logger,
    telemetry,
    scrapeIntervalMs: options.stepMs,
  });
  const { token } = await origin.tokens.create({ name: 'e2e', scopes: ['*'], binding: { kind: 'operator' } });
  const lifecycle = createLifecycle({ logger });
  for (const service of createServices({ parts, stores, pipeline, pools: [pool], clock, logger, telemetry }))
    lifecycle.add(service);
  await lifecycle.start();

  const history = historyChunks({
    pool: createSimulatedPool({ seed: 7, startAt, shape, scenario }),
    until: options.until,
    chunkMs: options.stepMs,
    stepMs: options.stepMs,
    publishedAt: startAt,
  });
  const publish = async (chunk: HistoryChunk) => {
    if (chunk.samples.length > 0) await parts.bus.publish(topics.gpuSamples, chunk.samples);
    if (chunk.events.length > 0) await parts.bus.publish(topics.gpuEvents, chunk.events);
  };
  const request = async <T>(path: string, init: RequestInit): Promise<T> => {
    const headers = {
      authorization: `Bearer ${token}`,
      ...(init.headers as Record<string, string> | undefined),
    };
    const answer = await origin.api.request(path, { ...init, headers });
    if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`);
    return (await answer.json()) as T;
  };
  return {
    stores,
    async runUntil(at) {
      while (clock.now() < at) {
        const next = history.next();
        if (next.done === true) throw new Error('The world has no history beyond its end.');
        await publish(next.value);
        clock.set(next.value.until);
        await realPause(SETTLE_MS);
      }
    },
    async waitFor(what, probe) {
      const limit = performance.now() + WAIT_LIMIT_MS;
      for (;;) {
        const found = await probe();
        if (found !== undefined) return found;
        if (performance.now() > limit) throw new Error(`Waited in vain for ${what}.`);
        // Loops wait on this clock: half a second lets them take their turn and hardly moves the world.
        clock.advance(STEP_OF_WAITS_MS);
        await realPause(PAUSE_OF_WAITS_MS);
      }
    },
    jumpTo: (at) => clock.set(instantFromMs(Math.max(at, clock.now()))),
    get: (path) => request(path, {}),
    post: (path, body) =>
      whileTimePasses(
        clock,
        request(path, {
          method: 'POST',
          ...(body === undefined
            ? {}
            : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
        }),
      ),
    async stop() {
      // Loops that sleep on this clock are woken by their own stop signals.
      await lifecycle.stop();
      await served.stop();
      await stores.close();
      await parts.stop();
      await telemetry.shutdown();
      await folder.release();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** A request may wait for loops that sleep on the clock of this world: it moves on until the answer is there. */
async function whileTimePasses<T>(clock: ManualClock, answer: Promise<T>): Promise<T> {
  const over = answer.then(
    () => true,
    () => true,
  );
  while (!(await Promise.race([over, realPause(PAUSE_OF_WAITS_MS, false)]))) clock.advance(STEP_OF_WAITS_MS);
  return answer;
}
