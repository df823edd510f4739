/** One point of a GPU's history: the unit columns, `null` where the exporter did not say. */
import { z } from 'zod';
import { column } from '../column.js';

export const samplePoint = z.object({
  ts: column.instant,
  /** Raw rows behind the point. */
  sample_count: column.wideInteger,
  lease_id: column.text,
  flags: column.integer,
  gpu_util_ratio: column.float.nullable(),
  memory_copy_util_ratio: column.float.nullable(),
  graphics_engine_active_ratio: column.float.nullable(),
  sm_active_ratio: column.float.nullable(),
  sm_occupancy_ratio: column.float.nullable(),
  tensor_active_ratio: column.float.nullable(),
  dram_active_ratio: column.float.nullable(),
  memory_used_bytes: column.wideInteger.nullable(),
  memory_total_bytes: column.wideInteger.nullable(),
  power_watts: column.float.nullable(),
  power_limit_watts: column.integer.nullable(),
  energy_joules: column.wideInteger.nullable(),
  energy_epoch: column.integer,
  temperature_celsius: column.float.nullable(),
  memory_temperature_celsius: column.float.nullable(),
  temperature_margin_celsius: column.integer.nullable(),
  sm_clock_mhz: column.float.nullable(),
  memory_clock_mhz: column.float.nullable(),
  throttle_reasons: column.integer.nullable(),
  pcie_tx_bytes_per_second: column.float.nullable(),
  pcie_rx_bytes_per_second: column.float.nullable(),
  nvlink_bytes_per_second: column.float.nullable(),
  pcie_replay_total: column.integer.nullable(),
  ecc_correctable_total: column.integer.nullable(),
  ecc_uncorrectable_total: column.integer.nullable(),
  row_remap_correctable_total: column.integer.nullable(),
  row_remap_uncorrectable_total: column.integer.nullable(),
  row_remap_state: column.integer.nullable(),
  recovery_action: column.integer.nullable(),
  last_xid: column.integer.nullable(),
});

export type SamplePoint = z.output<typeof samplePoint>;

export const samplePointParams = z.object({
  gpu_uuid: z.string(),
  /** '' for the whole GPU. */
  gpu_instance: z.string().default(''),
  from_ms: z.int(),
  /** Exclusive. */
  to_ms: z.int(),
  limit: z.int().positive().max(100_000),
});

export const steppedPointParams = samplePointParams.extend({
  step_s: z.int().positive(),
});
