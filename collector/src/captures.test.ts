import { existsSync, readFileSync } from 'node:fs';
import { instantFromMs } from '@poolmeter/domain';
import { decodeSampleRows, encodeSampleRows, sampleFlags, type GpuSample } from '@poolmeter/telemetry-schema';
import { parseMetrics } from 'dcgm-exporter-client';
import { describe, expect, it } from 'vitest';
import { agentEventIdentity } from './event-identity.js';
import { createSampleBuilder } from './sample-builder.js';

/** Real scrapes, kept beside the repository; see their README for sources and licences. */
const captures = new URL('../../../shared/data/dcgm-exporter/', import.meta.url);
const absent = !existsSync(captures);
if (absent) console.log(`Skipped: the captures of real exporters are not at ${captures.pathname}.`);

const MIB = 1_048_576;
const at = instantFromMs(1_767_225_600_000);

/** The samples of a capture as a reader of the table sees them: built, encoded, decoded. */
function stored(name: string): GpuSample[] {
  const parsed = parseMetrics(readFileSync(new URL(name, captures)));
  const builder = createSampleBuilder({
    fallbackNode: 'exporter-host',
    pool: 'main',
    providerId: 'north',
    identity: agentEventIdentity('test', 1n),
  });
  const { samples } = builder.samplesFrom(parsed.readings, {
    ts: at,
    ingestedAt: at,
    badLines: parsed.faultCount,
  });
  return decodeSampleRows(encodeSampleRows(samples), samples.length);
}

describe.skipIf(absent)('samples from captures of real exporters', () => {
  it('T4 under load', () => {
    expect(stored('cncf-ericsson-t4-busy-util-vs-engine.prom')).toEqual([
      {
        ts: at,
        ingestedAt: at,
        node: 'cp-bm14r7',
        gpuUuid: 'GPU-6d5c0ac5-74d7-3130-46f1-e93ed57f469a',
        gpuInstance: '',
        gpuInstanceProfile: '',
        gpuModel: 'Tesla T4',
        pool: 'main',
        providerId: 'north',
        gpuIndex: 0,
        leaseId: '',
        gpuUtilRatio: 0.91,
        memoryCopyUtilRatio: 0.73,
        graphicsEngineActiveRatio: 0.1562,
        smActiveRatio: null,
        smOccupancyRatio: null,
        tensorActiveRatio: 0.0058,
        dramActiveRatio: 0.0928,
        memoryUsedBytes: 5120 * MIB,
        // 9791 free + 5120 used + 447 reserved
        memoryTotalBytes: 15_358 * MIB,
        powerWatts: 68.2,
        powerLimitWatts: null,
        // 15 152 422 938 mJ
        energyJoules: 15_152_423,
        energyEpoch: 0,
        temperatureCelsius: 74,
        // The exporter says 0: a T4 has no such sensor.
        memoryTemperatureCelsius: null,
        temperatureMarginCelsius: null,
        smClockMhz: 660,
        memoryClockMhz: 5000,
        throttleReasons: null,
        // 4 791 810 B/s and 6 935 930 B/s, in steps of 64 KiB/s
        pcieTxBytesPerSecond: 73 * 65_536,
        pcieRxBytesPerSecond: 106 * 65_536,
        nvlinkBytesPerSecond: null,
        pcieReplayTotal: 0,
        eccCorrectableTotal: null,
        eccUncorrectableTotal: null,
        rowRemapCorrectableTotal: null,
        rowRemapUncorrectableTotal: null,
        rowRemapState: null,
        recoveryAction: null,
        lastXid: null,
        flags: 0,
      },
    ]);
  });

  it('L4: idle, no remapped rows', () => {
    expect(stored('cncf-kops-l4-two-scrapes.prom')).toMatchObject([
      {
        node: 'i-030791dc5a37cd257',
        gpuModel: 'NVIDIA L4',
        gpuUtilRatio: 0,
        powerWatts: 16.4,
        energyJoules: 4743,
        temperatureCelsius: 31,
        memoryTemperatureCelsius: null,
        memoryTotalBytes: (22_563 + 470) * MIB,
        rowRemapCorrectableTotal: 0,
        rowRemapUncorrectableTotal: 0,
        rowRemapState: 0,
      },
    ]);
  });

  it('L40S', () => {
    expect(stored('cncf-upcloud-l40s.prom')).toMatchObject([
      {
        gpuModel: 'NVIDIA L40S',
        powerWatts: 35.7,
        energyJoules: 5_551_900,
        dramActiveRatio: 0.0001,
        memoryTotalBytes: 46_067 * MIB,
        memoryTemperatureCelsius: null,
      },
    ]);
  });

  it('two L40S from a damaged page: what is whole counts, and the samples say that more is missing', () => {
    const samples = stored('cncf-viettel-2xl40s-values-truncated.prom');
    expect(samples.map((one) => [one.gpuIndex, one.smClockMhz, one.powerWatts, one.flags])).toEqual([
      [0, 210, null, sampleFlags.partialScrape],
      [1, 210, null, sampleFlags.partialScrape],
    ]);
  });

  it('vGPU guest: power, energy and profiling are null, not 0', () => {
    expect(stored('cncf-vks135-grid-a100-40c-vgpu.prom')).toMatchObject([
      {
        gpuModel: 'GRID A100-40C',
        powerWatts: null,
        energyJoules: null,
        graphicsEngineActiveRatio: null,
        temperatureCelsius: null,
        memoryTemperatureCelsius: null,
        gpuUtilRatio: 0,
        memoryUsedBytes: 0,
        memoryTotalBytes: (37_739 + 3220) * MIB,
      },
    ]);
  });

  it('T4s of an old driver: USED + FREE is the whole, FB_TOTAL too; throttle bits under their old name', () => {
    expect(stored('datadog-t4-label-heavy.prom')).toMatchObject([
      {
        node: '424773df46e0',
        memoryTotalBytes: 15_109 * MIB,
        lastXid: 0,
        nvlinkBytesPerSecond: 0,
        powerWatts: 9,
      },
      {
        node: '551bdf382151',
        memoryTotalBytes: 15_109 * MIB,
        throttleReasons: 1,
        powerLimitWatts: 70,
        lastXid: null,
      },
    ]);
  });

  it('A30 cut into instances: each energy counter once', () => {
    const samples = stored('issue317-a30-mig-energy-duplicated.prom');
    expect(samples.map((one) => [one.gpuIndex, one.gpuInstance, one.energyJoules, one.lastXid])).toEqual([
      // The largest of the repeated reads: 126 272 106 318 mJ.
      [0, '', 126_272_106, 0],
      [0, '3/0', null, 0],
      [0, '4/0', null, 0],
      [0, '5/0', null, 0],
      [0, '6/0', null, 0],
      [1, '', 134_473_487, null],
      [1, '3/0', null, null],
    ]);
    expect(samples.reduce((sum, one) => sum + (one.energyJoules ?? 0), 0)).toBe(126_272_106 + 134_473_487);
  });

  it('A100 with one instance', () => {
    const samples = stored('nvidia-docs-a100-mig-parent-and-gi.prom');
    expect(samples).toMatchObject([
      {
        node: 'ub20-a100-k8s',
        gpuInstance: '',
        gpuModel: '',
        powerWatts: 409.7,
        energyJoules: 319_159,
        memoryTemperatureCelsius: 69,
        graphicsEngineActiveRatio: 0.9956,
        memoryUsedBytes: 4845 * MIB,
        memoryTotalBytes: 40_535 * MIB,
        nvlinkBytesPerSecond: 0,
        lastXid: 0,
      },
      {
        gpuInstance: '13/0',
        gpuInstanceProfile: '1g.5gb',
        graphicsEngineActiveRatio: 0.9957,
        tensorActiveRatio: 0.9304,
        dramActiveRatio: 0.8003,
        powerWatts: null,
        energyJoules: null,
        lastXid: 0,
      },
    ]);
  });

  it('the oldest exporter: a leaked sentinel is null', () => {
    expect(stored('nvidia-docs-plain-blank-value.prom')).toMatchObject([
      {
        node: 'exporter-host',
        smClockMhz: 139,
        memoryClockMhz: 405,
        memoryTemperatureCelsius: null,
        flags: 0,
      },
    ]);
  });
});
