import { defineQuery } from '../define-query.js';
import { samplePoint, steppedPointParams } from './sample-point.js';

/** As gpu-samples-stepped, from the hours: for steps of whole hours. */
export const gpuSamplesByHour = defineQuery({
  name: 'gpu-samples-by-hour',
  sql: `
    SELECT
      toDateTime64(toStartOfInterval(s.ts, toIntervalSecond({step_s:UInt32})), 3, 'UTC') AS ts,
      sum(s.sample_count) AS sample_count,
      any(s.lease_id) AS lease_id,
      groupBitOr(s.flags) AS flags,
      sum(s.gpu_util_ratio_sum) / nullIf(sum(s.gpu_util_ratio_count), 0) AS gpu_util_ratio,
      sum(s.memory_copy_util_ratio_sum) / nullIf(sum(s.memory_copy_util_ratio_count), 0) AS memory_copy_util_ratio,
      sum(s.graphics_engine_active_ratio_sum) / nullIf(sum(s.graphics_engine_active_ratio_count), 0) AS graphics_engine_active_ratio,
      sum(s.sm_active_ratio_sum) / nullIf(sum(s.sm_active_ratio_count), 0) AS sm_active_ratio,
      sum(s.sm_occupancy_ratio_sum) / nullIf(sum(s.sm_occupancy_ratio_count), 0) AS sm_occupancy_ratio,
      sum(s.tensor_active_ratio_sum) / nullIf(sum(s.tensor_active_ratio_count), 0) AS tensor_active_ratio,
      sum(s.dram_active_ratio_sum) / nullIf(sum(s.dram_active_ratio_count), 0) AS dram_active_ratio,
      argMax(s.memory_used_bytes, s.ts_last) AS memory_used_bytes,
      argMax(s.memory_total_bytes, s.ts_last) AS memory_total_bytes,
      sum(s.power_watts_sum) / nullIf(sum(s.power_watts_count), 0) AS power_watts,
      argMax(s.power_limit_watts, s.ts_last) AS power_limit_watts,
      argMax(s.energy_joules, s.ts_last) AS energy_joules,
      max(s.energy_epoch_last) AS energy_epoch,
      sum(s.temperature_celsius_sum) / nullIf(sum(s.temperature_celsius_count), 0) AS temperature_celsius,
      sum(s.memory_temperature_celsius_sum) / nullIf(sum(s.memory_temperature_celsius_count), 0) AS memory_temperature_celsius,
      min(s.temperature_margin_celsius) AS temperature_margin_celsius,
      sum(s.sm_clock_mhz_sum) / nullIf(sum(s.sm_clock_mhz_count), 0) AS sm_clock_mhz,
      sum(s.memory_clock_mhz_sum) / nullIf(sum(s.memory_clock_mhz_count), 0) AS memory_clock_mhz,
      groupBitOr(s.throttle_reasons) AS throttle_reasons,
      sum(s.pcie_tx_bytes_per_second_sum) / nullIf(sum(s.pcie_tx_bytes_per_second_count), 0) AS pcie_tx_bytes_per_second,
      sum(s.pcie_rx_bytes_per_second_sum) / nullIf(sum(s.pcie_rx_bytes_per_second_count), 0) AS pcie_rx_bytes_per_second,
      sum(s.nvlink_bytes_per_second_sum) / nullIf(sum(s.nvlink_bytes_per_second_count), 0) AS nvlink_bytes_per_second,
      argMax(s.pcie_replay_total, s.ts_last) AS pcie_replay_total,
      argMax(s.ecc_correctable_total, s.ts_last) AS ecc_correctable_total,
      argMax(s.ecc_uncorrectable_total, s.ts_last) AS ecc_uncorrectable_total,
      argMax(s.row_remap_correctable_total, s.ts_last) AS row_remap_correctable_total,
      argMax(s.row_remap_uncorrectable_total, s.ts_last) AS row_remap_uncorrectable_total,
      groupBitOr(s.row_remap_state) AS row_remap_state,
      max(s.recovery_action) AS recovery_action,
      max(s.last_xid) AS last_xid
    FROM gpu_samples_1h AS s
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
