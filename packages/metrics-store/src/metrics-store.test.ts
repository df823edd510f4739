import { once } from 'node:events';
import { createServer } from 'node:http';
import { ClickHouseError } from '@clickhouse/client';
import { isPoolmeterError } from '@poolmeter/domain';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { column } from './column.js';
import { defineQuery } from './define-query.js';
import { openMetricsStore, type MetricsStore } from './metrics-store.js';
import { storeError } from './store-error.js';
import { startTestStore, type TestStore } from './start-test-store.js';
import { gpuSamplesInsert, tables } from './tables.js';

const one = defineQuery({
  name: 'one',
  sql: `SELECT {value:UInt64} AS value, toDecimal64('1.50', 4) AS amount, toDateTime64('2026-03-01 10:00:00.250', 3, 'UTC') AS at`,
  params: z.object({ value: z.bigint() }),
  row: z.object({ value: column.bigInteger, amount: z.string(), at: column.instant }),
});

describe('the metrics store', () => {
  let test: TestStore;
  let store: MetricsStore;
  beforeAll(async () => {
    test = await startTestStore();
    store = test.store;
  });
  afterAll(() => test.stop());

  it('reads integers and decimals that a number cannot hold, and instants', async () => {
    const value = 18_446_744_073_709_551_615n;
    expect(await store.query(one, { value })).toEqual([
      { value, amount: '1.5', at: Date.UTC(2026, 2, 1, 10, 0, 0, 250) },
    ]);
  });

  it('refuses rows that are not what the query promises', async () => {
    const wrong = defineQuery({
      name: 'wrong',
      sql: `SELECT 'text' AS value, toUInt64(18446744073709551615) AS wide`,
      params: z.object({}),
      row: z.object({ value: column.float, wide: column.wideInteger }),
    });
    await expect(store.query(wrong, {})).rejects.toThrow(/A row of wrong .*value.*wide/s);
  });

  it('refuses parameters that do not fit before anything is sent', async () => {
    await expect(store.query(one, { value: 1 as unknown as bigint })).rejects.toThrow(/parameters of one/);
  });

  it('inserts a copy of a row, and the highest version wins until it is deleted', async () => {
    const leases = defineQuery({
      name: 'leases',
      sql: `SELECT lease_id, share, share_ratio, ended_at FROM leases FINAL`,
      params: z.object({}),
      row: z.object({
        lease_id: column.text,
        share: column.text,
        share_ratio: column.float,
        ended_at: column.instant.nullable(),
      }),
    });
    const lease = {
      lease_id: 'lease-1',
      customer_id: 'acme',
      provider_id: 'north',
      pool: 'main',
      node: 'gpu-01',
      gpu_uuid: 'GPU-aaaa',
      gpu_model: 'H100',
      share: '1/4',
      started_at: '2026-03-01T10:00:00Z',
      ended_at: null,
      recorded_at: '2026-03-01T10:00:01.500Z',
      version: '1',
    };
    const put = (row: object, token: string) =>
      store.insert({ table: tables.leases, format: 'JSONEachRow', values: [row], token });
    await put({ ...lease, version: '2', ended_at: '2026-03-01T12:00:00Z' }, 'leases:2');
    await put(lease, 'leases:1');
    const ended_at = Date.UTC(2026, 2, 1, 12);
    expect(await store.query(leases, {})).toEqual([
      { lease_id: 'lease-1', share: '1/4', share_ratio: 0.25, ended_at },
    ]);
    await put({ ...lease, version: '3', is_deleted: 1 }, 'leases:3');
    expect(await store.query(leases, {})).toEqual([]);
  });

  it('says that rows which do not fit are malformed, so that they are not tried again', async () => {
    const insert = store.insert({ ...gpuSamplesInsert, values: Buffer.from('half a row'), token: 'half' });
    await expect(insert).rejects.toMatchObject({ code: 'wire.malformed', retriable: false });
  });

  it('gives up a query that takes too long, and can be told to stop', async () => {
    const slow = defineQuery({
      name: 'slow',
      sql: `SELECT count() AS n FROM numbers_mt(100000000000) WHERE NOT ignore(sipHash64(number))`,
      params: z.object({}),
      row: z.object({ n: column.wideInteger }),
      bounds: { maxRowsToRead: 1_000_000_000_000 },
    });
    const limited = store.query(slow, {}, { settings: { max_execution_time: 1 } });
    await expect(limited).rejects.toMatchObject({ code: 'timeout', retriable: true });
    const stop = new AbortController();
    const aborted = store.query(slow, {}, { signal: stop.signal });
    setTimeout(() => stop.abort(new Error('enough')), 50);
    await expect(aborted).rejects.toThrow('enough');
  });

  it('says what is wrong with the credentials, without showing them', async () => {
    const stranger = openMetricsStore({
      url: test.server.url.replace('//', '//default:secret-word@'),
      applicationName: 'test',
    });
    const fault: unknown = await stranger.ping().catch((thrown: unknown) => thrown);
    expect(fault).toMatchObject({ code: 'dependency.refused', retriable: false });
    expect(JSON.stringify([String(fault), isPoolmeterError(fault) && fault.details])).not.toContain(
      'secret-word',
    );
    await stranger.close();
  });

  it('says that nobody listens, and that it may be tried again', async () => {
    const nobody = openMetricsStore({ url: 'http://127.0.0.1:9', applicationName: 'test' });
    await expect(nobody.ping()).rejects.toMatchObject({ code: 'dependency.unavailable', retriable: true });
    await expect(nobody.query(one, { value: 1n })).rejects.toMatchObject({ retriable: true });
    await nobody.close();
    expect(() => openMetricsStore({ url: 'nonsense', applicationName: 'test' })).toThrow(
      /http:\/\/host:8123/,
    );
  });
});

describe('a socket that is dropped under a request', () => {
  /** A server that cuts its first connection and then answers what it is told. */
  async function cutsFirst(answer: string) {
    let requests = 0;
    const server = createServer((request, response) => {
      requests += 1;
      request.resume();
      if (requests === 1) request.socket.destroy();
      else request.on('end', () => response.end(answer));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const store = openMetricsStore({ url: `http://127.0.0.1:${port}`, applicationName: 'test' });
    const close = async () => {
      await store.close();
      server.close();
    };
    return { store, close, requests: () => requests };
  }

  it('is asked again for a query and for an insert with its token', async () => {
    const query = await cutsFirst('{"value":"1","amount":"1.5","at":"2026-03-01T10:00:00.000Z"}\n');
    expect(await query.store.query(one, { value: 1n })).toMatchObject([{ value: 1n }]);
    await query.close();
    const insert = await cutsFirst('');
    await insert.store.insert({ table: 't', format: 'JSONEachRow', values: [{ a: 1n }], token: 'x' });
    expect(insert.requests()).toBe(2);
    await insert.close();
  });

  it('is not asked again for a statement that may not run twice', async () => {
    const command = await cutsFirst('');
    await expect(command.store.command('SYSTEM x')).rejects.toMatchObject({ retriable: true });
    expect(command.requests()).toBe(1);
    await command.close();
  });
});

describe('faults of ClickHouse', () => {
  const context = { action: 'insert into t', url: 'http://ch:8123' };
  const fault = (code: number, message: string) =>
    storeError(new ClickHouseError({ code: String(code), message, type: 'X' }), context);

  it.each([
    [202, 'Too many simultaneous queries', 'dependency.unavailable', true],
    [241, 'memory limit exceeded', 'dependency.unavailable', true],
    [243, 'Cannot reserve 1.00 MiB, not enough space', 'storage.full', true],
    [75, 'Cannot write to file: No space left on device', 'storage.full', true],
    [76, 'Cannot open file: Read-only file system', 'storage.read_only', true],
    [159, 'Timeout exceeded', 'timeout', true],
    [33, 'Cannot read all data', 'wire.malformed', false],
    [60, 'Unknown table', 'dependency.refused', false],
    [516, 'Authentication failed', 'dependency.refused', false],
  ])('%i (%s) is %s', (code, message, expected, retriable) => {
    expect(fault(code, message)).toMatchObject({
      code: expected,
      retriable,
      details: { clickhouseCode: code },
    });
  });

  it('a socket that the server closed may be tried again', () => {
    const reset = Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' });
    expect(storeError(reset, context)).toMatchObject({ code: 'dependency.unavailable', retriable: true });
  });
});
