import type { EpochMs } from '@poolmeter/domain';
import { rowRemapBits, type GpuSample } from '@poolmeter/telemetry-schema';
import type { Attribution, GpuReading } from 'dcgm-exporter-client';

const BYTES_PER_MIB = 1_048_576;
const BYTES_PER_MB = 1_000_000;
const MILLIJOULES_PER_JOULE = 1_000;
const PERCENT = 100;

/** What a reading does not say itself. */
export interface SampleContext {
  readonly ts: EpochMs;
  readonly ingestedAt: EpochMs;
  readonly node: string;
  readonly pool: string;
  readonly providerId: string;
  /** '' or `GI id/generation`. */
  readonly gpuInstance: string;
  readonly energyEpoch: number;
  readonly flags: number;
}

/** One typed sample from one reading: units as telemetry.md says, null for what the exporter did not say. */
export function sampleFromReading(reading: GpuReading, context: SampleContext): GpuSample {
  return {
    ts: context.ts,
    ingestedAt: context.ingestedAt,
    node: context.node,
    gpuUuid: reading.gpuUuid,
    gpuInstance: context.gpuInstance,
    gpuInstanceProfile: reading.gpuInstanceProfile,
    gpuModel: reading.modelName,
    pool: context.pool,
    providerId: context.providerId,
    // A label only: the driver numbers GPUs anew when one is lost.
    gpuIndex: Math.min(reading.gpuIndex ?? 0, 255),
    leaseId: leaseIdOf(reading.attributions),
    ...activity(reading.values),
    ...memory(reading),
    ...powerAndHeat(reading, context),
    ...traffic(reading.values),
    ...health(reading.values),
    energyEpoch: context.energyEpoch,
    flags: context.flags,
  };
}

/**
 * The scheduler's word on who uses the GPU: HPC job ids, else pod uids. Several that share it are all named, for to
 * name one would be wrong.
 */
function leaseIdOf(attributions: readonly Attribution[]): string {
  const ids = attributions.map((one) => (one.hpcJob === '' ? one.podUid : one.hpcJob));
  return [...new Set(ids.filter((id) => id !== ''))].sort().join(',');
}

type Values = ReadonlyMap<number, number>;

function scaled(values: Values, fieldId: number, factor: number): number | null {
  const value = values.get(fieldId);
  return value === undefined ? null : value * factor;
}

function plain(values: Values, fieldId: number): number | null {
  return values.get(fieldId) ?? null;
}

function activity(values: Values) {
  return {
    gpuUtilRatio: scaled(values, 203, 1 / PERCENT),
    memoryCopyUtilRatio: scaled(values, 204, 1 / PERCENT),
    graphicsEngineActiveRatio: plain(values, 1001),
    smActiveRatio: plain(values, 1002),
    smOccupancyRatio: plain(values, 1003),
    tensorActiveRatio: plain(values, 1004),
    dramActiveRatio: plain(values, 1005),
  };
}

function memory(reading: GpuReading) {
  const totalMib = memoryTotalMib(reading);
  return {
    memoryUsedBytes: scaled(reading.values, 252, BYTES_PER_MIB),
    memoryTotalBytes: totalMib === undefined ? null : totalMib * BYTES_PER_MIB,
  };
}

/** Drivers from R510 on report reserved memory apart; before, it was part of FB_USED. */
const RESERVED_APART_SINCE = 510;

/**
 * USED + FREE + RESERVED. Exporters that know no RESERVED: FB_TOTAL where there is one; else USED + FREE is the whole
 * for a driver that does not count reserved memory apart, and unknown for a newer one.
 */
function memoryTotalMib(reading: GpuReading): number | undefined {
  const { values } = reading;
  const used = values.get(252);
  const free = values.get(251);
  const reserved = values.get(253);
  if (used !== undefined && free !== undefined && reserved !== undefined) return used + free + reserved;
  const total = values.get(250);
  if (total !== undefined || used === undefined || free === undefined) return total;
  // Exporters that give no driver version are older than R510 (the label came in 2022).
  const branch = Number.parseInt(reading.driverVersion, 10);
  return Number.isNaN(branch) || branch < RESERVED_APART_SINCE ? used + free : undefined;
}

function powerAndHeat(reading: GpuReading, context: SampleContext) {
  const { values } = reading;
  const memoryTemperature = values.get(140);
  return {
    powerWatts: plain(values, 155),
    powerLimitWatts: plain(values, 160),
    energyJoules: context.gpuInstance === '' ? scaled(values, 156, 1 / MILLIJOULES_PER_JOULE) : null,
    temperatureCelsius: plain(values, 150),
    // Models without the sensor report 0, which no running GPU's memory has.
    memoryTemperatureCelsius: memoryTemperature === 0 ? null : (memoryTemperature ?? null),
    temperatureMarginCelsius: plain(values, 153),
    smClockMhz: plain(values, 100),
    memoryClockMhz: plain(values, 101),
    throttleReasons: plain(values, 112),
  };
}

function traffic(values: Values) {
  return {
    pcieTxBytesPerSecond: plain(values, 1009),
    pcieRxBytesPerSecond: plain(values, 1010),
    nvlinkBytesPerSecond: scaled(values, 449, BYTES_PER_MB),
    pcieReplayTotal: plain(values, 202),
  };
}

function health(values: Values) {
  return {
    eccCorrectableTotal: plain(values, 310),
    eccUncorrectableTotal: plain(values, 311),
    rowRemapCorrectableTotal: plain(values, 394),
    rowRemapUncorrectableTotal: plain(values, 393),
    rowRemapState: rowRemapState(values),
    recoveryAction: plain(values, 1523),
    // 0 is "none so far"; exporters of 2026 give no row then, and what was not said stays null.
    lastXid: plain(values, 230),
  };
}

function rowRemapState(values: Values): number | null {
  const pending = values.get(396);
  const failed = values.get(395);
  if (pending === undefined && failed === undefined) return null;
  return (pending === 1 ? rowRemapBits.pending : 0) | (failed === 1 ? rowRemapBits.failed : 0);
}
