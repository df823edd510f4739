/**
 * What we know of DCGM fields. The key is the DCGM field id: it outlived the renaming of 300 names in DCGM 4.6, and
 * exporters write either name. Units are those in which dcgm-exporter writes the value.
 */
export type FieldUnit =
  | 'MHz'
  | 'celsius'
  | 'watts'
  | 'millijoules'
  | 'percent'
  /** 0 to 1. */
  | 'ratio'
  | 'MiB'
  | 'bytes/s'
  /** 10⁶ bytes per second. */
  | 'MB/s'
  | 'nanoseconds'
  | 'count'
  | 'bits'
  | 'code';

export interface DcgmField {
  readonly id: number;
  /** The name until DCGM 4.5, without `DCGM_FI_`. */
  readonly name: string;
  /** Other names of the same field: that of DCGM 4.6 first. */
  readonly aliases: readonly string[];
  readonly unit: FieldUnit;
  readonly kind: 'gauge' | 'counter';
  /** Whether dcgm-exporter exports it without being told. */
  readonly byDefault: boolean;
}

function gauge(id: number, name: string, unit: FieldUnit, ...aliases: string[]): DcgmField {
  return { id, name, aliases, unit, kind: 'gauge', byDefault: true };
}

function counter(id: number, name: string, unit: FieldUnit, ...aliases: string[]): DcgmField {
  return { id, name, aliases, unit, kind: 'counter', byDefault: true };
}

/** A field that an operator has to switch on. */
function optional(field: DcgmField): DcgmField {
  return { ...field, byDefault: false };
}

export const dcgmFields: readonly DcgmField[] = [
  gauge(100, 'DEV_SM_CLOCK', 'MHz'),
  gauge(101, 'DEV_MEM_CLOCK', 'MHz'),
  optional(gauge(112, 'DEV_CLOCKS_EVENT_REASONS', 'bits', 'DEV_CLOCK_THROTTLE_REASONS')),
  // 0 on models without the sensor (T4, L4, L40S) and in vGPU guests.
  gauge(140, 'DEV_MEMORY_TEMP', 'celsius', 'DEV_MEMORY_TEMP_CELSIUS'),
  gauge(150, 'DEV_GPU_TEMP', 'celsius', 'DEV_GPU_TEMP_CELSIUS'),
  // Degrees that are left until the slowdown: it falls as the GPU gets hotter.
  optional(gauge(153, 'DEV_GPU_TEMP_LIMIT', 'celsius', 'DEV_GPU_TEMP_MARGIN_CELSIUS')),
  gauge(155, 'DEV_POWER_USAGE', 'watts', 'DEV_BOARD_POWER_WATTS'),
  // Since the driver was loaded. Repeated on every MIG instance, with skew: never add these up.
  counter(156, 'DEV_TOTAL_ENERGY_CONSUMPTION', 'millijoules'),
  optional(gauge(158, 'DEV_SLOWDOWN_TEMP', 'celsius', 'DEV_GPU_TEMP_SLOWDOWN_CELSIUS')),
  optional(gauge(160, 'DEV_POWER_MGMT_LIMIT', 'watts', 'DEV_BOARD_POWER_LIMIT_REQUESTED_WATTS')),
  optional(gauge(164, 'DEV_ENFORCED_POWER_LIMIT', 'watts', 'DEV_BOARD_POWER_LIMIT_ENFORCED_WATTS')),
  optional(gauge(190, 'DEV_PSTATE', 'code', 'DEV_GPU_PSTATE')),
  counter(202, 'DEV_PCIE_REPLAY_COUNTER', 'count', 'DEV_PCIE_REPLAY_TOTAL'),
  // Whole percents, in DCGM 4.6 too, whatever its name says.
  gauge(203, 'DEV_GPU_UTIL', 'percent', 'DEV_GPU_UTIL_RATIO'),
  gauge(204, 'DEV_MEM_COPY_UTIL', 'percent'),
  gauge(206, 'DEV_ENC_UTIL', 'percent'),
  gauge(207, 'DEV_DEC_UTIL', 'percent'),
  // The last Xid, latched until the exporter or driver restarts; exporters of 2026 write no row while healthy.
  gauge(230, 'DEV_XID_ERRORS', 'code', 'DEV_XID_ERROR'),
  optional(counter(240, 'DEV_POWER_VIOLATION', 'nanoseconds')),
  optional(counter(241, 'DEV_THERMAL_VIOLATION', 'nanoseconds')),
  optional(gauge(250, 'DEV_FB_TOTAL', 'MiB')),
  gauge(251, 'DEV_FB_FREE', 'MiB'),
  gauge(252, 'DEV_FB_USED', 'MiB'),
  gauge(253, 'DEV_FB_RESERVED', 'MiB'),
  optional(counter(310, 'DEV_ECC_SBE_VOL_TOTAL', 'count')),
  optional(counter(311, 'DEV_ECC_DBE_VOL_TOTAL', 'count')),
  optional(counter(312, 'DEV_ECC_SBE_AGG_TOTAL', 'count')),
  optional(counter(313, 'DEV_ECC_DBE_AGG_TOTAL', 'count')),
  optional(gauge(346, 'DEV_SRAM_EXCEEDED', 'code')),
  // Rows 393 to 396 are absent while MIG is on: NVML does not support them there.
  counter(393, 'DEV_UNCORRECTABLE_REMAPPED_ROWS', 'count', 'DEV_ROW_REMAP_UNCORRECTABLE_TOTAL'),
  counter(394, 'DEV_CORRECTABLE_REMAPPED_ROWS', 'count', 'DEV_ROW_REMAP_CORRECTABLE_TOTAL'),
  gauge(395, 'DEV_ROW_REMAP_FAILURE', 'code', 'DEV_ROW_REMAP_FAILED'),
  optional(gauge(396, 'DEV_ROW_REMAP_PENDING', 'code')),
  // A rate, though its help text and type say counter.
  gauge(449, 'DEV_NVLINK_BANDWIDTH_TOTAL', 'MB/s', 'DEV_NVLINK_THROUGHPUT_TOTAL'),
  gauge(526, 'DEV_VGPU_LICENSE_STATUS', 'code'),
  gauge(1001, 'PROF_GR_ENGINE_ACTIVE', 'ratio', 'PROF_GR_ENGINE_UTIL_RATIO'),
  optional(gauge(1002, 'PROF_SM_ACTIVE', 'ratio', 'PROF_SM_UTIL_RATIO')),
  optional(gauge(1003, 'PROF_SM_OCCUPANCY', 'ratio', 'PROF_SM_OCCUPANCY_RATIO')),
  gauge(1004, 'PROF_PIPE_TENSOR_ACTIVE', 'ratio', 'PROF_TENSOR_UTIL_RATIO'),
  gauge(1005, 'PROF_DRAM_ACTIVE', 'ratio', 'PROF_DRAM_UTIL_RATIO'),
  gauge(1009, 'PROF_PCIE_TX_BYTES', 'bytes/s'),
  gauge(1010, 'PROF_PCIE_RX_BYTES', 'bytes/s'),
  // 0 none, 1 reset, 2 reboot, 3 drain P2P, 4 drain and reset.
  optional(gauge(1523, 'DEV_GET_GPU_RECOVERY_ACTION', 'code', 'DEV_GPU_RECOVERY_ACTION')),
];

const byMetricName: ReadonlyMap<string, DcgmField> = new Map(
  dcgmFields.flatMap((field) =>
    [field.name, ...field.aliases].map((name) => [`DCGM_FI_${name}`, field] as const),
  ),
);

const byId: ReadonlyMap<number, DcgmField> = new Map(dcgmFields.map((field) => [field.id, field]));

/** The field that a metric name means, by its old or its new name. */
export function fieldOfMetric(metricName: string): DcgmField | undefined {
  return byMetricName.get(metricName);
}

export function fieldOfId(id: number): DcgmField | undefined {
  return byId.get(id);
}
