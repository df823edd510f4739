import { z } from 'zod';
import { column } from '../column.js';
import { defineQuery } from '../define-query.js';

/**
 * What each GPU or instance did in a window of whole minutes: how hot it was, how busy, how much memory it held. The
 * fault monitor's "hot" and "idle but leased" read it. No GPU in `gpu_uuids` means all of them.
 */
export const gpuWindow = defineQuery({
  name: 'gpu-window',
  sql: `
    SELECT
      s.node AS node,
      s.pool AS pool,
      s.provider_id AS provider_id,
      s.gpu_uuid AS gpu_uuid,
      s.gpu_instance AS gpu_instance,
      s.gpu_model AS gpu_model,
      min(s.ts_first) AS ts_first,
      max(s.ts_last) AS ts_last,
      sum(s.sample_count) AS sample_count,
      sum(s.repeat_count) AS repeat_count,
      uniqExact(s.ts) AS minutes_seen,
      max(s.temperature_celsius_max) AS temperature_celsius_max,
      max(s.memory_temperature_celsius_max) AS memory_temperature_celsius_max,
      min(s.temperature_margin_celsius) AS temperature_margin_celsius_min,
      sum(s.graphics_engine_active_ratio_sum) / nullIf(sum(s.graphics_engine_active_ratio_count), 0) AS graphics_engine_active_ratio,
      sum(s.sm_active_ratio_sum) / nullIf(sum(s.sm_active_ratio_count), 0) AS sm_active_ratio,
      max(s.sm_active_ratio_max) AS sm_active_ratio_max,
      sum(s.gpu_util_ratio_sum) / nullIf(sum(s.gpu_util_ratio_count), 0) AS gpu_util_ratio,
      max(s.gpu_util_ratio_max) AS gpu_util_ratio_max,
      max(s.memory_used_bytes_max) AS memory_used_bytes_max,
      max(s.memory_total_bytes_max) AS memory_total_bytes_max,
      sum(s.power_watts_sum) / nullIf(sum(s.power_watts_count), 0) AS power_watts,
      groupBitOr(s.throttle_reasons) AS throttle_reasons,
      sum(s.throttle_hw_thermal_count) AS throttle_hw_thermal_count,
      sum(s.throttle_sw_thermal_count) AS throttle_sw_thermal_count,
      sum(s.throttle_hw_power_brake_count) AS throttle_hw_power_brake_count,
      argMax(s.lease_id, s.ts) AS lease_id
    FROM gpu_samples_1m AS s
    WHERE s.ts >= toStartOfMinute(fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC'))
      AND s.ts < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
      AND (empty({gpu_uuids:Array(String)}) OR has({gpu_uuids:Array(String)}, s.gpu_uuid))
    GROUP BY node, pool, provider_id, gpu_uuid, gpu_instance, gpu_model
    ORDER BY node, gpu_uuid, gpu_instance
  `,
  params: z.object({
    /** Rounded down to its minute. */
    from_ms: z.int(),
    /** Exclusive. */
    to_ms: z.int(),
    gpu_uuids: z.array(z.string()).default([]),
  }),
  row: z.object({
    node: column.text,
    pool: column.text,
    provider_id: column.text,
    gpu_uuid: column.text,
    gpu_instance: column.text,
    gpu_model: column.text,
    ts_first: column.instant,
    ts_last: column.instant,
    sample_count: column.wideInteger,
    repeat_count: column.wideInteger,
    minutes_seen: column.wideInteger,
    temperature_celsius_max: column.integer.nullable(),
    memory_temperature_celsius_max: column.integer.nullable(),
    temperature_margin_celsius_min: column.integer.nullable(),
    graphics_engine_active_ratio: column.float.nullable(),
    sm_active_ratio: column.float.nullable(),
    sm_active_ratio_max: column.float.nullable(),
    gpu_util_ratio: column.float.nullable(),
    gpu_util_ratio_max: column.float.nullable(),
    memory_used_bytes_max: column.wideInteger.nullable(),
    memory_total_bytes_max: column.wideInteger.nullable(),
    power_watts: column.float.nullable(),
    throttle_reasons: column.integer.nullable(),
    throttle_hw_thermal_count: column.wideInteger,
    throttle_sw_thermal_count: column.wideInteger,
    throttle_hw_power_brake_count: column.wideInteger,
    lease_id: column.text,
  }),
});
