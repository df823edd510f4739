import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { instantFromMs, ManualClock } from '@poolmeter/domain';
import {
  gpuSamplesInsert,
  migrateMetricsStore,
  openMetricsStore,
  startEmbeddedClickHouse,
  type EmbeddedClickHouse,
  type MetricsStore,
} from '@poolmeter/metrics-store';
import { createLogger } from '@poolmeter/service';
import { encodeSampleRows, type GpuSample } from '@poolmeter/telemetry-schema';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { gpuUuidsByPlace } from './gpu-places.js';
import { NOW_MS } from './observation-fixture.js';
import { createSampleReader } from './sample-reader.js';

let folder: string;
let server: EmbeddedClickHouse;
let metrics: MetricsStore;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'poolmeter-samples-'));
  const logger = createLogger({ service: 'test', level: 'silent' });
  server = await startEmbeddedClickHouse({ dataDir: join(folder, 'clickhouse'), logger });
  metrics = openMetricsStore({ ...server, applicationName: 'test' });
  await migrateMetricsStore(metrics);
});

afterAll(async () => {
  await metrics.close();
  await server.stop();
  await rm(folder, { recursive: true });
});

/** A sample that says nothing but who and when. */
function sample(gpuUuid: string, secondsAgo: number, changes: Partial<GpuSample> = {}): GpuSample {
  const silent = {
    gpuUtilRatio: null,
    memoryCopyUtilRatio: null,
    graphicsEngineActiveRatio: null,
    smActiveRatio: null,
    smOccupancyRatio: null,
    tensorActiveRatio: null,
    dramActiveRatio: null,
    memoryUsedBytes: null,
    memoryTotalBytes: null,
    powerWatts: null,
    powerLimitWatts: null,
    energyJoules: null,
    temperatureCelsius: null,
    memoryTemperatureCelsius: null,
    temperatureMarginCelsius: null,
    smClockMhz: null,
    memoryClockMhz: null,
    throttleReasons: null,
    pcieTxBytesPerSecond: null,
    pcieRxBytesPerSecond: null,
    nvlinkBytesPerSecond: null,
    pcieReplayTotal: null,
    eccCorrectableTotal: null,
    eccUncorrectableTotal: null,
    rowRemapCorrectableTotal: null,
    rowRemapUncorrectableTotal: null,
    rowRemapState: null,
    recoveryAction: null,
    lastXid: null,
  } as const;
  const ts = instantFromMs(NOW_MS - secondsAgo * 1_000);
  return {
    ...silent,
    ts,
    ingestedAt: ts,
    node: 'a',
    gpuUuid,
    gpuInstance: '',
    gpuInstanceProfile: '',
    gpuModel: 'H100',
    pool: 'main',
    providerId: 'north',
    gpuIndex: 0,
    leaseId: '',
    energyEpoch: 0,
    flags: 0,
    ...changes,
  };
}

it('reads when each GPU was last seen and how busy it was, instances included, blanks as unknown', async () => {
  const values = encodeSampleRows([
    sample('GPU-idle', 20, { gpuUtilRatio: 0 }),
    sample('GPU-idle', 10, { gpuUtilRatio: 0 }),
    sample('GPU-pausing', 60, { gpuUtilRatio: 0.87 }),
    sample('GPU-pausing', 5, { gpuUtilRatio: 0 }),
    sample('GPU-mig', 5),
    sample('GPU-mig', 5, { gpuInstance: '13/0', graphicsEngineActiveRatio: 0.25 }),
    sample('GPU-silent', 5),
    sample('GPU-elsewhere', 5, { pool: 'other', gpuUtilRatio: 1 }),
    sample('GPU-long-gone', 400, { gpuUtilRatio: 1 }),
  ]);
  await metrics.insert({ ...gpuSamplesInsert, values, token: 'samples' });
  const read = createSampleReader(metrics);
  expect(await read('main', { sinceMs: NOW_MS - 300_000, untilMs: NOW_MS })).toEqual([
    { gpuUuid: 'GPU-idle', latestMs: NOW_MS - 10_000, busiestRatio: 0 },
    { gpuUuid: 'GPU-mig', latestMs: NOW_MS - 5_000, busiestRatio: 0.25 },
    { gpuUuid: 'GPU-pausing', latestMs: NOW_MS - 5_000, busiestRatio: 0.87 },
    { gpuUuid: 'GPU-silent', latestMs: NOW_MS - 5_000, busiestRatio: null },
  ]);
});

it('knows which GPU is at which place of a node: the one that was seen there last', async () => {
  const at = { pool: 'places', node: 'b' };
  const values = encodeSampleRows([
    sample('GPU-taken-out', 7_200, at),
    sample('GPU-put-in', 20, at),
    sample('GPU-second', 20, { ...at, gpuIndex: 1 }),
    sample('GPU-second', 20, { ...at, gpuIndex: 1, gpuInstance: '13/0' }),
    sample('GPU-years-ago', 31 * 86_400, { ...at, gpuIndex: 2 }),
    sample('GPU-elsewhere', 20, { ...at, pool: 'other', gpuIndex: 3 }),
  ]);
  await metrics.insert({ ...gpuSamplesInsert, values, token: 'places' });
  const clock = new ManualClock(instantFromMs(NOW_MS));
  expect(await gpuUuidsByPlace({ metrics, clock }, 'places')()).toEqual(
    new Map([
      ['b/0', 'GPU-put-in'],
      ['b/1', 'GPU-second'],
    ]),
  );
});
