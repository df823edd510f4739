import { encodeSampleRows, type GpuSample } from '@poolmeter/telemetry-schema';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ZodType } from 'zod';
import { clickhouseTypesOf } from '../column.js';
import type { QueryDefinition } from '../define-query.js';
import { sampleAt, TEN_O_CLOCK_MS } from '../sample-rows.js';
import { startTestStore, type TestStore } from '../start-test-store.js';
import { gpuSamplesInsert, tables } from '../tables.js';
import { eventsSince } from './events-since.js';
import { evidenceEnergy } from './evidence-energy.js';
import { evidenceQualityByMinute } from './evidence-quality-by-minute.js';
import { evidenceQuality } from './evidence-quality.js';
import { fleetUtilisation } from './fleet-utilisation.js';
import { gpuList } from './gpu-list.js';
import { gpuSamplesByHour } from './gpu-samples-by-hour.js';
import { gpuSamplesByMinute } from './gpu-samples-by-minute.js';
import { gpuSamplesRaw } from './gpu-samples-raw.js';
import { gpuSamplesStepped } from './gpu-samples-stepped.js';
import { readGpuSamples, sampleTableFor, stepSecondsFor } from './gpu-samples.js';
import { gpuWindow } from './gpu-window.js';
import { nodeLastSeen } from './node-last-seen.js';
import { samplesSince } from './samples-since.js';

const FROM = TEN_O_CLOCK_MS;
const MINUTE = 60_000;
const HOUR = 3_600_000;

/** GPU-aaaa every 10 s for 10 minutes, silent in minutes 4 and 5; GPU-mig with an instance; GPU-bbbb once. */
function samples(): GpuSample[] {
  const rows: GpuSample[] = [];
  for (let offset = 0; offset < 10 * MINUTE; offset += 10_000) {
    const minute = Math.floor(offset / MINUTE);
    if (minute === 4 || minute === 5) continue;
    rows.push(
      sampleAt(FROM + offset, {
        smActiveRatio: minute < 5 ? 0.2 : 0.6,
        gpuUtilRatio: minute < 5 ? 0.2 : 0.6,
        temperatureCelsius: 60 + minute,
        energyJoules: minute < 8 ? 1_000 + offset / 100 : offset / 100,
        energyEpoch: minute < 8 ? 0 : 1,
        throttleReasons: minute === 9 ? 0x60 : 0,
        leaseId: 'lease-1',
      }),
    );
  }
  rows.push(
    sampleAt(FROM, { gpuUuid: 'GPU-mig', gpuIndex: 4, smActiveRatio: null, gpuUtilRatio: null }),
    sampleAt(FROM, {
      gpuUuid: 'GPU-mig',
      gpuIndex: 4,
      gpuInstance: '13/0',
      gpuInstanceProfile: '1g.10gb',
      energyJoules: null,
      smActiveRatio: 0.5,
    }),
    sampleAt(FROM + MINUTE, { gpuUuid: 'GPU-bbbb', node: 'gpu-02', pool: 'other', providerId: 'south' }),
  );
  return rows;
}

const event = (offset: number, fields: object = {}) => ({
  ts: new Date(FROM).toISOString(),
  boot_id: 'boot-1',
  sequence: String(offset),
  node: 'gpu-01',
  gpu_uuid: 'GPU-aaaa',
  kind: 'xid',
  code: 79,
  message: 'NVRM: Xid (PCI:0000:17:00): 79, GPU has fallen off the bus.',
  detail: '{"pci_bus_id":"0000:17:00"}',
  demo: false,
  bus_partition: 0,
  bus_offset: String(offset),
  ...fields,
});

const range = { gpu_uuid: 'GPU-aaaa', from_ms: FROM, to_ms: FROM + 10 * MINUTE };

/** Every query with parameters that find rows: its answer is held against its row schema. */
const everyQuery: { definition: QueryDefinition; params: object }[] = [
  { definition: gpuList, params: {} },
  { definition: samplesSince, params: { stored_from_ms: 0 } },
  { definition: gpuSamplesRaw, params: { ...range, limit: 10 } },
  { definition: gpuSamplesStepped, params: { ...range, limit: 10, step_s: 30 } },
  { definition: gpuSamplesByMinute, params: { ...range, limit: 10, step_s: 60 } },
  { definition: gpuSamplesByHour, params: { ...range, limit: 10, step_s: 3600 } },
  { definition: eventsSince, params: { partitions: [0], next_offsets: [0n], limit: 10 } },
  { definition: gpuWindow, params: { from_ms: FROM, to_ms: FROM + 10 * MINUTE } },
  { definition: evidenceQuality, params: { ...range, max_gap_ms: 20_000 } },
  { definition: evidenceQualityByMinute, params: range },
  { definition: evidenceEnergy, params: range },
  { definition: nodeLastSeen, params: {} },
  { definition: fleetUtilisation, params: { from_ms: FROM, to_ms: FROM + HOUR, step_s: 60 } },
];

describe('queries on a real store', () => {
  let test: TestStore;
  beforeAll(async () => {
    test = await startTestStore();
    await test.store.insert({ ...gpuSamplesInsert, values: encodeSampleRows(samples()), token: 'samples' });
    const copy = event(30, { sequence: '10' });
    const values = [event(10), event(20), copy, event(5, { bus_partition: 1, node: 'gpu-02' })];
    await test.store.insert({ table: tables.gpuEvents, format: 'JSONEachRow', values, token: 'events' });
  });
  afterAll(() => test.stop());

  it.each(everyQuery)(
    '$definition.name: the types of the answer are those of its row',
    async ({ definition, params }) => {
      const rows = await test.store.query(definition, params);
      expect(rows.length).toBeGreaterThan(0);
      const answered = await answeredTypes(test, definition, params);
      expect(answered.map((each) => each.name)).toEqual(Object.keys(definition.row.shape));
      for (const { name, type } of answered) {
        const { types, nullable } = clickhouseTypesOf(definition.row.shape[name] as ZodType);
        const plain = plainType(type);
        const inner = /^Nullable\((.*)\)$/.exec(plain)?.[1];
        expect(types, `${name} is ${type}`).toContain(inner ?? plain);
        expect(nullable || inner === undefined, `${name} is ${type}`).toBe(true);
      }
    },
  );

  it('gpu-list: the newest sample per GPU and instance, instances after their GPU', async () => {
    const rows = await test.store.query(gpuList, {});
    expect(rows.map((row) => [row.node, row.gpu_uuid, row.gpu_instance, row.ts])).toEqual([
      ['gpu-01', 'GPU-aaaa', '', FROM + 10 * MINUTE - 10_000],
      ['gpu-01', 'GPU-mig', '', FROM],
      ['gpu-01', 'GPU-mig', '13/0', FROM],
      ['gpu-02', 'GPU-bbbb', '', FROM + MINUTE],
    ]);
    expect(rows[0]).toMatchObject({
      temperature_celsius: 69,
      memory_used_bytes: 61_000 * 1_048_576,
      lease_id: 'lease-1',
    });
    expect(rows[2]).toMatchObject({
      gpu_instance_profile: '1g.10gb',
      energy_joules: null,
      sm_active_ratio: 0.5,
    });
    expect(await test.store.query(gpuList, { pool: 'other' })).toHaveLength(1);
    expect(await test.store.query(gpuList, { seen_after_ms: FROM + 2 * MINUTE })).toHaveLength(1);
  });

  it('gpu-list: an older sample that arrives late does not replace a newer one', async () => {
    const late = encodeSampleRows([
      sampleAt(FROM - HOUR, { gpuUuid: 'GPU-bbbb', node: 'gpu-02', pool: 'other' }),
    ]);
    await test.store.insert({ ...gpuSamplesInsert, values: late, token: 'late' });
    const [row] = await test.store.query(gpuList, { gpu_uuid: 'GPU-bbbb' });
    expect(row?.ts).toBe(FROM + MINUTE);
  });

  it('samples-since: only what the store got from the position on', async () => {
    const all = await test.store.query(samplesSince, { stored_from_ms: 0 });
    const last = all.at(-1)!.stored_at;
    expect(await test.store.query(samplesSince, { stored_from_ms: last + 1 })).toEqual([]);
    expect((await test.store.query(samplesSince, { stored_from_ms: last })).length).toBeGreaterThan(0);
  });

  it('minutes say the same as the raw rows drawn together per minute', async () => {
    const stepped = await test.store.query(gpuSamplesStepped, { ...range, limit: 100, step_s: 60 });
    const minutes = await test.store.query(gpuSamplesByMinute, { ...range, limit: 100, step_s: 60 });
    expect(minutes).toHaveLength(8);
    for (const [index, minute] of minutes.entries()) {
      for (const [name, value] of Object.entries(minute)) {
        const expected = stepped[index]?.[name as keyof typeof minute];
        if (typeof value === 'number') expect(value, name).toBeCloseTo(Number(expected), 9);
        else expect(value, name).toEqual(expected);
      }
    }
  });

  it('hours say the same as the raw rows drawn together per hour', async () => {
    const [stepped] = await test.store.query(gpuSamplesStepped, { ...range, limit: 1, step_s: 3600 });
    const [hour] = await test.store.query(gpuSamplesByHour, { ...range, limit: 1, step_s: 3600 });
    expect(hour?.sm_active_ratio).toBeCloseTo(stepped!.sm_active_ratio!, 9);
    expect(hour).toMatchObject({
      sample_count: 48,
      energy_joules: 5_900,
      energy_epoch: 1,
      throttle_reasons: 0x60,
    });
  });

  it('readGpuSamples takes the table that the step asks for', async () => {
    const request = { gpuUuid: 'GPU-aaaa', fromMs: FROM, toMs: FROM + 10 * MINUTE, limit: 1_000 };
    expect(await readGpuSamples(test.store, request)).toHaveLength(48);
    expect(await readGpuSamples(test.store, { ...request, stepMs: MINUTE })).toHaveLength(8);
    expect(await readGpuSamples(test.store, { ...request, stepMs: HOUR })).toHaveLength(1);
    expect(await readGpuSamples(test.store, { ...request, stepMs: 0, limit: 5 })).toHaveLength(5);
    expect(() => readGpuSamples(test.store, { ...request, stepMs: 1_500 })).toThrow(/whole seconds/);
  });

  it('events-since: per partition from its offset on; a partition that is not named, from its start', async () => {
    const read = async (partitions: number[], next_offsets: bigint[]) =>
      (await test.store.query(eventsSince, { partitions, next_offsets, limit: 100 })).map((row) => [
        row.bus_partition,
        row.bus_offset,
      ]);
    expect(await read([0, 1], [20n, 6n])).toContainEqual([0, 20n]);
    expect(await read([0, 1], [20n, 6n])).not.toContainEqual([0, 10n]);
    expect(await read([0], [1_000n])).toEqual([[1, 5n]]);
    expect(await read([], [])).toContainEqual([1, 5n]);
  });

  it('gpu_events keeps the copy that was read first, so that its position never changes', async () => {
    await test.store.command('OPTIMIZE TABLE gpu_events FINAL');
    const rows = await test.store.query(eventsSince, { partitions: [1], next_offsets: [6n], limit: 100 });
    expect(rows.map((row) => row.bus_offset)).toEqual([10n, 20n]);
  });

  it('gpu-window: extremes and means of whole minutes', async () => {
    const [row] = await test.store.query(gpuWindow, {
      from_ms: FROM,
      to_ms: FROM + 10 * MINUTE,
      gpu_uuids: ['GPU-aaaa'],
    });
    expect(row).toMatchObject({
      sample_count: 48,
      minutes_seen: 8,
      temperature_celsius_max: 69,
      throttle_hw_thermal_count: 6,
      throttle_sw_thermal_count: 6,
      throttle_hw_power_brake_count: 0,
      lease_id: 'lease-1',
    });
    expect(row?.sm_active_ratio).toBeCloseTo(0.4, 9);
  });

  it('evidence-quality: what samples vouch for, what they do not, and the mean over covered time', async () => {
    const [row] = await test.store.query(evidenceQuality, { ...range, max_gap_ms: 20_000 });
    // 4 minutes and the 20 s that the last sample before the silence vouches for, then 4 minutes more.
    expect(row).toMatchObject({
      sample_count: 48,
      covered_ms: 8 * MINUTE + 10_000,
      gap_ms: 2 * MINUTE - 10_000,
    });
    expect(row?.mean_activity_ratio).toBeCloseTo((250 * 0.2 + 240 * 0.6) / 490, 9);
  });

  it('evidence-quality: an interval without any sample is one gap', async () => {
    const nowhere = { ...range, gpu_uuid: 'GPU-none' };
    const none = {
      sample_count: 0,
      covered_ms: 0,
      gap_ms: 10 * MINUTE,
      mean_activity_ratio: null,
      ts_first: null,
    };
    expect((await test.store.query(evidenceQuality, { ...nowhere, max_gap_ms: 20_000 }))[0]).toMatchObject(
      none,
    );
    expect((await test.store.query(evidenceQualityByMinute, nowhere))[0]).toMatchObject(none);
  });

  it('evidence-quality-by-minute: edges within a minute count to the millisecond', async () => {
    const [row] = await test.store.query(evidenceQualityByMinute, { ...range, from_ms: FROM + 1_500 });
    expect(row).toMatchObject({ covered_ms: 8 * MINUTE - 1_500, gap_ms: 2 * MINUTE });
  });

  it('evidence-energy: one row per epoch of the counter', async () => {
    const rows = await test.store.query(evidenceEnergy, range);
    expect(rows.map((row) => [row.energy_epoch, row.energy_joules])).toEqual([
      [0, 4_700],
      [1, 1_100],
    ]);
  });

  it('node-last-seen: by node, with its number of GPUs', async () => {
    const rows = await test.store.query(nodeLastSeen, {});
    expect(rows.map((row) => [row.node, row.pool, row.gpu_count, row.last_ts])).toEqual([
      ['gpu-01', 'main', 2, FROM + 10 * MINUTE - 10_000],
      ['gpu-02', 'other', 1, FROM + MINUTE],
    ]);
  });

  it('fleet-utilisation: GPUs that said nothing count as seen but not as idle', async () => {
    const [row] = await test.store.query(fleetUtilisation, {
      from_ms: FROM,
      to_ms: FROM + MINUTE,
      step_s: 60,
      pool: 'main',
    });
    expect(row).toMatchObject({ pool: 'main', gpu_count: 2 });
    expect(row?.sm_active_ratio).toBeCloseTo(0.2, 9);
  });
});

describe('the table for a step', () => {
  it.each([
    [0, 'raw'],
    [10, 'stepped'],
    [90, 'stepped'],
    [60, 'minute'],
    [300, 'minute'],
    [3_600, 'hour'],
    [86_400, 'hour'],
  ] as const)('a step of %i s is read from %s', (stepS, table) => {
    expect(sampleTableFor(stepS)).toBe(table);
  });

  it.each([
    [6 * HOUR, 0],
    [7 * 24 * HOUR, 60],
    [30 * 24 * HOUR, 3_600],
  ])('a range of %i ms is drawn every %i s', (rangeMs, stepS) => {
    expect(stepSecondsFor(rangeMs)).toBe(stepS);
  });
});

/** Without what changes how a value is stored but not how it reads. */
function plainType(type: string): string {
  return type
    .replaceAll(/LowCardinality\(([^()]*)\)/g, '$1')
    .replaceAll(/SimpleAggregateFunction\(\w+, ((?:[^()]|\([^()]*\))*)\)/g, '$1');
}

async function answeredTypes(test: TestStore, definition: QueryDefinition, params: object) {
  const { url, username, password, database } = test.server;
  const address = new URL(url);
  const parameters = definition.params.parse(params) as Record<string, unknown>;
  for (const [name, value] of Object.entries(parameters)) {
    const text = Array.isArray(value)
      ? `[${value.map((each) => (typeof each === 'string' ? `'${each}'` : String(each))).join(',')}]`
      : String(value);
    address.searchParams.set(`param_${name}`, text);
  }
  address.searchParams.set('database', database);
  address.searchParams.set('default_format', 'JSON');
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const response = await fetch(address, { method: 'POST', body: definition.sql, headers: { authorization } });
  const answer = (await response.json()) as { meta: { name: string; type: string }[] };
  return answer.meta;
}
