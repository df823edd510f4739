/** For tests: samples with believable values, and every field open to be set. */
import { instantFromMs } from '@poolmeter/domain';
import type { GpuSample } from '@poolmeter/telemetry-schema';

/** 2026-03-01T10:00:00Z. */
export const TEN_O_CLOCK_MS = Date.UTC(2026, 2, 1, 10);

export function sampleAt(ms: number, fields: Partial<GpuSample> = {}): GpuSample {
  return {
    ts: instantFromMs(ms),
    ingestedAt: instantFromMs(ms + 40),
    node: 'gpu-01',
    gpuUuid: 'GPU-aaaa',
    gpuInstance: '',
    gpuInstanceProfile: '',
    gpuModel: 'NVIDIA H100 80GB HBM3',
    pool: 'main',
    providerId: 'north',
    gpuIndex: 3,
    leaseId: '',
    gpuUtilRatio: 0.98,
    memoryCopyUtilRatio: 0.41,
    graphicsEngineActiveRatio: 0.9712,
    smActiveRatio: 0.8123,
    smOccupancyRatio: 0.3312,
    tensorActiveRatio: 0.4511,
    dramActiveRatio: 0.3921,
    memoryUsedBytes: 61_000 * 1_048_576,
    memoryTotalBytes: 81_559 * 1_048_576,
    powerWatts: 612.4,
    powerLimitWatts: 700,
    energyJoules: 1_234_567,
    energyEpoch: 0,
    temperatureCelsius: 61,
    memoryTemperatureCelsius: 72,
    temperatureMarginCelsius: 26,
    smClockMhz: 1_755,
    memoryClockMhz: 2_619,
    throttleReasons: 0,
    pcieTxBytesPerSecond: 12 * 65_536,
    pcieRxBytesPerSecond: 34 * 65_536,
    nvlinkBytesPerSecond: 560 * 65_536,
    pcieReplayTotal: 0,
    eccCorrectableTotal: 2,
    eccUncorrectableTotal: 0,
    rowRemapCorrectableTotal: 0,
    rowRemapUncorrectableTotal: 0,
    rowRemapState: 0,
    recoveryAction: 0,
    lastXid: 0,
    flags: 0,
    ...fields,
  };
}

const KEPT = new Set(['ts', 'ingestedAt', 'gpuIndex', 'energyEpoch', 'flags']);

/** What an exporter that knows nothing but the GPU's name gives. */
export const nothingMeasured: Partial<GpuSample> = Object.fromEntries(
  Object.entries(sampleAt(0))
    .filter(([field, value]) => typeof value === 'number' && !KEPT.has(field))
    .map(([field]) => [field, null]),
);
