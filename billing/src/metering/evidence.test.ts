/** Many intervals in one question get the answers that each would get alone. */
import { instantFromMs } from '@poolmeter/domain';
import {
  evidenceEnergy,
  evidenceQuality,
  evidenceQualityByMinute,
  migrateMetricsStore,
  openMetricsStore,
  startEmbeddedClickHouse,
  type MetricsStore,
} from '@poolmeter/metrics-store';
import { createLogger } from '@poolmeter/service';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEvidenceSource } from './evidence.js';

const HOUR = 3_600_000;
const BASE = Math.floor(Date.now() / HOUR) * HOUR - 48 * HOUR;
const MAX_GAP_MS = 40_000;
let store: MetricsStore;
let stop: () => Promise<void>;

beforeAll(async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'poolmeter-evidence-'));
  const logger = createLogger({ service: 'test', level: 'silent' });
  const server = await startEmbeddedClickHouse({ dataDir, logger });
  const { url, username, password } = server;
  store = openMetricsStore({ url, username, password, applicationName: 'test' });
  await migrateMetricsStore(store);
  // Three GPUs, a sample every 17 s for six hours, a hole of half an hour, a counter that starts again, some repeats.
  await store.command(`
    INSERT INTO gpu_samples_in (ts, ingested_at, node, gpu_uuid, gpu_instance, gpu_model, raw_sm_active_ratio, raw_energy_joules, energy_epoch, flags)
    SELECT fromUnixTimestamp64Milli(toInt64(${BASE} + intDiv(number, 3) * 17000 + number % 3), 'UTC') AS ts, ts, 'n', concat('GPU-', toString(number % 3)),
      if(number % 3 = 2, '1/0', ''), 'H100', 1000 + intDiv(number, 3) % 5000, intDiv(number, 3) % 800 * 100, intDiv(intDiv(number, 3), 800), number % 13 = 0
    FROM numbers(${3 * 1270})
    WHERE intDiv(number, 3) NOT BETWEEN 300 AND 400`);
  stop = async () => {
    await store.close();
    await server.stop();
    await rm(dataDir, { recursive: true });
  };
});
afterAll(() => stop());

/** Within hours, over their edges, long ones, one with nothing in it, two that touch. */
const stretches = [
  [0, 0, 6 * HOUR],
  [0, 10_000, 25_000],
  [0, HOUR - 5_000, HOUR + 5_000],
  [0, HOUR + 5_000, 3 * HOUR - 1],
  [1, 5_100_000, 6_900_000],
  [1, 123_456, 3 * HOUR + 77],
  [2, 2 * HOUR, 2 * HOUR + 20_000],
  [2, 0, 5 * HOUR],
  [2, -2 * HOUR, -HOUR],
  [0, 7 * HOUR, 8 * HOUR],
].map(([gpu = 0, start = 0, end = 0]) => ({
  gpuUuid: `GPU-${gpu}`,
  gpuInstance: gpu === 2 ? '1/0' : '',
  start: instantFromMs(BASE + start),
  end: instantFromMs(BASE + end),
}));

describe('evidence of many intervals', () => {
  it.each([
    { says: 'from raw samples', nowMs: BASE + 48 * HOUR },
    { says: 'by minute', nowMs: BASE + 40 * 24 * HOUR },
  ])('$says is what each of them gets alone', async ({ nowMs }) => {
    const source = createEvidenceSource({ store, nowMs: () => nowMs, maxGapMs: MAX_GAP_MS });
    const together = await source.evidenceOf(stretches);
    for (const [index, stretch] of stretches.entries()) {
      const range = { gpu_uuid: stretch.gpuUuid, from_ms: stretch.start, to_ms: stretch.end };
      const place = { ...range, gpu_instance: stretch.gpuInstance };
      const [alone] =
        nowMs > BASE + 30 * 24 * HOUR
          ? await store.query(evidenceQualityByMinute, place)
          : await store.query(evidenceQuality, { ...place, max_gap_ms: MAX_GAP_MS });
      const epochs = stretch.gpuInstance === '' ? await store.query(evidenceEnergy, range) : [];
      const joules = epochs.reduce((sum, one) => sum + (one.energy_joules ?? 0), 0);
      const found = together[index]!;
      expect(found.coveredMs).toBe(alone!.covered_ms);
      expect(found.gapMs).toBe(stretch.end - stretch.start - alone!.covered_ms);
      expect(found.sampleCount).toBe(alone!.sample_count);
      expect(found.energyJoules).toBe(epochs.length === 0 ? null : joules);
      if (alone!.mean_activity_ratio === null) expect(found.meanActivityRatio).toBeNull();
      else expect(found.meanActivityRatio).toBeCloseTo(alone!.mean_activity_ratio, 9);
    }
  });

  it('many slices of an hour add up to it, however long the question becomes', async () => {
    const source = createEvidenceSource({ store, nowMs: () => BASE + 48 * HOUR, maxGapMs: MAX_GAP_MS });
    const slice = (index: number) => ({
      gpuUuid: 'GPU-0',
      gpuInstance: '',
      start: instantFromMs(BASE + index * 9_000),
      end: instantFromMs(BASE + (index + 1) * 9_000),
    });
    const slices = await source.evidenceOf(Array.from({ length: 400 }, (_, index) => slice(index)));
    const [whole] = await source.evidenceOf([{ ...slice(0), end: instantFromMs(BASE + HOUR) }]);
    expect(slices.reduce((sum, one) => sum + one.coveredMs, 0)).toBe(whole!.coveredMs);
    expect(slices.reduce((sum, one) => sum + one.gapMs, 0)).toBe(whole!.gapMs);
  });
});
