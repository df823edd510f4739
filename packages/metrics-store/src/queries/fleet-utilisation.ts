import { z } from 'zod';
import { column } from '../column.js';
import { defineQuery } from '../define-query.js';

/** Per pool and step: how many GPUs reported and how busy they were together. An empty pool means all of them. */
export const fleetUtilisation = defineQuery({
  name: 'fleet-utilisation',
  sql: `
    SELECT
      toDateTime64(toStartOfInterval(s.ts, toIntervalSecond({step_s:UInt32})), 3, 'UTC') AS ts,
      s.pool AS pool,
      uniqExact(s.gpu_uuid) AS gpu_count,
      sum(s.gpu_util_ratio_sum) / nullIf(sum(s.gpu_util_ratio_count), 0) AS gpu_util_ratio,
      sum(s.sm_active_ratio_sum) / nullIf(sum(s.sm_active_ratio_count), 0) AS sm_active_ratio,
      sum(s.power_watts_sum) / nullIf(sum(s.power_watts_count), 0) AS power_watts_mean,
      max(s.temperature_celsius_max) AS temperature_celsius_max
    FROM gpu_samples_1m AS s
    WHERE s.ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
      AND s.ts < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
      AND s.gpu_instance = ''
      AND ({pool:String} = '' OR s.pool = {pool:String})
    GROUP BY ts, pool
    ORDER BY ts, pool
  `,
  params: z.object({
    from_ms: z.int(),
    /** Exclusive. */
    to_ms: z.int(),
    /** Whole minutes. */
    step_s: z.int().positive().multipleOf(60),
    pool: z.string().default(''),
  }),
  row: z.object({
    ts: column.instant,
    pool: column.text,
    gpu_count: column.wideInteger,
    gpu_util_ratio: column.float.nullable(),
    sm_active_ratio: column.float.nullable(),
    power_watts_mean: column.float.nullable(),
    temperature_celsius_max: column.integer.nullable(),
  }),
});
