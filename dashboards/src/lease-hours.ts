/** SQL over leases as they cover the time: for charts, where a share may be a float; never for money. */

/** Leases that overlap the range, cut to it; an open lease lasts until now. Seconds since the epoch. */
function leasesInRange(where: string): string {
  return `
      SELECT
        customer_id, pool, gpu_uuid, gpu_instance, share_ratio,
        greatest(toUnixTimestamp(started_at), toUnixTimestamp($__fromTime)) AS start_s,
        least(toUnixTimestamp(ifNull(ended_at, now64(3))), toUnixTimestamp($__toTime)) AS end_s
      FROM leases FINAL
      WHERE started_at < $__toTime AND (ended_at IS NULL OR ended_at > $__fromTime)
        AND end_s > start_s AND ${where}`;
}

/** Mean number of leased GPUs per step, whole GPUs or shares of them. */
export function leasedOverTime(where: string): string {
  const step = 'greatest($__interval_s, 60)';
  return `
    WITH toUInt32(${step}) AS step_s
    SELECT
      toDateTime(slot * step_s, 'UTC') AS time,
      sum(share_ratio * (least(end_s, (slot + 1) * step_s) - greatest(start_s, slot * step_s))) / any(step_s) AS leased
    FROM (${leasesInRange(where)})
    ARRAY JOIN range(intDiv(start_s, step_s), intDiv(end_s - 1, step_s) + 1) AS slot
    GROUP BY time
    ORDER BY time
  `;
}

/**
 * Per lease and hour: the leased GPU-hours and the utilisation that was measured in that hour, NULL where nothing was.
 * MIG instances have no utilisation of their own; the activity of their engine stands in.
 */
export function leasedHoursWithUtilisation(where: string): string {
  return `
      SELECT held.customer_id AS customer_id, held.pool AS pool, held.hour_s AS hour_s, held.gpu_hours AS gpu_hours, measured.util AS util
      FROM (
        SELECT
          customer_id, pool, gpu_uuid, gpu_instance, toUInt32(hour * 3600) AS hour_s,
          share_ratio * (least(end_s, (hour + 1) * 3600) - greatest(start_s, hour * 3600)) / 3600 AS gpu_hours
        FROM (${leasesInRange(where)})
        ARRAY JOIN range(intDiv(start_s, 3600), intDiv(end_s - 1, 3600) + 1) AS hour
      ) AS held
      LEFT JOIN (
        SELECT
          gpu_uuid, gpu_instance, toUnixTimestamp(ts) AS hour_s,
          coalesce(
            sum(gpu_util_ratio_sum) / nullIf(sum(gpu_util_ratio_count), 0),
            sum(graphics_engine_active_ratio_sum) / nullIf(sum(graphics_engine_active_ratio_count), 0)) AS util
        FROM gpu_samples_1h
        WHERE ts >= toStartOfHour($__fromTime) AND ts <= $__toTime
        GROUP BY gpu_uuid, gpu_instance, hour_s
      ) AS measured
      ON held.gpu_uuid = measured.gpu_uuid AND held.gpu_instance = measured.gpu_instance AND held.hour_s = measured.hour_s`;
}
