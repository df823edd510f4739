import { defineQuery } from '../define-query.js';
import { evidenceParams, evidenceRow } from './evidence-quality.js';

/** As evidence-quality, for intervals older than the raw rows: a minute with a sample of its own counts as covered. */
export const evidenceQualityByMinute = defineQuery({
  name: 'evidence-quality-by-minute',
  sql: `
    WITH minutes AS
    (
      SELECT
        s.ts AS minute,
        least(toUnixTimestamp64Milli(s.ts) + 60000, {to_ms:Int64}) - greatest(toUnixTimestamp64Milli(s.ts), {from_ms:Int64}) AS span_ms,
        sum(s.sample_count) - sum(s.repeat_count) AS samples,
        min(s.ts_first) AS first,
        max(s.ts_last) AS last,
        coalesce(
          sum(s.sm_active_ratio_sum) / nullIf(sum(s.sm_active_ratio_count), 0),
          sum(s.graphics_engine_active_ratio_sum) / nullIf(sum(s.graphics_engine_active_ratio_count), 0),
          sum(s.gpu_util_ratio_sum) / nullIf(sum(s.gpu_util_ratio_count), 0)
        ) AS activity_ratio
      FROM gpu_samples_1m AS s
      WHERE s.gpu_uuid = {gpu_uuid:String}
        AND s.gpu_instance = {gpu_instance:String}
        AND s.ts > fromUnixTimestamp64Milli({from_ms:Int64} - 60000, 'UTC')
        AND s.ts < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
      GROUP BY s.ts
      HAVING samples > 0
    )
    SELECT
      toUInt64(sum(samples)) AS sample_count,
      toUInt64(sum(span_ms)) AS covered_ms,
      toUInt64({to_ms:Int64} - {from_ms:Int64} - sum(span_ms)) AS gap_ms,
      sum(span_ms * activity_ratio) / nullIf(sumIf(span_ms, activity_ratio IS NOT NULL), 0) AS mean_activity_ratio,
      minOrNull(first) AS ts_first,
      maxOrNull(last) AS ts_last
    FROM minutes
  `,
  params: evidenceParams,
  row: evidenceRow,
});
