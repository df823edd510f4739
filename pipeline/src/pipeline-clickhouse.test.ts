import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { PoolmeterError, systemClock } from '@poolmeter/domain';
import { createLogBus, type EventBus } from '@poolmeter/event-bus';
import {
  column,
  defineQuery,
  migrateMetricsStore,
  openMetricsStore,
  startEmbeddedClickHouse,
  type EmbeddedClickHouse,
  type InsertRequest,
  type MetricsStore,
} from '@poolmeter/metrics-store';
import { createLogger, createTelemetry } from '@poolmeter/service';
import { encodeGpuEvent, topics, type GpuEvent } from '@poolmeter/telemetry-schema';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { pipelineDefaults } from './config.js';
import { createPipeline } from './create-pipeline.js';
import { sampleAt, sampleHeaders, sampleMessageValue } from './test-samples.js';

const logger = createLogger({ service: 'test', level: 'silent' });

const counts = defineQuery({
  name: 'pipeline-test-counts',
  sql: `
    SELECT
      (SELECT count() FROM gpu_samples) AS samples,
      (SELECT uniqExact(ts) FROM gpu_samples) AS instants,
      (SELECT sum(sample_count) FROM gpu_samples_1m) AS minutes,
      (SELECT sum(sample_count) FROM gpu_samples_1h) AS hours,
      (SELECT count() FROM ingest_rejects) AS rejects,
      (SELECT count() FROM gpu_events) AS events
  `,
  params: z.object({}),
  row: z.object({
    samples: column.wideInteger,
    instants: column.wideInteger,
    minutes: column.wideInteger,
    hours: column.wideInteger,
    rejects: column.wideInteger,
    events: column.wideInteger,
  }),
});

describe('the pipeline on a real ClickHouse', () => {
  let directory: string;
  let server: EmbeddedClickHouse;
  let store: MetricsStore;
  let bus: EventBus;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'poolmeter-pipeline-'));
    bus = createLogBus({ directory: join(directory, 'bus'), logger });
    server = await startEmbeddedClickHouse({ dataDir: join(directory, 'clickhouse'), logger });
    const { url, username, password } = server;
    store = openMetricsStore({ url, username, password, applicationName: 'test' });
    await migrateMetricsStore(store);
  });
  afterAll(async () => {
    await bus.close();
    await store.close();
    await server.stop();
    await rm(directory, { recursive: true });
  });

  function pipelineWith(insert: (request: InsertRequest) => Promise<void>) {
    return createPipeline({
      bus,
      store: { insert, query: (definition, params, options) => store.query(definition, params, options) },
      logger,
      telemetry: createTelemetry({ service: 'test', processMetrics: false }),
      clock: systemClock,
      config: { ...pipelineDefaults(), partitions: 1, flushIntervalMs: 50, handOverTimeoutMs: 300 },
    });
  }

  const publish = (sequence: number, value: Buffer) =>
    bus.publish(topics.gpuSamples, [{ key: 'gpu-node-1', headers: sampleHeaders(sequence), value }]);

  async function countsWhen(holds: (row: z.output<(typeof counts)['row']>) => boolean) {
    const deadline = performance.now() + 15_000;
    for (;;) {
      const [row] = await store.query(counts, {});
      if (row !== undefined && holds(row)) return row;
      if (performance.now() > deadline) throw new Error(`Not so after 15 s: ${JSON.stringify(row)}`);
      await pause(50);
    }
  }

  it('stores each row once in the raw table and the rollups, over a lost answer and a hand-over in the middle', async () => {
    const ticks = (first: number) => Array.from({ length: 8 }, (_, at) => first + at);
    // Stored, but the answer is lost, for good: the note stays, and the next process repeats the range.
    let stored = 0;
    const first = pipelineWith(async (request) => {
      await store.insert(request);
      stored += 1;
      throw new PoolmeterError('dependency.unavailable', 'The answer was lost.', { retriable: true });
    });
    await bus.ensureTopics([{ name: topics.gpuSamples, partitions: 1 }]);
    await publish(1, sampleMessageValue(ticks(0), 1));
    await publish(2, sampleMessageValue([100], 2, { powerWatts: 6_000 }));
    await first.start();
    await countsWhen((row) => row.samples >= 8 && stored > 1);
    await publish(3, sampleMessageValue(ticks(20), 3));
    await first.stop();
    const [position] = await bus.committed('poolmeter-pipeline', topics.gpuSamples);
    expect(position).toMatchObject({ nextOffset: 0n, metadata: 'pending:0-1' });

    const second = pipelineWith((request) => store.insert(request));
    await second.start();
    await publish(1, sampleMessageValue(ticks(0), 1));
    const event: GpuEvent = {
      ts: sampleAt(0).ts,
      bootId: 'boot-1',
      sequence: 18_446_744_073_709_551_615n,
      node: 'gpu-node-1',
      gpuUuid: 'GPU-1',
      gpuInstance: '',
      pool: 'main',
      providerId: 'north',
      kind: 'xid',
      code: 79,
      message: 'NVRM: Xid (PCI:0000:65:00): 79, GPU has fallen off the bus.',
      detail: { pci_bus_id: '0000:65:00' },
      demo: true,
    };
    await bus.publish(topics.gpuEvents, [{ key: 'gpu-node-1', headers: {}, value: encodeGpuEvent(event) }]);
    await countsWhen((row) => row.samples >= 16 && row.events >= 1);
    await second.stop();
    const [after] = await store.query(counts, {});
    expect(after).toEqual({ samples: 16, instants: 16, minutes: 16, hours: 16, rejects: 1, events: 1 });
    const [end] = await bus.committed('poolmeter-pipeline', topics.gpuSamples);
    expect(end).toMatchObject({ nextOffset: 4n, metadata: '' });
    const [stored79] = await store.query(
      defineQuery({
        name: 'pipeline-test-event',
        sql: 'SELECT ts, toString(sequence) AS sequence, kind, code, detail, demo, bus_offset FROM gpu_events',
        params: z.object({}),
        row: z.object({
          ts: column.instant,
          sequence: column.text,
          kind: column.text,
          code: column.integer,
          detail: column.text,
          demo: column.flag,
          bus_offset: column.bigInteger,
        }),
      }),
      {},
    );
    expect(stored79).toEqual({
      ts: event.ts,
      sequence: '18446744073709551615',
      kind: 'xid',
      code: 79,
      detail: '{"pci_bus_id":"0000:65:00"}',
      demo: true,
      bus_offset: 0n,
    });
  });

  it('stores copies of every kind, and isolates one that does not fit', async () => {
    const copy = (table: string, row: object, version = '1') => ({
      key: table,
      headers: {},
      value: Buffer.from(JSON.stringify({ table, row, version })),
    });
    const pipeline = pipelineWith((request) => store.insert(request));
    await bus.ensureTopics(
      [topics.incidents, topics.billing, topics.scalingDecisions].map((name) => ({ name, partitions: 1 })),
    );
    await bus.publish(topics.incidents, [
      copy('incidents', {
        id: 'inc_1',
        code: 'xid-79',
        status: 'open',
        opened_at: '2026-03-01T10:40:00.250Z',
        cleared_at: null,
        gpu_uuids: ['GPU-1'],
        newer_field: 1,
      }),
      copy('incidents', { id: 'inc_2', code: 'xid-79', status: 'open', opened_at: 'yesterday' }),
      copy('incidents', { id: 'inc_3', code: 'xid-63', status: 'open', opened_at: '2026-03-01T11:00:00Z' }),
    ]);
    await bus.publish(topics.scalingDecisions, [
      copy('scaling_decisions', {
        id: 'dec_1',
        pool: 'main',
        decided_at: '2026-03-01T10:00:00Z',
        mode: 'recommend',
        action: 'none',
        targets: [{ node: 'gpu-node-1' }],
        reasons: [],
      }),
    ]);
    await pipeline.start();
    const rows = defineQuery({
      name: 'pipeline-test-copies',
      sql: `
        SELECT id, code AS what, opened_at AS at FROM incidents FINAL
        UNION ALL
        SELECT id, targets AS what, decided_at AS at FROM scaling_decisions FINAL
      `,
      params: z.object({}),
      row: z.object({ id: column.text, what: column.text, at: column.instant }),
    });
    const deadline = performance.now() + 15_000;
    while ((await store.query(rows, {})).length < 3) {
      if (performance.now() > deadline) throw new Error('The copies did not arrive within 15 s.');
      await pause(50);
    }
    await pipeline.stop();
    const stored = [...(await store.query(rows, {}))].sort((a, b) => (a.id < b.id ? -1 : 1));
    expect(stored).toEqual([
      { id: 'dec_1', what: '[{"node":"gpu-node-1"}]', at: Date.UTC(2026, 2, 1, 10) },
      { id: 'inc_1', what: 'xid-79', at: Date.UTC(2026, 2, 1, 10, 40, 0, 250) },
      { id: 'inc_3', what: 'xid-63', at: Date.UTC(2026, 2, 1, 11) },
    ]);
    const [letters] = await bus.ranges(topics.deadLetter);
    expect(letters?.nextOffset).toBe(1n);
  });
});
