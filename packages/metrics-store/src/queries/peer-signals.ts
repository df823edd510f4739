/** GPUs that differ from their peers within one step of time: robust statistics, so that the odd one does not hide itself. */
import { z } from 'zod';
import { column } from '../column.js';
import { defineQuery } from '../define-query.js';

const instantMs = z.number().int();

/**
 * One row per GPU and signal that is bad in `[from_ms, to_ms)`, which holds whole minutes.
 *
 * - temperature_outlier_z: peers have the same model, pool and load (idle, partly busy, busy); at least `peers_min` of
 *   them. 0.6745 × (value − median) / MAD, with a MAD of at least 1.5 °C, so that a very even fleet makes no outliers.
 * - clock_to_peers_ratio: busy GPUs of the same model and pool, none of them under a power cap or heat limit for long.
 * - job_pace_ratio: activity (or power, whichever is nearer) against the median over all GPUs of the same job label.
 * - sample_loss_ratio: against the GPU of the node with the most samples.
 */
export const peerSignals = defineQuery({
  name: 'peer-signals',
  sql: `
    WITH
      gpus AS
      (
        SELECT
          node,
          gpu_uuid,
          gpu_model,
          pool,
          anyLast(replaceRegexpOne(lease_id, '[-/.:]?[0-9]+$', '')) AS job,
          sum(sample_count) AS samples,
          sum(temperature_celsius_sum) / greatest(sum(temperature_celsius_count), 1) AS celsius,
          sum(temperature_celsius_count) > 0 AS has_celsius,
          sum(sm_clock_mhz_sum) / greatest(sum(sm_clock_mhz_count), 1) AS mhz,
          sum(sm_clock_mhz_count) > 0 AS has_mhz,
          sum(power_watts_sum) / greatest(sum(power_watts_count), 1) AS watts,
          greatest(
            sum(graphics_engine_active_ratio_sum) / greatest(sum(graphics_engine_active_ratio_count), 1),
            sum(sm_active_ratio_sum) / greatest(sum(sm_active_ratio_count), 1),
            sum(gpu_util_ratio_sum) / greatest(sum(gpu_util_ratio_count), 1)
          ) AS activity,
          sum(throttle_sw_power_cap_count) / greatest(sum(throttle_reasons_count), 1) AS capped,
          multiIf(activity < 0.05, 'idle', activity < 0.7, 'partly', 'busy') AS load
        FROM gpu_samples_1m
        WHERE ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
          AND ts < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
          AND gpu_instance = ''
        GROUP BY
          node,
          gpu_uuid,
          gpu_model,
          pool
      ),
      centred AS
      (
        SELECT
          *,
          count() OVER peers AS peer_count,
          quantileExact(0.5)(celsius) OVER peers AS celsius_median,
          countIf(load = 'busy' AND capped < 0.2) OVER model AS clock_peers,
          quantileExactIf(0.5)(mhz, load = 'busy' AND capped < 0.2) OVER model AS mhz_median,
          count() OVER job_peers AS job_size,
          quantileExact(0.5)(activity) OVER job_peers AS activity_median,
          quantileExact(0.5)(watts) OVER job_peers AS watts_median,
          max(samples) OVER on_node AS most_samples
        FROM gpus
        WINDOW
          peers AS (PARTITION BY gpu_model, pool, load),
          model AS (PARTITION BY gpu_model, pool),
          job_peers AS (PARTITION BY job, gpu_model),
          on_node AS (PARTITION BY node)
      ),
      measured AS
      (
        SELECT
          *,
          0.6745 * (celsius - celsius_median)
            / greatest(quantileExact(0.5)(abs(celsius - celsius_median)) OVER (PARTITION BY gpu_model, pool, load), 1.5) AS z
        FROM centred
      )
    SELECT
      node,
      gpu_uuid,
      found.1 AS signal,
      found.2 AS value
    FROM measured
    ARRAY JOIN arrayFilter(one -> one.3, [
      ('temperature_outlier_z', z, has_celsius AND peer_count >= {peers_min:UInt32} AND z >= {temperature_outlier_z:Float64}),
      (
        'clock_to_peers_ratio',
        mhz / greatest(mhz_median, 1),
        has_mhz AND load = 'busy' AND capped < 0.2 AND clock_peers >= {peers_min:UInt32}
          AND mhz < {clock_to_peers_ratio:Float64} * mhz_median
      ),
      (
        'job_pace_ratio',
        greatest(activity / greatest(activity_median, 0.0001), watts / greatest(watts_median, 1)),
        job != '' AND job_size >= 4 AND activity_median >= 0.3
          AND activity < {job_pace_ratio:Float64} * activity_median AND watts < {job_pace_ratio:Float64} * watts_median
      ),
      (
        'sample_loss_ratio',
        1 - samples / most_samples,
        most_samples >= 10 AND 1 - samples / most_samples >= {sample_loss_ratio:Float64}
      )
    ]) AS found
    ORDER BY
      node,
      gpu_uuid,
      signal`,
  params: z.strictObject({
    from_ms: instantMs,
    to_ms: instantMs,
    peers_min: z.int().min(3),
    temperature_outlier_z: z.number(),
    clock_to_peers_ratio: z.number(),
    job_pace_ratio: z.number(),
    sample_loss_ratio: z.number(),
  }),
  row: z.object({ node: column.text, gpu_uuid: column.text, signal: column.text, value: column.float }),
});
