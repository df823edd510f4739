/** Two pipelines of one group on a real Kafka hand partitions over under load; the counts must be exact. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createKafkaBus, type EventBus } from '@poolmeter/event-bus';
import { column, defineQuery } from '@poolmeter/metrics-store';
import { topics } from '@poolmeter/telemetry-schema';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  createTestPipeline,
  settled,
  silentLogger,
  startTestParts,
  type TestParts,
} from './test-embedded-store.js';
import { sampleHeaders, sampleMessageValue } from './test-samples.js';

const run = promisify(execFile);
const scripts = fileURLToPath(new URL('../../scripts/kafka/', import.meta.url));

async function freePort(): Promise<string> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return String(port);
}

/** The brokers of POOLMETER_TEST_KAFKA, or one of our own for the time of this file. */
async function startKafka(): Promise<{ brokers: string[]; stop: () => Promise<void> }> {
  const given = process.env['POOLMETER_TEST_KAFKA'] ?? '';
  if (given !== '') return { brokers: given.split(','), stop: () => Promise.resolve() };
  const directory = await mkdtemp(join(tmpdir(), 'poolmeter-kafka-'));
  const client = await freePort();
  await run(join(scripts, 'start.sh'), [directory, client, await freePort()]);
  const stop = async () => {
    await run(join(scripts, 'stop.sh'), [directory]);
    await rm(directory, { recursive: true });
  };
  return { brokers: [`127.0.0.1:${client}`], stop };
}

const counts = defineQuery({
  name: 'pipeline-test-hand-over',
  sql: `
    SELECT
      (SELECT count() FROM gpu_samples) AS samples,
      (SELECT uniqExact(gpu_uuid, ts) FROM gpu_samples) AS different,
      (SELECT sum(sample_count) FROM gpu_samples_1m) AS minutes,
      (SELECT sum(sample_count) FROM gpu_samples_1h) AS hours`,
  params: z.object({}),
  row: z.object({
    samples: column.wideInteger,
    different: column.wideInteger,
    minutes: column.wideInteger,
    hours: column.wideInteger,
  }),
});

const NODES = 16;
const ROWS = 20;

describe('two pipelines on a real Kafka', () => {
  let kafka: Awaited<ReturnType<typeof startKafka>>;
  let parts: TestParts;
  beforeAll(async () => {
    [kafka, parts] = await Promise.all([startKafka(), startTestParts()]);
  });
  afterAll(async () => {
    await Promise.all([kafka.stop(), parts.stop()]);
  });

  const openBus = (clientId: string) =>
    createKafkaBus({ brokers: kafka.brokers, clientId, logger: silentLogger });

  /** Publishes a batch per node, again and again, until it is told to stop; returns how many rows there are. */
  async function load(bus: EventBus, state: { isRunning: boolean }): Promise<number> {
    let sequence = 0;
    for (; state.isRunning; sequence += 1) {
      const ticks = Array.from({ length: ROWS }, (_, at) => sequence * ROWS + at);
      const messages = Array.from({ length: NODES }, (_, node) => ({
        key: `node-${node}`,
        headers: sampleHeaders(sequence),
        value: sampleMessageValue(ticks, sequence, { node: `node-${node}`, gpuUuid: `GPU-${node}` }),
      }));
      await bus.publish(topics.gpuSamples, messages);
      // An agent that got no answer sends the same batch again.
      if (sequence % 7 === 0) await bus.publish(topics.gpuSamples, messages.slice(0, 4));
      // About 12,000 rows/s, which the embedded store can follow on a busy machine.
      await pause(25);
    }
    return sequence * NODES * ROWS;
  }

  it('store every row once while one joins, leaves and comes back', async () => {
    const [one, two, three, source] = ['one', 'two', 'three', 'source'].map(openBus) as [
      EventBus,
      EventBus,
      EventBus,
      EventBus,
    ];
    const config = { partitions: 6, flushRows: 5_000, flushIntervalMs: 200, flushIntervalMaxMs: 400 };
    const pipelineOn = (bus: EventBus) => createTestPipeline({ bus, store: parts.store }, config);
    const first = pipelineOn(one);
    await first.pipeline.start();
    const state = { isRunning: true };
    const published = load(source, state);
    await pause(2_000);
    const second = pipelineOn(two);
    await second.pipeline.start();
    await pause(4_000);
    await first.pipeline.stop();
    await pause(2_000);
    const third = pipelineOn(three);
    await third.pipeline.start();
    await pause(3_000);
    state.isRunning = false;
    const rows = await published;
    await settled(source, topics.gpuSamples);
    await Promise.all([second.pipeline.stop(), third.pipeline.stop()]);
    const [stored] = await parts.store.query(counts, {});
    expect(rows).toBeGreaterThan(10_000);
    expect(stored).toEqual({ samples: rows, different: rows, minutes: rows, hours: rows });
    for (const { telemetry } of [first, second, third]) {
      expect(await telemetry.metricsText()).toMatch(/poolmeter_pipeline_rows_total\{[^}]*\} [1-9]/);
    }
    const letters = await source.ranges(topics.deadLetter);
    expect(letters.map(({ nextOffset }) => nextOffset)).toEqual(letters.map(() => 0n));
    await Promise.all([one, two, three, source].map((bus) => bus.close()));
  });
});
