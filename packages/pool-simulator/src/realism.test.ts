/**
 * Held against real fleets: the percentiles of Acme's A100 clusters (AcmeTrace) and captures of an H100, an L40S and
 * kernel logs. The data is not part of the repository; where it is absent, the tests say so and are skipped.
 */
import { instantFromMs, parseInstant } from '@poolmeter/domain';
import { parseMetrics, type GpuReading } from 'dcgm-exporter-client';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { gpuModels } from './gpu-model.js';
import { defaultPoolShape, type PoolShape } from './pool-shape.js';
import { createSimulatedPool } from './simulated-pool.js';

const dataFolder = new URL('../../../../shared/data/', import.meta.url);
const marginalsFile = new URL('traces/marginals_acme_a100_percentiles.csv.gz', dataFolder);
const h100File = new URL('nvidia-smi/linux-x86_64__nvidia-h100-80gb-hbm3__590.48.01.capture.txt', dataFolder);
const l40sFile = new URL('dcgm-exporter/cncf-upcloud-l40s.prom', dataFolder);
const xidLinesFile = new URL('kernel-log/xid-lines.tsv', dataFolder);

function absent(...files: URL[]): boolean {
  const missing = files.filter((file) => !existsSync(file));
  if (missing.length > 0) {
    console.log(
      `Skipped, because this data is absent: ${missing.map((file) => fileURLToPath(file)).join(', ')}`,
    );
  }
  return missing.length > 0;
}

const start = parseInstant('2026-03-02T00:00:00Z');
const MINUTE_MS = 60_000;
const DAY_MINUTES = 1440;

/** Readings of whole boards over a week, every 47 minutes and after the first hour. */
function weekOf(shape: PoolShape, seeds: readonly number[]): GpuReading[] {
  const readings: GpuReading[] = [];
  for (const seed of seeds) {
    const pool = createSimulatedPool({ seed, startAt: start, shape });
    pool.advanceTo(instantFromMs(start + 7 * DAY_MINUTES * MINUTE_MS));
    for (let minute = 60; minute < 7 * DAY_MINUTES; minute += 47) {
      for (const { node } of pool.nodes()) {
        const outcome = pool.scrape(node, instantFromMs(start + minute * MINUTE_MS + 13_000));
        if (outcome.kind === 'text') readings.push(...parseMetrics(outcome.text).readings);
      }
    }
  }
  return readings.filter((reading) => reading.gpuInstanceId === '');
}

function percentileOf(readings: readonly GpuReading[], fieldId: number): (percent: number) => number {
  const sorted = readings.map((one) => one.values.get(fieldId)!).sort((a, b) => a - b);
  return (percent) => sorted[Math.floor((sorted.length * percent) / 100)]!;
}

const skipAcme = absent(marginalsFile);

describe.skipIf(skipAcme)('an A100 fleet beside the two of Acme', () => {
  if (skipAcme) return;
  const { a100 } = gpuModels;
  const shape: PoolShape = {
    ...defaultPoolShape(),
    nodes: Array.from({ length: 6 }, (_, n) => ({
      node: `a100-${n}`,
      providerId: 'north',
      gpuModel: a100.name,
      gpus: 8,
    })),
  };
  const readings = weekOf(shape, [1, 2, 3]);
  const acme = new Map<string, number>();
  for (const line of gunzipSync(readFileSync(marginalsFile)).toString().trim().split('\n').slice(1)) {
    const [file, series, percentile, value] = line.split(',') as [string, string, string, string];
    acme.set(`${file}/${series}/${percentile}`, Number(value));
  }
  /** Between the two clusters, widened by the tolerance on both sides. */
  const between = (
    series: readonly string[],
    percent: number,
    tolerance: { by: number } | { times: number },
  ) => {
    const values = series.map((one) => acme.get(`${one}/${percent}`)!);
    for (const value of values) expect(value).toBeTypeOf('number');
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return 'by' in tolerance
      ? [low - tolerance.by, high + tolerance.by]
      : [low * (1 - tolerance.times), high * (1 + tolerance.times)];
  };
  const holds = (
    fieldId: number,
    series: readonly string[],
    check: { percent: number; scale?: number } & ({ by: number } | { times: number }),
  ) => {
    const [low, high] = between(series, check.percent, check) as [number, number];
    const value = percentileOf(readings, fieldId)(check.percent) * (check.scale ?? 1);
    expect(value).toBeGreaterThanOrEqual(low);
    expect(value).toBeLessThanOrEqual(high);
  };

  const power = ['gpu_power_kalos/0', 'gpu_power_seren/0'];
  const util = ['util_gpu_kalos_full/0', 'util_gpu_seren/0'];
  const temperature = ['gpu_temp_kalos/0', 'gpu_temp_seren/0'];
  const memoryTemperature = ['gpu_temp_kalos/1', 'gpu_temp_seren/1'];
  const smActive = ['util_gpu_kalos_full/2', 'util_gpu_seren/2'];
  const tensorActive = ['util_gpu_kalos_full/3', 'util_gpu_seren/3'];

  // GPU_UTIL is bimodal: a quarter of all samples is 0, half of them are full. Tolerance 5 points.
  it.each([5, 25, 50, 75, 90, 99])('utilisation at p%i within 5 points', (percent) =>
    holds(203, util, { percent, by: 5 }),
  );

  // Edges of the distribution within 12 %; the median falls into the gap between idle and busy, so 60 %.
  it.each([
    [5, 0.12],
    [25, 0.15],
    [50, 0.6],
    [75, 0.12],
    [90, 0.12],
    [95, 0.12],
    [99, 0.12],
  ])('power at p%i within %f of the clusters', (percent, times) => holds(155, power, { percent, times }));

  // Ratios within 0.15, the median within 0.30 (it too falls into the gap).
  it.each([
    [25, 15],
    [50, 30],
    [75, 25],
    [90, 15],
    [95, 15],
  ])('SM activity at p%i within %i points', (percent, by) =>
    holds(1002, smActive, { percent, by, scale: 100 }),
  );

  it.each([25, 50, 75, 90, 95])('tensor activity at p%i within 12 points', (percent) =>
    holds(1004, tensorActive, { percent, by: 12, scale: 100 }),
  );

  it.each([5, 25, 50, 75, 90, 95])('temperature at p%i within 6 °C', (percent) =>
    holds(150, temperature, { percent, by: 6 }),
  );

  it.each([5, 25, 50, 75, 90, 95])('memory temperature at p%i within 6 °C', (percent) =>
    holds(140, memoryTemperature, { percent, by: 6 }),
  );
});

const skipH100 = absent(h100File);

describe.skipIf(skipH100)('an H100 beside its nvidia-smi captures', () => {
  if (skipH100) return;
  const capture = readFileSync(h100File, 'utf8');
  const rows = capture.split('\n').filter((line) => /^\d{4}\/\d{2}\/\d{2} .*590\.48\.01/.test(line));
  const header = capture.split('\n').find((line) => line.startsWith('timestamp, driver_version'))!;
  const columns = header.split(', ');
  const captured = (row: string, column: string) =>
    Number.parseFloat(row.split(', ')[columns.indexOf(column)]!);
  const [idle, loaded] = rows as [string, string];
  const readings = weekOf(defaultPoolShape(), [1]).filter((one) => one.modelName === gpuModels.h100.name);
  const resting = readings.filter((one) => one.values.get(252) === 0 && one.values.get(112) === 1);
  const working = readings.filter((one) => one.values.get(203)! >= 99 && one.values.get(155)! > 600);

  it('is the same board', () => {
    const { h100 } = gpuModels;
    expect([captured(idle, 'memory.total [MiB]'), captured(idle, 'memory.reserved [MiB]')]).toEqual([
      h100.memoryTotalMib,
      h100.memoryReservedMib,
    ]);
    expect(captured(idle, 'power.limit [W]')).toBe(h100.powerLimitWatts);
    expect(captured(idle, 'clocks.max.sm [MHz]')).toBe(h100.smClockMaxMhz);
  });

  it('rests like it: power within 10 %, temperature within 6 °C, the same clocks', () => {
    expect(resting.length).toBeGreaterThan(50);
    const median = (id: number) => percentileOf(resting, id)(50);
    expect(Math.abs(median(155) / captured(idle, 'power.draw [W]') - 1)).toBeLessThan(0.1);
    expect(Math.abs(median(150) - captured(idle, 'temperature.gpu'))).toBeLessThan(6);
    expect(Math.abs(median(140) - captured(idle, 'temperature.memory'))).toBeLessThan(6);
    expect(median(100)).toBe(captured(idle, 'clocks.current.sm [MHz]'));
    expect(median(101)).toBe(captured(idle, 'clocks.current.memory [MHz]'));
  });

  it('works like it: temperature within 10 °C at the same power, clocks within 10 %', () => {
    const watts = captured(loaded, 'power.draw [W]');
    const alike = working.filter((one) => Math.abs(one.values.get(155)! - watts) < 40);
    expect(alike.length).toBeGreaterThan(30);
    const median = (id: number) => percentileOf(alike, id)(50);
    expect(Math.abs(median(150) - captured(loaded, 'temperature.gpu'))).toBeLessThan(10);
    expect(Math.abs(median(140) - captured(loaded, 'temperature.memory'))).toBeLessThan(10);
    expect(median(100) / captured(loaded, 'clocks.current.sm [MHz]')).toBeGreaterThan(0.9);
  });
});

const skipL40s = absent(l40sFile);

it.skipIf(skipL40s)('an L40S has the series of its capture, with the same HELP, TYPE and label names', () => {
  const captured = readFileSync(l40sFile, 'utf8').split('\n');
  const pool = createSimulatedPool({ seed: 1, startAt: start });
  const ours = pool.metricsText('gpu-05', start).split('\n');
  const comments = captured.filter((line) => line.startsWith('# '));
  expect(comments.length).toBeGreaterThan(40);
  for (const line of comments) expect(ours).toContain(line);
  const labelNames = (line: string) => [...line.matchAll(/(\w+)="/g)].map((match) => match[1]);
  const row = (lines: string[]) => lines.find((line) => line.startsWith('DCGM_FI_DEV_GPU_TEMP{'))!;
  expect(labelNames(row(ours)).slice(0, 7)).toEqual(labelNames(row(captured)));
});

const skipXids = absent(xidLinesFile);

it.skipIf(skipXids)('Xid lines have the shape of real ones', () => {
  // Codes, process and bus address are replaced, so that only the wording is compared.
  const shapeOf = (line: string) =>
    line
      .replace(/^.*?NVRM: /, 'NVRM: ')
      .replace(/PCI:[0-9a-f:.]+/i, 'PCI:#')
      .replace(/GPU [0-9a-f:.]+:/, 'GPU #:')
      .replace(/pid=(\d+|'<unknown>'), name=\S+, /, '')
      .replace(/0x[0-9a-f]+/gi, '0x#')
      .replace(/\d+/g, '#');
  const real = new Set(
    readFileSync(xidLinesFile, 'utf8')
      .split('\n')
      .filter((line) => line.includes('NVRM'))
      .map((line) => shapeOf(line.split('\t')[1]!)),
  );
  const fault = (kind: 'xid_79' | 'xid_13', hour: number) => ({
    kind,
    node: 'gpu-01',
    gpuIndex: 0,
    at: instantFromMs(start + hour * 3_600_000),
    healthyAt: instantFromMs(start + (hour + 1) * 3_600_000),
  });
  const pool = createSimulatedPool({
    seed: 1,
    startAt: start,
    scenario: { faults: [fault('xid_79', 1), fault('xid_13', 3)] },
  });
  pool.advanceTo(instantFromMs(start + 5 * 3_600_000));
  const lines = pool.kernelLines('gpu-01', start, pool.now()).filter((line) => line.includes('NVRM:'));
  expect(lines.length).toBe(6);
  for (const line of lines) expect([...real]).toContain(shapeOf(line));
});
