import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatInstant, instantFromMs, type EpochMs } from '@poolmeter/domain';
import {
  gpuSamplesInsert,
  migrateMetricsStore,
  openMetricsStore,
  startEmbeddedClickHouse,
  tables,
  type EmbeddedClickHouse,
  type MetricsStore,
} from '@poolmeter/metrics-store';
import { createLogger } from '@poolmeter/service';
import { encodeSampleRows, type GpuSample } from '@poolmeter/telemetry-schema';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultPolicyFile, loadFaultPolicy } from '../policy/load-policy.js';
import type { SignalName } from '../policy/signals.js';
import { at, evidenceOf, GPU, msAfter, NODE } from '../verdict/evidence-in-words.js';
import { verdicts } from '../verdict/verdicts.js';
import { createClickHouseEvidence } from './clickhouse-evidence.js';
import type { EvidenceSource } from './evidence-source.js';
import { sampleInWords } from './sample-in-words.js';
import { comparePeers, newestStep } from './compare-peers.js';

const policy = loadFaultPolicy(defaultPolicyFile);
const folder = mkdtempSync(join(tmpdir(), 'poolmeter-alerts-'));
let clickhouse: EmbeddedClickHouse;
let store: MetricsStore;
let source: EvidenceSource;

beforeAll(async () => {
  const logger = createLogger({ service: 'alerts-test', level: 'silent' });
  clickhouse = await startEmbeddedClickHouse({ dataDir: folder, logger });
  const { url, database, username, password } = clickhouse;
  store = openMetricsStore({ url, database, username, password, applicationName: 'alerts-test' });
  await migrateMetricsStore(store);
  source = createClickHouseEvidence(store, policy);
}, 90_000);

afterAll(async () => {
  await store.close();
  await clickhouse.stop();
  rmSync(folder, { recursive: true, force: true });
});

const everyMinute = (from: string, to: string, facts: Partial<GpuSample> = {}): GpuSample[] => {
  const samples: GpuSample[] = [];
  for (let ts = at(from); ts <= at(to); ts = msAfter(ts, 60_000))
    samples.push(sampleInWords({ ts, ...facts }));
  return samples;
};

const time = (instant: EpochMs) => formatInstant(instant).slice('2026-03-02T'.length, -4);

async function insertSamples(samples: readonly GpuSample[], token: string): Promise<void> {
  await store.insert({ ...gpuSamplesInsert, values: encodeSampleRows(samples), token });
}

describe('the evidence that ClickHouse gives', () => {
  it('is stretches of samples, defects in between, and runs of minutes, from which the verdicts follow', async () => {
    const idle = {
      graphicsEngineActiveRatio: 0,
      smActiveRatio: 0,
      gpuUtilRatio: 0,
      memoryUsedBytes: 8_589_934_592,
    };
    await insertSamples(
      [
        ...everyMinute('08:00:00.250', '08:39:00.250'),
        ...everyMinute('09:05:00.250', '09:20:00.250', { temperatureCelsius: 92 }),
        ...everyMinute('09:21:00.250', '09:25:00.250', { recoveryAction: 1 }),
        ...everyMinute('09:26:00.250', '10:30:00.250', idle),
      ],
      'stretches',
    );
    await insertSamples(everyMinute('08:00', '10:30', { gpuUuid: 'GPU-cccc' }), 'witness');
    const span = { node: NODE, from: at('07:00'), to: at('12:00') };
    const telemetry = (await source.telemetryOfNode(span)).filter((one) => one.gpuUuid === GPU);
    expect(telemetry.flatMap((one) => one.seen)).toEqual([
      { start: at('08:00:00.250'), end: at('08:39:00.250') },
      { start: at('09:05:00.250'), end: at('10:30:00.250') },
    ]);
    expect(telemetry.flatMap((one) => one.unwell)).toEqual([
      { start: at('09:21:00.250'), end: at('09:26:00.250') },
    ]);
    const signals = await source.signals(span);
    expect(signals.map(({ signal, during, extreme }) => ({ signal, during, extreme }))).toEqual([
      { signal: 'activity_ratio', during: { start: at('09:26'), end: at('10:31') }, extreme: 0 },
      { signal: 'recovery_action', during: { start: at('09:21'), end: at('09:26') }, extreme: 1 },
      { signal: 'temperature_celsius', during: { start: at('09:05'), end: at('09:21') }, extreme: 92 },
    ]);
    expect(await source.signals({ ...span, node: '' })).toEqual(signals);
    const found = verdicts(
      evidenceOf({ asOf: at('10:31'), telemetry: await source.telemetryOfNode(span), signals }),
      policy,
    );
    expect(found.map((one) => `${one.code} ${one.state} ${one.action}`)).toEqual([
      'gpu-lost resolved reboot',
      'gpu-hot resolved inspect',
      'gpu-recovery-wanted resolved reset',
    ]);
    // Back at 09:05:00.250 and healthy for five minutes: the defect at 09:21 came after the proof.
    expect(found[0]?.clearedAt).toBe(at('09:10:00.250'));
  });

  it.each<[SignalName, Partial<GpuSample>, Partial<GpuSample>, number]>([
    ['temperature_margin_celsius', { temperatureMarginCelsius: 12 }, { temperatureMarginCelsius: -3 }, -3],
    ['hw_throttled_ratio', { throttleReasons: 4 }, { throttleReasons: 0x48 }, 1],
    ['sw_thermal_throttled_ratio', { throttleReasons: 0 }, { throttleReasons: 0x20 }, 1],
    ['row_remap_failed', { rowRemapState: 1 }, { rowRemapState: 3 }, 1],
    [
      'row_remap_uncorrectable_total',
      { rowRemapUncorrectableTotal: 4 },
      { rowRemapUncorrectableTotal: 512 },
      512,
    ],
    [
      'stalled_power_ratio',
      { gpuUtilRatio: 1, smActiveRatio: 0.8, powerWatts: 700 },
      { gpuUtilRatio: 1, smActiveRatio: 0.01, powerWatts: 140 },
      0.2,
    ],
  ])('finds the minutes in which %s is bad, and no others', async (signal, good, bad, extreme) => {
    const gpuUuid = `GPU-${signal}`;
    const node = `node-${signal}`;
    await insertSamples(
      [
        ...everyMinute('08:00', '08:19', { gpuUuid, node, ...good }),
        ...everyMinute('08:20', '08:39', { gpuUuid, node, ...bad }),
        ...everyMinute('08:40', '08:59', { gpuUuid, node, ...good }),
      ],
      signal,
    );
    const found = await source.signals({ node, from: at('07:00'), to: at('12:00') });
    expect(found.filter((one) => one.signal === signal)).toEqual([
      { signal, node, gpuUuid, gpuInstance: '', during: { start: at('08:20'), end: at('08:40') }, extreme },
    ]);
  });

  it('counts what counters gained from minute to minute, and nothing when one begins anew', async () => {
    const node = 'node-counters';
    const totals = [5, 5, 6, 6, 0, 0, 45, 45];
    const samples = totals.map((eccUncorrectableTotal, minute) =>
      sampleInWords({
        ts: msAfter(at('08:00'), minute * 60_000),
        node,
        eccUncorrectableTotal,
        pcieReplayTotal: 7 * eccUncorrectableTotal,
      }),
    );
    await insertSamples(samples, 'counters');
    const found = await source.signals({ node, from: at('07:00'), to: at('12:00') });
    const times = (signal: SignalName) =>
      found.filter((one) => one.signal === signal).map((one) => `${time(one.during.start)} ${one.extreme}`);
    expect(times('ecc_uncorrectable_new')).toEqual(['08:02 1', '08:06 45']);
    expect(times('pcie_replays_per_minute')).toEqual(['08:06 315']);
  });

  it('finds memory that grows for hours on an idle GPU', async () => {
    const node = 'node-leak';
    const samples = Array.from({ length: 8 }, (_, hour) =>
      sampleInWords({
        ts: msAfter(at('01:30'), hour * 3_600_000),
        node,
        gpuUtilRatio: 0,
        graphicsEngineActiveRatio: 0,
        memoryUsedBytes: (10 + hour * (hour < 7 ? 1 : 0)) * 2 ** 30,
      }),
    );
    await insertSamples(samples, 'leak');
    const found = await source.signals({ node, from: at('08:30'), to: at('09:00') });
    expect(found.filter((one) => one.signal === 'memory_growth_bytes_per_hour')).toMatchObject([
      { during: { start: at('02:00'), end: at('08:00') }, extreme: 2 ** 30 },
    ]);
  });

  it('knows when each GPU was last seen, and sees a late sample of a past hour', async () => {
    const lastSeen = await source.gpusLastSeen();
    expect(lastSeen).toContainEqual({
      gpuUuid: GPU,
      node: NODE,
      pool: 'main',
      lastSeenAt: at('10:30:00.250'),
    });
    const span = { from: at('00:00'), to: at('23:00') };
    const before = await source.sampleFingerprints(span);
    expect(await source.sampleFingerprints(span)).toEqual(before);
    await insertSamples([sampleInWords({ ts: at('09:03:00.250') })], 'late');
    expect(await source.sampleFingerprints(span)).not.toEqual(before);
    const counts = await source.sampleCounts({ node: NODE, ...span });
    expect(counts.get(at('09:00'))).toBe(BigInt(60 + 55 + 1));
  });

  it('is read by position: behind the last one of each partition, a new partition from its beginning', async () => {
    const row = (partition: number, offset: number, ts: string) => ({
      ts: new Date(at(ts)).toISOString(),
      node: NODE,
      boot_id: 'boot-1',
      kind: 'xid',
      sequence: String(partition * 1_000 + offset),
      gpu_uuid: GPU,
      code: 79,
      message: 'NVRM: Xid',
      detail: JSON.stringify({ pci_bus_id: '0000:3b:00' }),
      bus_partition: partition,
      bus_offset: String(offset),
    });
    const values = [row(0, 1, '10:00'), row(0, 2, '09:00'), row(3, 0, '11:00')];
    await store.insert({ table: tables.gpuEvents, format: 'JSONEachRow', values, token: 'events' });
    const read = async (positions: [number, bigint][], limit = 10) =>
      (await source.noticesAfter(new Map(positions), limit)).map((one) => `${one.partition}:${one.offset}`);
    expect(await read([])).toEqual(['0:1', '0:2', '3:0']);
    expect(await read([[0, 1n]])).toEqual(['0:2', '3:0']);
    expect(await read([[0, 2n], [3, 0n]])).toEqual([]); // prettier-ignore
    expect(await read([], 2)).toEqual(['0:1', '0:2']);
    expect(await source.newestPositions()).toEqual(new Map([[0, 2n], [3, 0n]])); // prettier-ignore
    const [first, ...others] = await source.eventsOfNode(NODE, instantFromMs(at('09:30')));
    expect(others).toHaveLength(1);
    expect(first).toMatchObject({
      event: { code: 79, ts: at('10:00'), sequence: 1n, detail: { pci_bus_id: '0000:3b:00' }, demo: false },
      position: { partition: 0, offset: 1n },
    });
  });
});

describe('a comparison with peers', () => {
  const fleet = (facts: (index: number) => Partial<GpuSample>) =>
    Array.from({ length: 16 }, (_, index) =>
      everyMinute('14:00', '14:04', {
        gpuUuid: `GPU-peer-${index}`,
        node: `peer-node-${Math.floor(index / 8)}`,
        gpuModel: 'NVIDIA H200',
        temperatureCelsius: 60 + (index % 5),
        smClockMhz: 1_980 - 5 * (index % 4),
        powerWatts: 640 + index,
        leaseId: 'train-7',
        ...facts(index),
      }),
    ).flat();

  it('finds the hot one, the slow one and the one that holds its job back, and nobody in an even fleet', async () => {
    const samples = fleet((index) => ({
      ...(index === 3 ? { temperatureCelsius: 84 } : {}),
      ...(index === 5 ? { smClockMhz: 1_200 } : {}),
      ...(index === 9 ? { graphicsEngineActiveRatio: 0.5, gpuUtilRatio: 0.5, powerWatts: 300 } : {}),
    }));
    await insertSamples(samples, 'peers');
    const found = await comparePeers(store, { policy, step: at('14:00') });
    expect(found.map((one) => `${one.gpuUuid} ${one.signal}`)).toEqual([
      'GPU-peer-3 temperature_outlier_z',
      'GPU-peer-5 clock_to_peers_ratio',
      'GPU-peer-9 job_pace_ratio',
    ]);
    expect(found[0]?.during).toEqual({ start: at('14:00'), end: at('14:05') });
    const even = fleet(() => ({})).map((one) => ({ ...one, ts: msAfter(one.ts, 3_600_000) }));
    await insertSamples(even, 'even peers');
    expect(await comparePeers(store, { policy, step: at('15:00') })).toEqual([]);
  });

  it('looks at a step once it is over and has settled', () => {
    expect(time(newestStep(at('15:06:59')))).toBe('14:55');
    expect(time(newestStep(at('15:07:00')))).toBe('15:00');
  });
});
