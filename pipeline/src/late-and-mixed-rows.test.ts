import { instantFromMs, systemClock } from '@poolmeter/domain';
import type { EventBus } from '@poolmeter/event-bus';
import { column, defineQuery, type InsertRequest } from '@poolmeter/metrics-store';
import { encodeSampleBatch, sampleSchemaV1, topics, type GpuSample } from '@poolmeter/telemetry-schema';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { redriveDeadLetters } from './redrive.js';
import { createTestPipeline, settled, startTestParts, type TestParts } from './test-embedded-store.js';
import { sampleAt, sampleHeaders, sampleSchemaV2 } from './test-samples.js';

let parts: TestParts;
let bus: EventBus;
beforeAll(async () => {
  parts = await startTestParts();
});
afterAll(() => parts.stop());
beforeEach(async () => {
  bus = await parts.openBus();
  await bus.ensureTopics([{ name: topics.gpuSamples, partitions: 1 }]);
});

function publish(
  sequence: number,
  samples: readonly Partial<GpuSample>[],
  schema = sampleSchemaV1,
): Promise<void> {
  const header = { producer: 'agent-1', producerEpoch: 1n, sequence: BigInt(sequence) };
  const rows = samples.map((over) => ({ ...sampleAt(0), ...over }));
  const value = encodeSampleBatch(header, rows, { schema });
  return bus.publish(topics.gpuSamples, [{ key: 'gpu-node-1', headers: sampleHeaders(sequence), value }]);
}

const rollup = (table: string) => `
    SELECT
      '${table}' AS rollup,
      ts,
      sample_count,
      power_watts_max,
      sm_active_ratio_min,
      sm_active_ratio_max,
      energy_joules_first,
      energy_joules
    FROM ${table} FINAL
    WHERE gpu_uuid = {gpu:String} AND ts >= toDateTime('2026-01-01 00:00:00', 'UTC')`;

const rollups = defineQuery({
  name: 'pipeline-test-rollups',
  sql: `SELECT * FROM (${rollup('gpu_samples_1m')} UNION ALL ${rollup('gpu_samples_1h')}) ORDER BY rollup, ts`,
  params: z.strictObject({ gpu: z.string() }),
  row: z.object({
    rollup: column.text,
    sample_count: column.wideInteger,
    power_watts_max: column.float,
    sm_active_ratio_min: column.float,
    sm_active_ratio_max: column.float,
    energy_joules_first: column.wideInteger,
    energy_joules: column.wideInteger,
  }),
});

describe('rows that come two days late', () => {
  const noon = Date.UTC(2026, 4, 10, 12);
  const at = (second: number, powerWatts: number, smActiveRatio: number, energyJoules: number) => ({
    ts: instantFromMs(noon + second * 1_000),
    ingestedAt: instantFromMs(noon + 2 * 86_400_000),
    gpuUuid: 'GPU-late',
    powerWatts,
    smActiveRatio,
    energyJoules,
  });

  it('reach their minute and their hour, whatever their order and however many batches bring them', async () => {
    const { pipeline } = createTestPipeline({ bus, store: parts.store });
    await pipeline.start();
    const onTime = { ...at(0, 100, 0.5, 900), ts: instantFromMs(noon + 2 * 86_400_000) };
    await publish(1, [onTime]);
    await settled(bus, topics.gpuSamples);
    // The second batch has the minute's first and last sample, its largest power and its smallest SM activity.
    await publish(2, [at(50, 300, 0.9, 150), at(10, 200, 0.4, 110)]);
    await settled(bus, topics.gpuSamples);
    await publish(3, [at(59, 250, 0.6, 170), at(1, 150, 0.3, 100), at(30, 500, 0.2, 130)]);
    await settled(bus, topics.gpuSamples);
    // A minute later within the hour, before them in time of arrival is nothing of it.
    await publish(4, [at(60, 90, 0.95, 180)]);
    await settled(bus, topics.gpuSamples);
    await pipeline.stop();
    const late = {
      sample_count: 5,
      power_watts_max: 500,
      sm_active_ratio_min: 0.2,
      sm_active_ratio_max: 0.9,
      energy_joules_first: 100,
      energy_joules: 170,
    };
    const single = (power: number, sm: number, energy: number) => ({
      sample_count: 1,
      power_watts_max: power,
      sm_active_ratio_min: sm,
      sm_active_ratio_max: sm,
      energy_joules_first: energy,
      energy_joules: energy,
    });
    expect(await parts.store.query(rollups, { gpu: 'GPU-late' })).toEqual([
      { rollup: 'gpu_samples_1h', ...late, sample_count: 6, sm_active_ratio_max: 0.95, energy_joules: 180 },
      { rollup: 'gpu_samples_1h', ...single(100, 0.5, 900) },
      { rollup: 'gpu_samples_1m', ...late },
      { rollup: 'gpu_samples_1m', ...single(90, 0.95, 180) },
      { rollup: 'gpu_samples_1m', ...single(100, 0.5, 900) },
    ]);
  });
});

describe('two schema versions in one range', () => {
  const limits = defineQuery({
    name: 'pipeline-test-versions',
    sql: `
      SELECT
        toUnixTimestamp64Milli(ts) AS ms,
        raw_power_limit_default_watts AS limit_watts
      FROM versions_seen
      ORDER BY ms`,
    params: z.strictObject({}),
    row: z.object({ ms: z.string().transform(Number), limit_watts: column.integer }),
  });

  it('go into inserts of their own, the same ones again after a crash; a version to come is kept as a letter until the upgrade', async () => {
    const { store } = parts;
    // The migration that a second version would bring: the column, and somewhere to see it.
    await store.command(
      'ALTER TABLE gpu_samples_in ADD COLUMN IF NOT EXISTS raw_power_limit_default_watts UInt16 DEFAULT 65535',
    );
    await store.command(
      `CREATE MATERIALIZED VIEW versions_seen ENGINE = MergeTree ORDER BY ts
       SETTINGS non_replicated_deduplication_window = 1000
       AS SELECT ts, raw_power_limit_default_watts FROM gpu_samples_in`,
    );
    const at = (second: number) => ({ ts: instantFromMs(Date.UTC(2026, 4, 20) + second * 1_000) });
    await publish(1, [at(1), at(2)]);
    await publish(2, [at(3)], sampleSchemaV2);
    await publish(3, [at(4)]);
    await publish(4, [at(5), at(6)], sampleSchemaV2);
    const v3 = { ...sampleSchemaV2, version: 3 };
    await publish(5, [at(7)], v3);
    const requests: InsertRequest[] = [];
    const schemas = [sampleSchemaV1, sampleSchemaV2];
    // Everything is stored, and no answer arrives: the range stays noted, the next process repeats it.
    const deaf = async (request: InsertRequest) => {
      requests.push(request);
      await store.insert(request);
      if (requests.length === 2) throw new Error('The process ends here.');
    };
    const first = createTestPipeline(
      { bus, store: { insert: deaf }, schemas },
      { handOverTimeoutMs: 50, flushIntervalMs: 200, flushIntervalMaxMs: 200 },
    );
    await first.pipeline.start();
    while (requests.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
    await first.pipeline.stop();
    const again = (request: InsertRequest) => {
      requests.push(request);
      return store.insert(request);
    };
    const second = createTestPipeline({ bus, store: { insert: again }, schemas }, { flushRows: 1 });
    await second.pipeline.start();
    await settled(bus, topics.gpuSamples);
    await second.pipeline.stop();
    const facts = requests.map(({ token, columns }) => `${token.split('@')[0]} ${columns?.length}`);
    expect(facts.slice(0, 2)).toEqual([`${topics.gpuSamples}:0:0-4 42`, `${topics.gpuSamples}:0:0-4 43`]);
    expect(requests.slice(2).map(({ token }) => token)).toEqual(
      requests.slice(0, 2).map(({ token }) => token),
    );
    const missing = 65_535;
    expect((await store.query(limits, {})).map(({ limit_watts }) => limit_watts)).toEqual([
      missing,
      missing,
      700,
      missing,
      700,
      700,
    ]);
    // The pipeline is upgraded, and the letters are sent again: two, where the first process died behind its letter.
    const [letters] = await bus.ranges(topics.deadLetter);
    const { redriven } = await redriveDeadLetters({ bus, clock: systemClock, maxAttempts: 5 });
    expect(BigInt(redriven)).toBe(letters?.nextOffset);
    expect(redriven).toBe(2);
    const third = createTestPipeline({ bus, store, schemas: [...schemas, v3] });
    await third.pipeline.start();
    await settled(bus, topics.gpuSamples);
    await third.pipeline.stop();
    expect((await store.query(limits, {})).map(({ limit_watts }) => limit_watts).slice(6)).toEqual([700]);
  });
});
