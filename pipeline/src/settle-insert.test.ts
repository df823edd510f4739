import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@poolmeter/domain';
import {
  column,
  defineQuery,
  migrateMetricsStore,
  openMetricsStore,
  startEmbeddedClickHouse,
  type EmbeddedClickHouse,
  type MetricsStore,
} from '@poolmeter/metrics-store';
import { createLogger } from '@poolmeter/service';
import { sampleSchemas } from '@poolmeter/telemetry-schema';
import { z } from 'zod';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { planInserts, requestOf, type RowInsert } from './plan-inserts.js';
import { createInsertSettler } from './settle-insert.js';
import { readTestMessage, storedSamples } from './test-samples.js';

const logger = createLogger({ service: 'test', level: 'silent' });
/** Nothing else writes here, so that a second look need not wait. */
const clock = { now: () => systemClock.now(), sleep: () => Promise.resolve() };

const counts = defineQuery({
  name: 'settle-test-counts',
  sql: `
    SELECT
      (SELECT count() FROM gpu_samples) AS samples,
      (SELECT uniqExact(ts) FROM gpu_samples) AS instants,
      (SELECT sum(sample_count) FROM gpu_samples_1m) AS minutes,
      (SELECT sum(sample_count) FROM gpu_samples_1h) AS hours,
      (SELECT toString(max(ts)) FROM gpu_latest FINAL) AS newest
  `,
  params: z.object({}),
  row: z.object({
    samples: column.wideInteger,
    instants: column.wideInteger,
    minutes: column.wideInteger,
    hours: column.wideInteger,
    newest: column.text,
  }),
});

describe('after an insert that was sent more than once', () => {
  let directory: string;
  let server: EmbeddedClickHouse;
  let store: MetricsStore;
  const mended: [string, number][] = [];
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'poolmeter-settle-'));
    server = await startEmbeddedClickHouse({ dataDir: directory, logger });
    const { url, username, password } = server;
    store = openMetricsStore({ url, username, password, applicationName: 'test' });
    await migrateMetricsStore(store);
  });
  afterAll(async () => {
    await store.close();
    await server.stop();
    await rm(directory, { recursive: true });
  });
  beforeEach(async () => {
    mended.length = 0;
    for (const table of ['gpu_samples', 'gpu_samples_1m', 'gpu_samples_1h', 'gpu_latest', 'gpu_events'])
      await store.command(`TRUNCATE TABLE ${table}`);
  });

  let ranges = 0;
  /** Ten samples of one GPU in three messages, on one day. */
  function insertOfTen(): RowInsert {
    ranges += 1;
    const messages = [
      storedSamples(0, [20, 30, 40]),
      storedSamples(1, [50, 60, 70, 80]),
      storedSamples(2, [90, 100, 110]),
    ];
    const parts = messages.flatMap((message) => {
      const content = readTestMessage(message);
      return content.ok ? content.rows.map((rows) => ({ message, rows })) : [];
    });
    const place = { topic: 't', partition: 0, first: 0n, last: 2n, firstStoredAtMs: ranges };
    const [insert] = planInserts(place, parts);
    if (insert === undefined) throw new Error('There is nothing to insert.');
    return insert;
  }

  const settle = createInsertSettlerOfTest();
  function createInsertSettlerOfTest() {
    return (insert: RowInsert) =>
      createInsertSettler({
        store,
        insert: (again, signal) => store.insert({ ...requestOf(again), signal }),
        schemas: sampleSchemas,
        clock,
        logger,
        onMended: (what, count) => mended.push([what, count]),
      })(insert, { signal: new AbortController().signal, confirm: () => Promise.resolve() });
  }

  const damage = (sql: string) => store.command(sql, { settings: { lightweight_deletes_sync: 2 } });
  const whole = { samples: 10, instants: 10, minutes: 10, hours: 10, newest: '2026-03-02 00:01:40.000' };

  it.each<[lost: string, sql: readonly string[], mended: readonly [string, number][]]>([
    ['nothing', [], []],
    [
      'all rows of the raw table',
      ['TRUNCATE TABLE gpu_samples'],
      [
        ['rows', 10],
        ['rollups', 1],
      ],
    ],
    ['the minutes', ['TRUNCATE TABLE gpu_samples_1m'], [['rollups', 1]]],
    ['the hours', ['TRUNCATE TABLE gpu_samples_1h'], [['rollups', 1]]],
    ['the newest row', ['TRUNCATE TABLE gpu_latest'], []],
    [
      'everything but the token',
      ['gpu_samples', 'gpu_samples_1m', 'gpu_samples_1h', 'gpu_latest'].map(
        (name) => `TRUNCATE TABLE ${name}`,
      ),
      [['rows', 10]],
    ],
  ])('%s is lost: each row is there once', async (_lost, statements, expected) => {
    const insert = insertOfTen();
    await store.insert(requestOf(insert));
    for (const sql of statements) await damage(sql);
    await settle(insert);
    expect((await store.query(counts, {}))[0]).toEqual(whole);
    expect(mended).toEqual(expected);
  });

  it('does nothing more when it is done again', async () => {
    const insert = insertOfTen();
    await store.insert(requestOf(insert));
    await damage('TRUNCATE TABLE gpu_samples_1m');
    await settle(insert);
    await settle(insert);
    expect((await store.query(counts, {}))[0]).toEqual(whole);
    expect(mended).toEqual([['rollups', 1]]);
  });
});
