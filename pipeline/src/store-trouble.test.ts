import { createHash } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { EventBus } from '@poolmeter/event-bus';
import { column, defineQuery, openMetricsStore, type MetricsStore } from '@poolmeter/metrics-store';
import { topics } from '@poolmeter/telemetry-schema';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  createTestPipeline,
  eventually,
  settled,
  startTestParts,
  type TestParts,
} from './test-embedded-store.js';
import { sampleHeaders, sampleMessageValue } from './test-samples.js';

/** What the door answers to inserts instead of passing them on. */
interface Answer {
  readonly code: number;
  readonly text: string;
}

/** A server of ours in front of ClickHouse that can refuse inserts as ClickHouse does, and can be gone. */
async function openDoor(target: string) {
  const inserts: { token: string; body: string; passed: boolean; atMs: number }[] = [];
  const door = { answer: undefined as Answer | undefined, inserts, url: '', close, open };
  const { hostname, port } = new URL(target);
  const serve = (request: http.IncomingMessage, response: http.ServerResponse) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      const url = new URL(request.url ?? '/', 'http://door');
      const token = url.searchParams.get('insert_deduplication_token');
      const { answer } = door;
      if (token !== null) {
        const digest = createHash('sha256').update(body).digest('hex');
        inserts.push({ token, body: digest, passed: answer === undefined, atMs: performance.now() });
      }
      if (token !== null && answer !== undefined) {
        response.writeHead(500, { 'x-clickhouse-exception-code': String(answer.code) });
        response.end(`Code: ${answer.code}. DB::Exception: ${answer.text} (version 26.7.2.1)`);
        return;
      }
      const { method, headers, url: path } = request;
      const onward = http.request({ hostname, port, method, path, headers }, (reply) => {
        response.writeHead(reply.statusCode ?? 500, reply.headers);
        reply.pipe(response);
      });
      onward.on('error', () => response.destroy());
      onward.end(body);
    });
  };
  let server = http.createServer(serve);
  async function open(at = 0) {
    server = http.createServer(serve);
    await new Promise<void>((resolve) => server.listen(at, '127.0.0.1', resolve));
    door.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
  async function close() {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  await open();
  return door;
}

const stored = defineQuery({
  name: 'pipeline-test-trouble',
  sql: 'SELECT (SELECT count() FROM gpu_samples) AS samples, (SELECT sum(sample_count) FROM gpu_samples_1m) AS minutes',
  params: z.object({}),
  row: z.object({ samples: column.wideInteger, minutes: column.wideInteger }),
});

describe('a store that does not take rows', () => {
  let parts: TestParts;
  let door: Awaited<ReturnType<typeof openDoor>>;
  let store: MetricsStore;
  let bus: EventBus;
  let sequence = 0;
  beforeAll(async () => {
    parts = await startTestParts();
    door = await openDoor(parts.server.url);
    const { username, password } = parts.server;
    store = openMetricsStore({ url: door.url, username, password, applicationName: 'test' });
  });
  afterAll(async () => {
    await store.close();
    await door.close();
    await parts.stop();
  });
  beforeEach(async () => {
    bus = await parts.openBus();
    door.inserts.length = 0;
    await parts.store.command('TRUNCATE TABLE gpu_samples');
    await parts.store.command('TRUNCATE TABLE gpu_samples_1m');
  });

  async function publish(count: number, ticksEach: number) {
    for (let at = 0; at < count; at += 1) {
      sequence += 1;
      const ticks = Array.from({ length: ticksEach }, (_, tick) => sequence * ticksEach + tick);
      const value = sampleMessageValue(ticks, sequence);
      const headers = sampleHeaders(sequence);
      await bus.publish(topics.gpuSamples, [{ key: 'gpu-node-1', headers, value }]);
    }
  }

  it.each<[string, Answer | 'gone', string]>([
    [
      'read only for this user',
      { code: 164, text: 'Cannot execute query in readonly mode. (READONLY)' },
      'read_only',
    ],
    [
      'a table is read only',
      { code: 242, text: 'Table is in readonly mode. (TABLE_IS_READ_ONLY)' },
      'read_only',
    ],
    ['the disk is full', { code: 243, text: 'Cannot reserve 1.00 MiB. (NOT_ENOUGH_SPACE)' }, 'full'],
    ['too many parts', { code: 252, text: 'Too many parts (3000). (TOO_MANY_PARTS)' }, 'too_many_parts'],
    ['no memory', { code: 241, text: 'Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)' }, 'out_of_memory'],
    [
      'too many queries',
      { code: 202, text: 'Too many simultaneous queries. (TOO_MANY_SIMULTANEOUS_QUERIES)' },
      'too_many_queries',
    ],
    ['gone', 'gone', 'away'],
  ])('%s: repeated with the same bytes and token, told, and stored once', async (_case, answer, trouble) => {
    const port = Number(new URL(door.url).port);
    const config = { flushRows: 20 };
    const { pipeline, telemetry } = createTestPipeline(
      { bus, store: { insert: (one) => store.insert(one) } },
      config,
    );
    if (answer === 'gone') await door.close();
    else door.answer = answer;
    await pipeline.start();
    await publish(3, 10);
    await eventually(
      async () =>
        pipeline.readiness.check().then(
          () => false,
          () => true,
        ),
      'the trouble is noticed',
    );
    await expect(pipeline.readiness.check()).rejects.toThrow(new RegExp(`\\(${trouble}\\)`));
    await new Promise((resolve) => setTimeout(resolve, 300));
    const text = await telemetry.metricsText();
    expect(text).toMatch(new RegExp(`poolmeter_pipeline_store_trouble\\{[^}]*reason="${trouble}"[^}]*\\} 1`));
    // 100, 200 and 400 ms of pause at least: that time is not enough for more.
    const refused = door.inserts.filter(({ passed }) => !passed);
    expect(refused.length).toBeLessThanOrEqual(5);
    expect(new Set(refused.map(({ token, body }) => `${token} ${body}`)).size).toBeLessThanOrEqual(1);
    if (answer === 'gone') await door.open(port);
    else door.answer = undefined;
    await settled(bus, topics.gpuSamples);
    await pipeline.readiness.check();
    await pipeline.stop();
    const [first] = door.inserts;
    const again = door.inserts.find(({ token, passed }) => passed && token === first?.token);
    expect(again?.body).toBe(first?.body);
    expect(await parts.store.query(stored, {})).toEqual([{ samples: 30, minutes: 30 }]);
  });

  it('with too many parts, makes the ranges that follow larger, and not the one that is noted', async () => {
    const { pipeline } = createTestPipeline(
      { bus, store: { insert: (one) => store.insert(one) } },
      { flushRows: 20 },
    );
    door.answer = { code: 252, text: 'Too many parts (3000). (TOO_MANY_PARTS)' };
    await pipeline.start();
    await publish(2, 10);
    await eventually(() => door.inserts.length > 0, 'an insert is refused');
    await publish(8, 10);
    door.answer = undefined;
    await settled(bus, topics.gpuSamples);
    await pipeline.stop();
    const ranges = [...new Set(door.inserts.map(({ token }) => /:(\d+-\d+)@/.exec(token)?.[1]))];
    expect(ranges).toEqual(['0-1', '2-5', '6-9']);
    expect(await parts.store.query(stored, {})).toEqual([{ samples: 100, minutes: 100 }]);
  });
});
