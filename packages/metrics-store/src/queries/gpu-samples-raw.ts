import { defineQuery } from '../define-query.js';
import { samplePoint, samplePointParams } from './sample-point.js';

/** Every stored sample of one GPU or instance, oldest first. */
export const gpuSamplesRaw = defineQuery({
  name: 'gpu-samples-raw',
  sql: `
    SELECT
      ts,
      toUInt64(1) AS sample_count,
      lease_id,
      flags,
      gpu_util_ratio,
      memory_copy_util_ratio,
      graphics_engine_active_ratio,
      sm_active_ratio,
      sm_occupancy_ratio,
      tensor_active_ratio,
      dram_active_ratio,
      memory_used_bytes,
      memory_total_bytes,
      power_watts,
      power_limit_watts,
      energy_joules,
      energy_epoch,
      toFloat64(temperature_celsius) AS temperature_celsius,
      toFloat64(memory_temperature_celsius) AS memory_temperature_celsius,
      temperature_margin_celsius,
      toFloat64(sm_clock_mhz) AS sm_clock_mhz,
      toFloat64(memory_clock_mhz) AS memory_clock_mhz,
      throttle_reasons,
      toFloat64(pcie_tx_bytes_per_second) AS pcie_tx_bytes_per_second,
      toFloat64(pcie_rx_bytes_per_second) AS pcie_rx_bytes_per_second,
      toFloat64(nvlink_bytes_per_second) AS nvlink_bytes_per_second,
      pcie_replay_total,
      ecc_correctable_total,
      ecc_uncorrectable_total,
      row_remap_correctable_total,
      row_remap_uncorrectable_total,
      row_remap_state,
      recovery_action,
      last_xid
    FROM gpu_samples
    WHERE gpu_uuid = {gpu_uuid:String}
      AND gpu_instance = {gpu_instance:String}
      AND ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
      AND ts < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    ORDER BY ts
    LIMIT {limit:UInt32}
  `,
  params: samplePointParams,
  row: samplePoint,
});
