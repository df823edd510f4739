import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogBus, type EventBus, type SubscribeOptions } from '@poolmeter/event-bus';
import { tables } from '@poolmeter/metrics-store';
import { topicOfProvider, topics, type GpuSample } from '@poolmeter/telemetry-schema';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createInMemoryRowStore } from './in-memory-row-store.js';
import { createNodeTable } from './node-registry.js';
import { createTestPipeline, eventually, settled, silentLogger } from './test-embedded-store.js';
import { sampleHeaders, sampleMessageValue, storedSamples } from './test-samples.js';

describe('what the pipeline notices', () => {
  let directory: string;
  let bus: EventBus;
  let store: ReturnType<typeof createInMemoryRowStore>;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'poolmeter-notices-'));
    bus = createLogBus({ directory, logger: silentLogger });
    store = createInMemoryRowStore();
  });
  afterEach(async () => {
    await bus.close();
    await rm(directory, { recursive: true });
  });

  const publish = (sequence: number, over: Partial<GpuSample> = {}, topic: string = topics.gpuSamples) =>
    bus.publish(topic, [
      {
        key: over.node ?? 'gpu-node-1',
        headers: sampleHeaders(sequence),
        value: sampleMessageValue([sequence], sequence, over),
      },
    ]);
  const events = () => store.rowsOf(tables.gpuEvents) as Record<string, unknown>[];

  it('a number that does not arrive becomes a count and an event, and one more event when it comes late', async () => {
    const { pipeline, telemetry } = createTestPipeline({ bus, store }, { gapWindowMs: 50 });
    await pipeline.start();
    await publish(1);
    await publish(4);
    await eventually(() => events().length === 1, 'the gap is stored');
    expect(events()[0]).toMatchObject({
      kind: 'telemetry.gap',
      node: 'gpu-node-1',
      sequence: '2',
      boot_id: `${topics.gpuSamples} agent-1/1`,
      message: `messages 2 to 3 of agent-1 for gpu-node-1 on ${topics.gpuSamples} did not arrive.`,
    });
    const lost = /poolmeter_pipeline_lost_messages_total\{[^}]*cause="sequence"[^}]*\} 2/;
    expect(await telemetry.metricsText()).toMatch(lost);
    expect(await telemetry.metricsText()).toMatch(/poolmeter_pipeline_open_gaps\S* 1/);
    await publish(3);
    await publish(2);
    await eventually(() => events().length === 2, 'the closing of the gap is stored');
    expect(events()[1]).toMatchObject({ kind: 'telemetry.gap_filled', sequence: '2' });
    expect(await telemetry.metricsText()).toMatch(/poolmeter_pipeline_open_gaps\S* 0/);
    await pipeline.stop();
  });

  it('rows of somebody else’s node become rejects and an event under the provider that sent them', async () => {
    const registry = createNodeTable([
      { nodes: ['n-*'], provider: 'north' },
      { nodes: ['s-*'], provider: 'south' },
    ]);
    const { pipeline, telemetry } = createTestPipeline(
      { bus, store, registry },
      { providers: ['north', 'south'] },
    );
    await pipeline.start();
    const topic = topicOfProvider(topics.gpuSamples, 'north');
    await publish(1, { node: 'n-1', providerId: 'south' }, topic);
    await publish(2, { node: 's-1', providerId: 'north' }, topic);
    await publish(3, { node: 's-1', providerId: 'north' }, topic);
    await settled(bus, topic);
    await eventually(() => events().length === 1, 'the event is stored');
    await pipeline.stop();
    expect(store.rowsOf(tables.gpuSamplesIn)).toMatchObject([{ node: 'n-1', providerId: 'north' }]);
    expect(store.rowsOf(tables.ingestRejects)).toMatchObject([{ node: 's-1' }, { node: 's-1' }]);
    // One event an hour and node, however many rows came.
    expect(events()).toMatchObject([
      {
        kind: 'provider.foreign_node',
        node: 'provider:north',
        provider_id: 'north',
        message:
          'Provider north sent samples of node s-1: node belongs to another provider than north. They are in ingest_rejects.',
      },
    ]);
    const text = await telemetry.metricsText();
    expect(text).toMatch(/poolmeter_pipeline_foreign_rows_total\{[^}]*\} 2/);
    expect(text).toMatch(/poolmeter_pipeline_relabelled_rows_total\{[^}]*\} 1/);
  });

  it('offsets that leave the bus unread are counted, told by the bus or found in a jump', async () => {
    let subscribed: SubscribeOptions | undefined;
    const watched: EventBus = Object.assign(Object.create(bus) as EventBus, {
      ensureTopics: (specs: Parameters<EventBus['ensureTopics']>[0]) => bus.ensureTopics(specs),
      publish: (topic: string, messages: Parameters<EventBus['publish']>[1]) => bus.publish(topic, messages),
      ranges: async (topic: string) =>
        (await bus.ranges(topic)).map((range) => ({ ...range, earliestOffset: 30n, nextOffset: 50n })),
      subscribe: (options: SubscribeOptions) => {
        subscribed = options;
        return bus.subscribe(options);
      },
    });
    const { pipeline, telemetry } = createTestPipeline({ bus: watched, store });
    await pipeline.start();
    await publish(0);
    await settled(bus, topics.gpuSamples);
    const place = { topic: topics.gpuSamples, partition: 0 };
    await subscribed?.onGap?.({ ...place, kind: 'removed', fromOffset: 1n, toOffset: 8n });
    // Seven are told by the bus; 9 to 29 are found to be gone when 30 comes.
    const messages = [storedSamples(8, [8]), storedSamples(40, [40])];
    await subscribed?.onBatch({ ...place, messages, endOffset: 50n });
    const text = await telemetry.metricsText();
    expect(text).toMatch(/poolmeter_pipeline_lost_messages_total\{[^}]*cause="retention"[^}]*\} 28/);
    // The bus lost what it had: offset 10 comes a second time, with another message.
    await subscribed?.onGap?.({ ...place, kind: 'truncated', fromOffset: 41n, toOffset: 10n });
    await subscribed?.onBatch({ ...place, messages: [storedSamples(10, [77], 900)], endOffset: 11n });
    const ticks = () => (store.rowsOf(tables.gpuSamplesIn) as GpuSample[]).map((row) => row.energyJoules);
    await eventually(() => ticks().includes(77), 'the new message is stored');
    expect(await telemetry.metricsText()).toMatch(
      /poolmeter_pipeline_lost_messages_total\{[^}]*cause="truncated"[^}]*\} 31/,
    );
    await pipeline.stop();
  });
});
