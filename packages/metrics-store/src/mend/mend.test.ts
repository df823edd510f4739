import { systemClock } from '@poolmeter/domain';
import { encodeSampleRows } from '@poolmeter/telemetry-schema';
import { z } from 'zod';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { column } from '../column.js';
import { defineQuery } from '../define-query.js';
import { sampleAt, TEN_O_CLOCK_MS } from '../sample-rows.js';
import { startTestStore, type TestStore } from '../start-test-store.js';
import { gpuSamplesInsert } from '../tables.js';
import { mendLatest } from './mend-latest.js';
import { mendRollups } from './mend-rollups.js';
import { findMissingSamples } from './missing-samples.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const scope = { fromMs: TEN_O_CLOCK_MS, toMs: TEN_O_CLOCK_MS + 2 * HOUR_MS };
/** Nothing else writes here, so the second look need not wait. */
const options = { clock: { now: () => systemClock.now(), sleep: () => Promise.resolve() } };

const rollups = defineQuery({
  name: 'rollups-of-test',
  sql: `
    SELECT step, gpu_uuid, toString(ts) AS at, sum(sample_count) AS rows, toUInt64(sum(power_watts_sum)) AS power
    FROM
    (
      SELECT '1m' AS step, gpu_uuid, ts, sample_count, power_watts_sum FROM gpu_samples_1m
      UNION ALL
      SELECT '1h' AS step, gpu_uuid, ts, sample_count, power_watts_sum FROM gpu_samples_1h
    )
    GROUP BY step, gpu_uuid, ts
    ORDER BY step, gpu_uuid, at
  `,
  params: z.object({}),
  row: z.object({
    step: column.text,
    gpu_uuid: column.text,
    at: column.text,
    rows: column.wideInteger,
    power: column.wideInteger,
  }),
});

const newest = defineQuery({
  name: 'newest-of-test',
  sql: `SELECT gpu_uuid, toUnixTimestamp64Milli(ts) AS ts_ms FROM gpu_latest FINAL ORDER BY gpu_uuid`,
  params: z.object({}),
  row: z.object({ gpu_uuid: column.text, ts_ms: column.wideInteger }),
});

describe('mending what a crash of the server left short', () => {
  let test: TestStore;
  let inserts = 0;
  beforeAll(async () => {
    test = await startTestStore();
  });
  afterAll(() => test.stop());
  beforeEach(async () => {
    for (const table of ['gpu_samples', 'gpu_samples_1m', 'gpu_samples_1h', 'gpu_latest', 'ingest_rejects'])
      await test.store.command(`TRUNCATE TABLE ${table}`);
    await insert([
      sampleAt(TEN_O_CLOCK_MS, { powerWatts: 100 }),
      sampleAt(TEN_O_CLOCK_MS + 1_000, { powerWatts: 200 }),
      sampleAt(TEN_O_CLOCK_MS + 3 * MINUTE_MS, { powerWatts: 300 }),
      sampleAt(TEN_O_CLOCK_MS + HOUR_MS, { powerWatts: 400 }),
      sampleAt(TEN_O_CLOCK_MS, { gpuUuid: 'GPU-bbbb', powerWatts: 500 }),
    ]);
  });

  const insert = (rows: Parameters<typeof encodeSampleRows>[0]) =>
    test.store.insert({ ...gpuSamplesInsert, values: encodeSampleRows(rows), token: `t${(inserts += 1)}` });
  const rollupRows = () => test.store.query(rollups, {});

  it('finds nothing to do where the rollups hold what the raw table holds', async () => {
    expect(await mendRollups(test.store, scope, options)).toEqual({ mended: [], left: [] });
  });

  it.each([
    ['minutes that are missing', `DELETE FROM gpu_samples_1m WHERE gpu_uuid = 'GPU-aaaa'`],
    ['hours that are missing', `DELETE FROM gpu_samples_1h WHERE gpu_uuid = 'GPU-bbbb'`],
    ['minutes that are there twice', 'INSERT INTO gpu_samples_1m SELECT * FROM gpu_samples_1m'],
    ['hours that are there twice', 'INSERT INTO gpu_samples_1h SELECT * FROM gpu_samples_1h'],
  ])('makes %s again', async (_what, damage) => {
    const whole = await rollupRows();
    await test.store.command(damage, { settings: { lightweight_deletes_sync: 2, insert_deduplicate: 0 } });
    expect(await rollupRows()).not.toEqual(whole);
    const report = await mendRollups(test.store, scope, options);
    expect(report.mended.length).toBeGreaterThan(0);
    expect(report.left).toEqual([]);
    expect(await rollupRows()).toEqual(whole);
  });

  it('deletes nothing when somebody else owns the GPUs by now', async () => {
    await test.store.command('TRUNCATE TABLE gpu_samples_1m');
    const hours = await test.store.query(rollups, {});
    const mending = mendRollups(test.store, scope, {
      ...options,
      confirm: () => Promise.reject(new Error('The partition was given away.')),
    });
    await expect(mending).rejects.toThrow('given away');
    expect(await test.store.query(rollups, {})).toEqual(hours);
  });

  it('leaves hours and GPUs outside its scope alone', async () => {
    await test.store.command('TRUNCATE TABLE gpu_samples_1m');
    const only = { fromMs: TEN_O_CLOCK_MS, toMs: TEN_O_CLOCK_MS + 1, gpuUuids: ['GPU-aaaa'] };
    await mendRollups(test.store, only, options);
    const minutes = (await rollupRows()).filter(({ step }) => step === '1m');
    expect(minutes.map(({ gpu_uuid, rows, power }) => [gpu_uuid, rows, power])).toEqual([
      ['GPU-aaaa', 2, 300],
      ['GPU-aaaa', 1, 300],
    ]);
  });

  it('names the samples that are neither stored nor rejected', async () => {
    await insert([sampleAt(TEN_O_CLOCK_MS + 5_000, { temperatureCelsius: 200 })]);
    const key = (gpuUuid: string, tsMs: number) => ({ gpuUuid, gpuInstance: '', tsMs });
    const missing = await findMissingSamples(test.store, [
      key('GPU-aaaa', TEN_O_CLOCK_MS),
      key('GPU-aaaa', TEN_O_CLOCK_MS + 5_000),
      key('GPU-aaaa', TEN_O_CLOCK_MS + 7_000),
      key('GPU-cccc', TEN_O_CLOCK_MS),
    ]);
    expect(missing).toEqual([key('GPU-aaaa', TEN_O_CLOCK_MS + 7_000), key('GPU-cccc', TEN_O_CLOCK_MS)]);
  });

  it('gives back the newest row of each GPU, and never an older one', async () => {
    const whole = await test.store.query(newest, {});
    const gpuUuids = ['GPU-aaaa', 'GPU-bbbb'];
    await test.store.command('TRUNCATE TABLE gpu_latest');
    await mendLatest(test.store, { gpuUuids, fromMs: TEN_O_CLOCK_MS });
    expect(await test.store.query(newest, {})).toEqual(whole);
    await insert([sampleAt(TEN_O_CLOCK_MS + 2 * HOUR_MS)]);
    await mendLatest(test.store, { gpuUuids, fromMs: TEN_O_CLOCK_MS });
    expect((await test.store.query(newest, {}))[0]?.ts_ms).toBe(TEN_O_CLOCK_MS + 2 * HOUR_MS);
  });
});
