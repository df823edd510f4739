/** For tests: an embedded ClickHouse, migrated, and a bus beside it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { systemClock } from '@poolmeter/domain';
import { createLogBus, type EventBus } from '@poolmeter/event-bus';
import {
  migrateMetricsStore,
  openMetricsStore,
  startEmbeddedClickHouse,
  type EmbeddedClickHouse,
  type MetricsStore,
} from '@poolmeter/metrics-store';
import { createLogger, createTelemetry } from '@poolmeter/service';
import { pipelineDefaults, type PipelineConfig } from './config.js';
import { createPipeline, type PipelineOptions } from './create-pipeline.js';

export const silentLogger = createLogger({ service: 'test', level: 'silent' });

export interface TestParts {
  readonly server: EmbeddedClickHouse;
  readonly store: MetricsStore;
  /** A new bus in a folder of its own. */
  openBus(): Promise<EventBus>;
  stop(): Promise<void>;
}

export async function startTestParts(): Promise<TestParts> {
  const directory = await mkdtemp(join(tmpdir(), 'poolmeter-pipeline-'));
  const server = await startEmbeddedClickHouse({
    dataDir: join(directory, 'clickhouse'),
    logger: silentLogger,
  });
  const { url, username, password } = server;
  const store = openMetricsStore({ url, username, password, applicationName: 'test' });
  await migrateMetricsStore(store);
  const buses: EventBus[] = [];
  return {
    server,
    store,
    async openBus() {
      const bus = createLogBus({ directory: await mkdtemp(join(directory, 'bus-')), logger: silentLogger });
      buses.push(bus);
      return bus;
    },
    async stop() {
      await Promise.all(buses.map((bus) => bus.close()));
      await store.close();
      await server.stop();
      await rm(directory, { recursive: true });
    },
  };
}

/** A pipeline with one partition per topic and short waits. */
export function createTestPipeline(
  options: Pick<PipelineOptions, 'bus' | 'store'> & Partial<PipelineOptions>,
  config: Partial<PipelineConfig> = {},
) {
  const telemetry = createTelemetry({ service: 'test', processMetrics: false });
  const pipeline = createPipeline({
    logger: silentLogger,
    telemetry,
    clock: systemClock,
    config: { ...pipelineDefaults(), partitions: 1, flushIntervalMs: 30, flushIntervalMaxMs: 30, ...config },
    ...options,
  });
  return { pipeline, telemetry };
}

/** Resolves when the group has settled everything that the topic holds. */
export async function settled(bus: EventBus, topic: string, group = pipelineDefaults().group): Promise<void> {
  let open: string[] = [];
  await eventually(
    async () => {
      const [ranges, committed] = [await bus.ranges(topic), await bus.committed(group, topic)];
      open = ranges.flatMap(({ partition, earliestOffset, nextOffset }) => {
        const mine = committed.find((one) => one.partition === partition);
        const position = mine?.nextOffset ?? earliestOffset;
        const note = mine?.metadata ?? '';
        return position === nextOffset && note === ''
          ? []
          : [`${partition} at ${position} of ${nextOffset} ${note}`];
      });
      return open.length === 0;
    },
    () => `everything of ${topic} is settled; still open: ${open.join(', ')}`,
  );
}

export async function eventually(
  holds: () => Promise<boolean> | boolean,
  what: string | (() => string),
): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await holds())) {
    const sentence = typeof what === 'string' ? what : what();
    if (performance.now() > deadline) throw new Error(`Not so after 20 s: ${sentence}`);
    await pause(20);
  }
}
