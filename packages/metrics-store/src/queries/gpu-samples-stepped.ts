import { defineQuery } from '../define-query.js';
import { samplePoint, steppedPointParams } from './sample-point.js';

/** Samples of one GPU or instance drawn together per step, from the raw rows: means, last counters, all bits. */
export const gpuSamplesStepped = defineQuery({
  name: 'gpu-samples-stepped',
  sql: `
    SELECT
      toDateTime64(toStartOfInterval(s.ts, toIntervalSecond({step_s:UInt32})), 3, 'UTC') AS ts,
      count() AS sample_count,
      any(s.lease_id) AS lease_id,
      groupBitOr(s.flags) AS flags,
      avg(s.gpu_util_ratio) AS gpu_util_ratio,
      avg(s.memory_copy_util_ratio) AS memory_copy_util_ratio,
      avg(s.graphics_engine_active_ratio) AS graphics_engine_active_ratio,
      avg(s.sm_active_ratio) AS sm_active_ratio,
      avg(s.sm_occupancy_ratio) AS sm_occupancy_ratio,
      avg(s.tensor_active_ratio) AS tensor_active_ratio,
      avg(s.dram_active_ratio) AS dram_active_ratio,
      argMax(s.memory_used_bytes, s.ts) AS memory_used_bytes,
      argMax(s.memory_total_bytes, s.ts) AS memory_total_bytes,
      avg(s.power_watts) AS power_watts,
      argMax(s.power_limit_watts, s.ts) AS power_limit_watts,
      argMax(s.energy_joules, s.ts) AS energy_joules,
      max(s.energy_epoch) AS energy_epoch,
      avg(s.temperature_celsius) AS temperature_celsius,
      avg(s.memory_temperature_celsius) AS memory_temperature_celsius,
      min(s.temperature_margin_celsius) AS temperature_margin_celsius,
      avg(s.sm_clock_mhz) AS sm_clock_mhz,
      avg(s.memory_clock_mhz) AS memory_clock_mhz,
      groupBitOr(s.throttle_reasons) AS throttle_reasons,
      avg(s.pcie_tx_bytes_per_second) AS pcie_tx_bytes_per_second,
      avg(s.pcie_rx_bytes_per_second) AS pcie_rx_bytes_per_second,
      avg(s.nvlink_bytes_per_second) AS nvlink_bytes_per_second,
      argMax(s.pcie_replay_total, s.ts) AS pcie_replay_total,
      argMax(s.ecc_correctable_total, s.ts) AS ecc_correctable_total,
      argMax(s.ecc_uncorrectable_total, s.ts) AS ecc_uncorrectable_total,
      argMax(s.row_remap_correctable_total, s.ts) AS row_remap_correctable_total,
      argMax(s.row_remap_uncorrectable_total, s.ts) AS row_remap_uncorrectable_total,
      groupBitOr(s.row_remap_state) AS row_remap_state,
      max(s.recovery_action) AS recovery_action,
      max(s.last_xid) AS last_xid
    FROM gpu_samples AS s
    WHERE s.gpu_uuid = {gpu_uuid:String}
      AND s.gpu_instance = {gpu_instance:String}
      AND s.ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
      AND s.ts < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    GROUP BY ts
    ORDER BY ts
    LIMIT {limit:UInt32}
  `,
  params: steppedPointParams,
  row: samplePoint,
});
