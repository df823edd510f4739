import type { GpuSample } from './gpu-sample.js';

/** Types as they travel in RowBinary (little endian; String = LEB128 length + UTF-8; DateTime64(3) = Int64 ms). */
export type StoredType = 'DateTime64(3)' | 'String' | 'UInt8' | 'UInt16' | 'UInt32' | 'UInt64' | 'Int8';

export interface SampleColumn {
  readonly field: keyof GpuSample;
  /** The column people read. */
  readonly unitColumn: string;
  /** The column on disk: the unit column itself, or `raw_…` when it is a scaled integer behind an ALIAS. */
  readonly storedColumn: string;
  readonly type: StoredType;
  /** stored = round(value × scale). */
  readonly scale: number;
  /** The type's maximum stands for "the exporter did not say"; undefined where a value is always there. */
  readonly missing: bigint | undefined;
  /** DCGM field id, where there is one. */
  readonly dcgmFieldId?: number;
}

const MAX = {
  UInt8: 255n,
  UInt16: 65_535n,
  UInt32: 4_294_967_295n,
  UInt64: 18_446_744_073_709_551_615n,
  Int8: 127n,
};

function key(field: keyof GpuSample, unitColumn: string, type: StoredType): SampleColumn {
  return { field, unitColumn, storedColumn: unitColumn, type, scale: 1, missing: undefined };
}

function measured(
  field: keyof GpuSample,
  unitColumn: string,
  type: keyof typeof MAX,
  scale: number,
  dcgmFieldId?: number,
): SampleColumn {
  const column = { field, unitColumn, storedColumn: `raw_${unitColumn}`, type, scale, missing: MAX[type] };
  return dcgmFieldId === undefined ? column : { ...column, dcgmFieldId };
}

const MIB = 1 / 1_048_576;
const KIB64 = 1 / 65_536;

/** Schema version 1 of a sample row, in wire order. A new version is a new list; this one never changes. */
export const sampleColumnsV1: readonly SampleColumn[] = [
  key('ts', 'ts', 'DateTime64(3)'),
  key('ingestedAt', 'ingested_at', 'DateTime64(3)'),
  key('node', 'node', 'String'),
  key('gpuUuid', 'gpu_uuid', 'String'),
  key('gpuInstance', 'gpu_instance', 'String'),
  key('gpuInstanceProfile', 'gpu_instance_profile', 'String'),
  key('gpuModel', 'gpu_model', 'String'),
  key('pool', 'pool', 'String'),
  key('providerId', 'provider_id', 'String'),
  key('gpuIndex', 'gpu_index', 'UInt8'),
  key('leaseId', 'lease_id', 'String'),
  measured('gpuUtilRatio', 'gpu_util_ratio', 'UInt8', 100, 203),
  measured('memoryCopyUtilRatio', 'memory_copy_util_ratio', 'UInt8', 100, 204),
  measured('graphicsEngineActiveRatio', 'graphics_engine_active_ratio', 'UInt16', 10_000, 1001),
  measured('smActiveRatio', 'sm_active_ratio', 'UInt16', 10_000, 1002),
  measured('smOccupancyRatio', 'sm_occupancy_ratio', 'UInt16', 10_000, 1003),
  measured('tensorActiveRatio', 'tensor_active_ratio', 'UInt16', 10_000, 1004),
  measured('dramActiveRatio', 'dram_active_ratio', 'UInt16', 10_000, 1005),
  measured('memoryUsedBytes', 'memory_used_bytes', 'UInt32', MIB, 252),
  measured('memoryTotalBytes', 'memory_total_bytes', 'UInt32', MIB),
  measured('powerWatts', 'power_watts', 'UInt16', 10, 155),
  measured('powerLimitWatts', 'power_limit_watts', 'UInt16', 1, 160),
  measured('energyJoules', 'energy_joules', 'UInt64', 1, 156),
  key('energyEpoch', 'energy_epoch', 'UInt16'),
  measured('temperatureCelsius', 'temperature_celsius', 'UInt8', 1, 150),
  measured('memoryTemperatureCelsius', 'memory_temperature_celsius', 'UInt8', 1, 140),
  measured('temperatureMarginCelsius', 'temperature_margin_celsius', 'Int8', 1, 153),
  measured('smClockMhz', 'sm_clock_mhz', 'UInt16', 1, 100),
  measured('memoryClockMhz', 'memory_clock_mhz', 'UInt16', 1, 101),
  measured('throttleReasons', 'throttle_reasons', 'UInt16', 1, 112),
  measured('pcieTxBytesPerSecond', 'pcie_tx_bytes_per_second', 'UInt32', KIB64, 1009),
  measured('pcieRxBytesPerSecond', 'pcie_rx_bytes_per_second', 'UInt32', KIB64, 1010),
  measured('nvlinkBytesPerSecond', 'nvlink_bytes_per_second', 'UInt32', KIB64, 449),
  measured('pcieReplayTotal', 'pcie_replay_total', 'UInt32', 1, 202),
  measured('eccCorrectableTotal', 'ecc_correctable_total', 'UInt32', 1, 310),
  measured('eccUncorrectableTotal', 'ecc_uncorrectable_total', 'UInt32', 1, 311),
  measured('rowRemapCorrectableTotal', 'row_remap_correctable_total', 'UInt16', 1, 394),
  measured('rowRemapUncorrectableTotal', 'row_remap_uncorrectable_total', 'UInt16', 1, 393),
  measured('rowRemapState', 'row_remap_state', 'UInt8', 1),
  measured('recoveryAction', 'recovery_action', 'UInt8', 1, 1523),
  measured('lastXid', 'last_xid', 'UInt16', 1, 230),
  key('flags', 'flags', 'UInt8'),
];
