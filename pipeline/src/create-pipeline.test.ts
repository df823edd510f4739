import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseInstant, PoolmeterError, systemClock } from '@poolmeter/domain';
import { createLogBus, type EventBus, type MessageBatch } from '@poolmeter/event-bus';
import { tables, type InsertRequest } from '@poolmeter/metrics-store';
import { createLogger, createTelemetry } from '@poolmeter/service';
import { encodeGpuEvent, messageHeadersFor, topics, type GpuSample } from '@poolmeter/telemetry-schema';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pipelineDefaults, type PipelineConfig } from './config.js';
import { createPipeline } from './create-pipeline.js';
import { deadLetterHeaders } from './dead-letter.js';
import { createInMemoryRowStore } from './in-memory-row-store.js';
import { sampleHeaders, sampleMessageValue } from './test-samples.js';

const logger = createLogger({ service: 'test', level: 'silent' });
const quick: PipelineConfig = { ...pipelineDefaults(), partitions: 2, flushIntervalMs: 50 };

async function eventually(holds: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`Not so after 10 s: ${what}`);
    await pause(10);
  }
}

describe('the pipeline on the log', () => {
  let directory: string;
  let bus: EventBus;
  let store: ReturnType<typeof createInMemoryRowStore>;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'poolmeter-pipeline-'));
    bus = createLogBus({ directory, logger });
    store = createInMemoryRowStore();
  });
  afterEach(async () => {
    await bus.close();
    await rm(directory, { recursive: true });
  });

  function pipelineOn(over: { config?: PipelineConfig; insert?: typeof store.insert } = {}) {
    const telemetry = createTelemetry({ service: 'test', processMetrics: false });
    const pipeline = createPipeline({
      bus,
      store: { insert: over.insert ?? store.insert },
      logger,
      telemetry,
      clock: systemClock,
      config: over.config ?? quick,
    });
    return { pipeline, telemetry };
  }

  const publishSamples = (sequence: number, ticks: number[], key = 'gpu-node-1') =>
    bus.publish(topics.gpuSamples, [
      { key, headers: sampleHeaders(sequence), value: sampleMessageValue(ticks, sequence) },
    ]);
  const storedTicks = () =>
    (store.rowsOf(tables.gpuSamplesIn) as GpuSample[])
      .map((row) => row.energyJoules ?? -1)
      .sort((a, b) => a - b);

  it('stores samples, events and copies, and counts them', async () => {
    const { pipeline, telemetry } = pipelineOn();
    await pipeline.start();
    await publishSamples(1, [1, 2]);
    const event = {
      ts: parseInstant('2026-03-01T10:40:00.250Z'),
      bootId: 'boot-1',
      sequence: 7n,
      node: 'gpu-node-1',
      gpuUuid: 'GPU-1',
      gpuInstance: '',
      pool: 'main',
      providerId: 'north',
      kind: 'xid' as const,
      code: 79,
      message: 'NVRM: Xid (PCI:0000:65:00): 79, GPU has fallen off the bus.',
      detail: { pci_bus_id: '0000:65:00' },
      demo: false,
    };
    const headers = messageHeadersFor({
      schema: 'gpu-event',
      schemaVersion: 1,
      producer: 'agent-1',
      producerEpoch: 1n,
      sequence: 9n,
    });
    await bus.publish(topics.gpuEvents, [{ key: 'gpu-node-1', headers, value: encodeGpuEvent(event) }]);
    const copy = (table: string, version: string) =>
      Buffer.from(JSON.stringify({ table, row: { id: 'inc_1', code: 'xid-79' }, version }));
    await bus.publish(topics.incidents, [
      { key: 'inc_1', headers: {}, value: copy('incidents', '18446744073709551615') },
    ]);
    await bus.publish(topics.billing, [{ key: 'x', headers: {}, value: copy('invoices', '1') }]);
    await eventually(
      () =>
        storedTicks().length === 2 &&
        store.rowsOf('gpu_events').length === 1 &&
        store.rowsOf('incidents').length === 1,
      'all rows are stored',
    );
    await pipeline.stop();
    const [stored] = store.rowsOf('gpu_events') as Record<string, unknown>[];
    expect(stored).toMatchObject({
      ts: '2026-03-01T10:40:00.250Z',
      sequence: '7',
      code: 79,
      detail: '{"pci_bus_id":"0000:65:00"}',
      bus_offset: '0',
    });
    expect([0, 1]).toContain(stored!['bus_partition']);
    expect(store.rowsOf('incidents')).toEqual([
      { id: 'inc_1', code: 'xid-79', version: '18446744073709551615' },
    ]);
    const metrics = await telemetry.metricsText();
    expect(metrics).toMatch(/poolmeter_pipeline_rows_total\{[^}]*table="gpu_samples_in"[^}]*\} 2/);
    expect(metrics).toMatch(/poolmeter_pipeline_dead_letters_total\{[^}]*code="wire.malformed"[^}]*\} 1/);
  });

  it('sends what it cannot store to the dead-letter topic', async () => {
    const { pipeline } = pipelineOn();
    await pipeline.start();
    await bus.publish(topics.gpuSamples, [
      { key: 'k', headers: { schema: 'gpu-sample' }, value: Buffer.from('rubbish') },
    ]);
    await publishSamples(1, [1]);
    const letters: MessageBatch[] = [];
    const reader = await bus.subscribe({
      group: 'letters',
      topics: [topics.deadLetter],
      startAt: 'earliest',
      onBatch: (batch) => {
        letters.push(batch);
        return Promise.resolve();
      },
    });
    await eventually(() => letters.length === 1 && storedTicks().length === 1, 'letter and row arrive');
    await reader.stop();
    await pipeline.stop();
    expect(letters[0]!.messages[0]!.headers).toMatchObject({
      schema: 'gpu-sample',
      [deadLetterHeaders.topic]: topics.gpuSamples,
      [deadLetterHeaders.offset]: '0',
    });
  });

  it('goes on where it stopped, with a repeat of the agent on either side of the stop', async () => {
    const first = pipelineOn().pipeline;
    await first.start();
    await publishSamples(1, [1]);
    await publishSamples(2, [2]);
    // Nothing waits for the interval here: stop() flushes what it holds.
    await eventually(() => storedTicks().length > 0, 'something is stored');
    await first.stop();
    await publishSamples(2, [2]);
    await publishSamples(3, [3]);
    const second = pipelineOn().pipeline;
    await second.start();
    await eventually(() => storedTicks().includes(3), 'the third batch is stored');
    await second.stop();
    expect(storedTicks()).toEqual([1, 2, 3]);
  });

  it('pauses reading while the store is away, keeps memory bounded, and catches up', async () => {
    let away = true;
    let attempts = 0;
    const insert = (request: InsertRequest) => {
      attempts += 1;
      return away
        ? Promise.reject(new PoolmeterError('dependency.unavailable', 'Away.', { retriable: true }))
        : store.insert(request);
    };
    const config = { ...quick, partitions: 1, flushBytes: 2_000, maxBufferedBytes: 20_000 };
    const { pipeline, telemetry } = pipelineOn({ config, insert });
    await pipeline.start();
    const bufferedBytes = async () => {
      const text = await telemetry.metricsText();
      return Number(/^poolmeter_pipeline_buffered_bytes\S* (\d+)/m.exec(text)?.[1]);
    };
    for (let sequence = 0; sequence < 400; sequence += 1) await publishSamples(sequence, [sequence]);
    await pause(500);
    expect(attempts).toBeGreaterThan(0);
    // One batch of the bus may come on top, all 400 messages together are over 80 kB.
    expect(await bufferedBytes()).toBeLessThan(60_000);
    away = false;
    await eventually(() => storedTicks().length === 400, 'everything is stored');
    await pipeline.stop();
    expect(storedTicks()).toEqual(Array.from({ length: 400 }, (_, tick) => tick));
  });

  it('shares the partitions between two processes and stores everything once', async () => {
    const other = createLogBus({ directory, logger });
    const config = { ...quick, partitions: 4 };
    const one = pipelineOn({ config }).pipeline;
    const two = createPipeline({
      bus: other,
      store,
      logger,
      telemetry: createTelemetry({ service: 'test', processMetrics: false }),
      clock: systemClock,
      config,
    });
    await one.start();
    const state = { running: true };
    let sequence = 0;
    const publishing = (async () => {
      while (state.running) {
        sequence += 1;
        await publishSamples(sequence, [sequence], `node-${sequence % 8}`);
        await pause(1);
      }
    })();
    await pause(200);
    await two.start();
    await pause(800);
    await one.stop();
    await pause(300);
    state.running = false;
    await publishing;
    await eventually(() => storedTicks().length >= sequence, 'everything is stored');
    await two.stop();
    await other.close();
    expect(storedTicks()).toEqual(Array.from({ length: sequence }, (_, index) => index + 1));
  });
});
