import { z } from 'zod';
import { column } from '../column.js';
import { defineQuery } from '../define-query.js';

export const evidenceParams = z.object({
  gpu_uuid: z.string(),
  gpu_instance: z.string().default(''),
  from_ms: z.int(),
  /** Exclusive. */
  to_ms: z.int(),
});

export const evidenceRow = z.object({
  sample_count: column.wideInteger,
  /** Time in [from, to) that samples vouch for. */
  covered_ms: column.wideInteger,
  gap_ms: column.wideInteger,
  /** Mean over the covered time of SM activity, else of engine activity, else of utilisation. */
  mean_activity_ratio: column.float.nullable(),
  ts_first: column.instant.nullable(),
  ts_last: column.instant.nullable(),
});

/**
 * How well the raw samples cover an interval of one GPU or instance. A sample vouches for the time until the next one,
 * for `max_gap_ms` at most; one that repeats an earlier collection vouches for nothing.
 */
export const evidenceQuality = defineQuery({
  name: 'evidence-quality',
  sql: `
    WITH
      {from_ms:Int64} AS from_ms,
      {to_ms:Int64} AS to_ms,
      readings AS
      (
        SELECT
          ts,
          toUnixTimestamp64Milli(ts) AS at_ms,
          leadInFrame(toUnixTimestamp64Milli(ts), 1, to_ms) OVER (ORDER BY ts ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS next_ms,
          coalesce(sm_active_ratio, graphics_engine_active_ratio, gpu_util_ratio) AS activity_ratio
        FROM gpu_samples
        WHERE gpu_uuid = {gpu_uuid:String}
          AND gpu_instance = {gpu_instance:String}
          AND ts >= fromUnixTimestamp64Milli({from_ms:Int64} - {max_gap_ms:Int64}, 'UTC')
          AND ts < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
          AND NOT bitTest(flags, 0)
      ),
      spans AS
      (
        SELECT
          ts,
          activity_ratio,
          greatest(0, least(next_ms, at_ms + {max_gap_ms:Int64}, to_ms) - greatest(at_ms, from_ms)) AS span_ms
        FROM readings
      )
    SELECT
      countIf(ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')) AS sample_count,
      toUInt64(sum(span_ms)) AS covered_ms,
      toUInt64({to_ms:Int64} - {from_ms:Int64} - sum(span_ms)) AS gap_ms,
      sum(span_ms * activity_ratio) / nullIf(sumIf(span_ms, activity_ratio IS NOT NULL), 0) AS mean_activity_ratio,
      minOrNull(ts) AS ts_first,
      maxOrNull(ts) AS ts_last
    FROM spans
    WHERE span_ms > 0
  `,
  params: evidenceParams.extend({
    /** How long one sample may vouch for: two scrape intervals, as a rule. */
    max_gap_ms: z.int().positive(),
  }),
  row: evidenceRow,
});
