import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { GpuReading } from './gpu-reading.js';
import { parseMetrics } from './parse-metrics.js';

/** Real scrapes, kept beside the repository; see their README for sources and licences. */
const captures = new URL('../../../../shared/data/dcgm-exporter/', import.meta.url);
const absent = !existsSync(captures);
if (absent) console.log(`Skipped: the captures of real exporters are not at ${captures.pathname}.`);

const parse = (name: string) => parseMetrics(readFileSync(new URL(name, captures)));

/** The values of a reading under their DCGM field ids. */
const values = (reading: GpuReading | undefined) => Object.fromEntries(reading?.values ?? []);

describe.skipIf(absent)('captures of real exporters', () => {
  it('T4 under load: utilisation is high while the engine is not', () => {
    const parsed = parse('cncf-ericsson-t4-busy-util-vs-engine.prom');
    expect(parsed).toMatchObject({ faultCount: 0, blankCount: 0 });
    expect(parsed.readings).toMatchObject([
      {
        gpuUuid: 'GPU-6d5c0ac5-74d7-3130-46f1-e93ed57f469a',
        gpuIndex: 0,
        gpuInstanceId: '',
        modelName: 'Tesla T4',
        hostname: 'cp-bm14r7',
        pciBusId: '00000000:37:00.0',
        driverVersion: '590.48.01',
        attributions: [],
      },
    ]);
    expect(values(parsed.readings[0])).toEqual({
      100: 660,
      101: 5000,
      140: 0,
      150: 74,
      155: 68.244,
      156: 15_152_422_938,
      202: 0,
      203: 91,
      204: 73,
      206: 0,
      207: 0,
      251: 9791,
      252: 5120,
      253: 447,
      526: 0,
      1001: 0.156205,
      1004: 0.005822,
      1005: 0.092781,
      1009: 4_791_810,
      1010: 6_935_930,
    });
  });

  it('L4, two scrapes in one file: one GPU, each value once', () => {
    const parsed = parse('cncf-kops-l4-two-scrapes.prom');
    expect(parsed.faultCount).toBe(0);
    expect(parsed.readings).toHaveLength(1);
    expect(parsed.readings[0]).toMatchObject({ modelName: 'NVIDIA L4', hostname: 'i-030791dc5a37cd257' });
    expect(values(parsed.readings[0])).toMatchObject({
      100: 210,
      150: 31,
      155: 16.365,
      156: 4_742_776,
      393: 0,
      395: 0,
    });
  });

  it('L40S', () => {
    const parsed = parse('cncf-upcloud-l40s.prom');
    expect(parsed.faultCount).toBe(0);
    expect(parsed.readings).toMatchObject([
      { modelName: 'NVIDIA L40S', pciBusId: '00000000:00:07.0', driverVersion: '595.58.03' },
    ]);
    expect(values(parsed.readings[0])).toMatchObject({
      251: 45_459,
      253: 608,
      1005: 0.000131,
      1009: 175_084,
    });
  });

  it('two L40S with labels cut out by hand: only the whole lines count, the others are named', () => {
    const parsed = parse('cncf-viettel-2xl40s-values-truncated.prom');
    expect(parsed.readings.map((one) => [one.gpuUuid, values(one)])).toEqual([
      ['GPU-a8affe7e-7930-ae20-3fc6-4b0edf3ebbf3', { 100: 210 }],
      ['GPU-72ad4d20-cfed-f08d-c894-f620962ca3e4', { 100: 210 }],
    ]);
    expect(parsed.faultCount).toBe(18);
    expect(parsed.faults[0]).toMatchObject({ lineNumber: 3, reason: 'labels' });
  });

  it('a vGPU guest: no power, no energy, no profiling', () => {
    const parsed = parse('cncf-vks135-grid-a100-40c-vgpu.prom');
    expect(parsed.faultCount).toBe(0);
    expect(parsed.readings[0]).toMatchObject({ modelName: 'GRID A100-40C' });
    expect([...(parsed.readings[0]?.values.keys() ?? [])]).toEqual([
      100, 101, 140, 203, 204, 206, 207, 251, 252, 253, 526,
    ]);
    expect(values(parsed.readings[0])).toMatchObject({ 251: 37_739, 252: 0, 253: 3220, 526: 1 });
    expect([155, 156, 1001].map((id) => parsed.readings[0]?.values.has(id))).toEqual([false, false, false]);
  });

  it('T4s with many label fields, from two exporters', () => {
    const parsed = parse('datadog-t4-label-heavy.prom');
    expect(parsed.faultCount).toBe(0);
    expect(parsed.readings.map((one) => [one.hostname, one.driverVersion, one.serial])).toEqual([
      ['424773df46e0', '460.106.00', ''],
      ['551bdf382151', '470.182.03', '1565220008176'],
    ]);
    expect(values(parsed.readings[0])).toMatchObject({ 155: 8.969, 156: 128_996_013, 230: 0, 251: 15_109 });
    expect(values(parsed.readings[1])).toMatchObject({ 112: 1, 158: 93, 190: 8, 250: 15_109 });
  });

  it('A30 in MIG mode: one counter stands on each of its instances', () => {
    const parsed = parse('issue317-a30-mig-energy-duplicated.prom');
    expect(parsed.faultCount).toBe(0);
    expect(parsed.readings.map((one) => [one.gpuIndex, one.gpuInstanceId, one.values.get(156)])).toEqual([
      [0, '3', 126_272_101_025],
      [0, '4', 126_272_101_025],
      [0, '5', 126_272_106_318],
      [0, '6', 126_272_101_025],
      [1, '3', 134_473_486_744],
    ]);
    expect(parsed.readings.every((one) => one.gpuInstanceProfile === '1g.6gb')).toBe(true);
  });

  it('A100 with a MIG instance: the GPU and its instance apart', () => {
    const parsed = parse('nvidia-docs-a100-mig-parent-and-gi.prom');
    expect(parsed.faultCount).toBe(0);
    const [gpu, instance] = parsed.readings;
    expect(values(gpu)).toMatchObject({
      140: 69,
      155: 409.692,
      156: 319_159_391,
      1001: 0.99563,
      1010: 97_863_601,
    });
    expect(instance).toMatchObject({ gpuInstanceId: '13', gpuInstanceProfile: '1g.5gb' });
    expect(values(instance)).toEqual({ 230: 0, 1001: 0.995687, 1004: 0.930433, 1005: 0.800339 });
  });

  it('the oldest label set, with a leaked sentinel', () => {
    const parsed = parse('nvidia-docs-plain-blank-value.prom');
    expect(parsed).toMatchObject({ faultCount: 0, blankCount: 1 });
    expect(parsed.readings).toHaveLength(1);
    expect(values(parsed.readings[0])).toEqual({ 100: 139, 101: 405 });
  });
});
