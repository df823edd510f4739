import { encodeSampleRows } from '@poolmeter/telemetry-schema';
import { z } from 'zod';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { column } from './column.js';
import { defineQuery } from './define-query.js';
import { sampleAt, TEN_O_CLOCK_MS } from './sample-rows.js';
import { startTestStore, type TestStore } from './start-test-store.js';
import { gpuSamplesInsert } from './tables.js';

const stored = defineQuery({
  name: 'stored-counts',
  sql: `
    SELECT
      (SELECT count() FROM gpu_samples) AS raw,
      (SELECT sum(sample_count) FROM gpu_samples_1m) AS minutes,
      (SELECT sum(sample_count) FROM gpu_samples_1h) AS hours,
      (SELECT count() FROM gpu_latest FINAL) AS latest,
      (SELECT count() FROM ingest_rejects) AS rejects
  `,
  params: z.object({}),
  row: z.object({
    raw: column.wideInteger,
    minutes: column.wideInteger,
    hours: column.wideInteger,
    latest: column.wideInteger,
    rejects: column.wideInteger,
  }),
});

/** Two days, so that the batch spans partitions, and one row out of range. */
const batch = encodeSampleRows([
  sampleAt(TEN_O_CLOCK_MS - 86_400_000),
  ...[0, 10_000, 20_000, 70_000].map((offset) => sampleAt(TEN_O_CLOCK_MS + offset)),
  sampleAt(TEN_O_CLOCK_MS, { gpuUuid: 'GPU-bbbb' }),
  sampleAt(TEN_O_CLOCK_MS, { gpuUuid: '', temperatureCelsius: 200 }),
]);

describe('a batch of samples and its token', () => {
  let test: TestStore;
  beforeAll(async () => {
    test = await startTestStore();
  });
  afterAll(() => test.stop());

  const insert = (token: string) => test.store.insert({ ...gpuSamplesInsert, values: batch, token });
  const counts = async () => (await test.store.query(stored, {}))[0];

  it('stores rows within range in the raw table and every rollup, and the others with their reasons', async () => {
    await insert('samples:0:1-7');
    expect(await counts()).toEqual({ raw: 6, minutes: 6, hours: 6, latest: 2, rejects: 1 });
    const rejects = await test.store.query(
      defineQuery({
        name: 'rejects',
        sql: `SELECT source, reasons, node, row FROM ingest_rejects`,
        params: z.object({}),
        row: z.object({ source: column.text, reasons: column.texts, node: column.text, row: column.text }),
      }),
      {},
    );
    expect(rejects).toMatchObject([
      {
        source: 'gpu_samples',
        reasons: ['gpu_uuid is empty', 'temperature_celsius is above 150'],
        node: 'gpu-01',
      },
    ]);
    expect(JSON.parse(rejects[0]!.row)).toMatchObject({
      raw_temperature_celsius: 200,
      raw_power_watts: 6124,
    });
  });

  it('stores nothing twice when it is sent again with its token', async () => {
    await insert('samples:0:1-7');
    expect(await counts()).toEqual({ raw: 6, minutes: 6, hours: 6, latest: 2, rejects: 1 });
  });

  it('stores the same rows again under another token: equal data is not a repeat', async () => {
    await insert('samples:0:8-14');
    expect(await counts()).toEqual({ raw: 12, minutes: 12, hours: 12, latest: 2, rejects: 2 });
  });
});
