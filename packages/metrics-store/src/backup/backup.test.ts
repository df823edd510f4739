import { buffer } from 'node:stream/consumers';
import { Readable } from 'node:stream';
import { systemClock } from '@poolmeter/domain';
import { encodeSampleRows } from '@poolmeter/telemetry-schema';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openMetricsStore, type MetricsStore } from '../metrics-store.js';
import { sampleAt, TEN_O_CLOCK_MS } from '../sample-rows.js';
import { startTestStore, type TestStore } from '../start-test-store.js';
import { gpuSamplesInsert, tables } from '../tables.js';
import { backupTables, slicesOf, type BackedUpTables } from './backup-tables.js';
import { restoreTables } from './restore-tables.js';

const DAY = 86_400_000;

function beside(test: TestStore, database: string): MetricsStore {
  const { url, username, password } = test.server;
  return openMetricsStore({ url, username, password, database, applicationName: 'test' });
}

describe('slicesOf', () => {
  it('puts small parts of a partition together and cuts a large one', () => {
    const part = (name: string, partition_id: string, rows: bigint) => ({ name, partition_id, rows });
    expect(
      slicesOf([
        part('a_1', 'a', 100_000n),
        part('a_2', 'a', 150_000n),
        part('a_3', 'a', 1n),
        part('b_1', 'b', 1n),
        part('c_1', 'c', 500_001n),
      ]),
    ).toEqual([
      "_part IN ('a_1', 'a_2')",
      "_part IN ('a_3')",
      "_part IN ('b_1')",
      "_part = 'c_1' AND _part_offset >= 0 AND _part_offset < 250000",
      "_part = 'c_1' AND _part_offset >= 250000 AND _part_offset < 500000",
      "_part = 'c_1' AND _part_offset >= 500000 AND _part_offset < 750000",
    ]);
  });
});

describe('a backup of the tables', () => {
  let source: TestStore;
  let target: TestStore;
  const files = new Map<string, Buffer>();
  let taken: BackedUpTables;

  beforeAll(async () => {
    [source, target] = await Promise.all([startTestStore(), startTestStore()]);
    const samples = [0, 10_000, DAY, 2 * DAY].flatMap((offset) =>
      ['GPU-1', 'GPU-2'].map((gpuUuid) => sampleAt(TEN_O_CLOCK_MS + offset, { gpuUuid })),
    );
    for (const [index, rows] of [samples.slice(0, 4), samples.slice(4, 6), samples.slice(6)].entries()) {
      await source.store.insert({ ...gpuSamplesInsert, values: encodeSampleRows(rows), token: `s${index}` });
    }
    // Two versions of one lease that have not merged, and a value that is NULL.
    for (const version of [1, 2]) {
      const lease = { lease_id: 'l-1', customer_id: 'acme', version, ended_at: null };
      await source.store.insert({
        table: tables.leases,
        format: 'JSONEachRow',
        values: [lease],
        token: `l${version}`,
      });
    }
    const clones = beside(source, 'poolmeter_backup');
    taken = await backupTables({
      from: source.store,
      into: clones,
      nowMs: () => systemClock.now(),
      sleep: (ms) => systemClock.sleep(ms),
      write: async (name, rows) => void files.set(name, await buffer(rows)),
    });
    await clones.close();
  });
  afterAll(async () => {
    await source.stop();
    await target.stop();
  });

  const answerOf = async ({ store }: TestStore, sql: string) =>
    (await store.select(sql, { name: 'test', maxRows: 1_000 })).rows;

  it('holds every table with its rows, and leaves no clone behind', async () => {
    expect(taken.isSettled).toBe(true);
    const rows = Object.fromEntries(taken.tables.map((each) => [each.table, each.rows]));
    expect(rows).toMatchObject({ gpu_samples: 8n, gpu_samples_1m: 6n, ingest_rejects: 0n });
    expect(Object.keys(rows).sort()).toEqual(
      Object.values(tables)
        .filter(
          (table) =>
            table !== tables.gpuSamplesIn &&
            table !== tables.gpuRollupsIn &&
            table !== tables.schemaMigrations,
        )
        .sort(),
    );
    expect(await answerOf(source, "SELECT name FROM system.databases WHERE name LIKE 'poolmeter_%'")).toEqual(
      [],
    );
  });

  it('is restored row by row, rollups not counted again, and questions get the same answers', async () => {
    const staging = beside(target, 'poolmeter_restoring');
    const read = (name: string) => Readable.from([files.get(name)]);
    await restoreTables({ into: target.store, beside: staging, tables: taken.tables, read });
    for (const table of taken.tables) {
      const isPlain = table.table === tables.gpuSamples || table.table === tables.ingestRejects;
      const sql = `SELECT * FROM ${table.table} ${isPlain ? '' : 'FINAL'} ORDER BY ALL`;
      expect(await answerOf(target, sql), table.table).toEqual(await answerOf(source, sql));
    }
    expect(await answerOf(target, 'SELECT sum(sample_count) FROM gpu_samples_1h')).toEqual([['8']]);
    await expect(
      restoreTables({ into: target.store, beside: staging, tables: taken.tables, read }),
    ).rejects.toMatchObject({
      code: 'precondition_failed',
      message: expect.stringContaining('is not empty') as string,
    });
    await staging.close();
  });

  it('is refused when its files hold other rows than it says, and nothing is left in the tables', async () => {
    const other = await startTestStore();
    const staging = beside(other, 'poolmeter_restoring');
    const short = taken.tables.map((each) =>
      each.table === tables.gpuSamples ? { ...each, files: each.files.slice(1) } : each,
    );
    const read = (name: string) => Readable.from([files.get(name)]);
    await expect(
      restoreTables({ into: other.store, beside: staging, tables: short, read }),
    ).rejects.toMatchObject({ code: 'storage.corrupt' });
    expect(await answerOf(other, 'SELECT count() FROM leases')).toEqual([['0']]);
    await staging.close();
    await other.stop();
  });
});
