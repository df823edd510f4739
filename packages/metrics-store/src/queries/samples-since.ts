import { z } from 'zod';
import { defineQuery } from '../define-query.js';
import { latestSample } from './latest-sample.js';

/**
 * The newest sample of every GPU and instance that got one after a position, in the order in which the store got them.
 * The position is `stored_at`, the store's own clock: agents' clocks may differ. Ask again from the last one read; rows
 * of that very millisecond come twice rather than never.
 */
export const samplesSince = defineQuery({
  name: 'samples-since',
  sql: `
    SELECT
      ts,
      ingested_at,
      stored_at,
      node,
      gpu_uuid,
      gpu_instance,
      gpu_instance_profile,
      gpu_model,
      pool,
      provider_id,
      gpu_index,
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
      temperature_celsius,
      memory_temperature_celsius,
      temperature_margin_celsius,
      sm_clock_mhz,
      memory_clock_mhz,
      throttle_reasons,
      pcie_tx_bytes_per_second,
      pcie_rx_bytes_per_second,
      nvlink_bytes_per_second,
      pcie_replay_total,
      ecc_correctable_total,
      ecc_uncorrectable_total,
      row_remap_correctable_total,
      row_remap_uncorrectable_total,
      row_remap_state,
      recovery_action,
      last_xid
    FROM gpu_latest FINAL
    WHERE stored_at >= fromUnixTimestamp64Milli({stored_from_ms:Int64}, 'UTC')
    ORDER BY stored_at, node, gpu_uuid, gpu_instance
    LIMIT {limit:UInt32}
  `,
  params: z.object({
    stored_from_ms: z.int(),
    limit: z.int().positive().max(100_000).default(100_000),
  }),
  row: latestSample,
});
