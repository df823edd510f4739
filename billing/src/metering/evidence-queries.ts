/**
 * Evidence for many intervals in one question. Intervals and samples meet by GPU and hour, so that a sample is held
 * against the intervals around it and not against all of them; what reaches over an hour's edge is counted in parts.
 */
import { column, defineQuery } from '@poolmeter/metrics-store';
import { z } from 'zod';

/** Arrays of one length: interval i is [starts[i], ends[i]) of gpus[i] and instances[i]. */
const stretchParams = z.object({
  from_ms: z.int(),
  to_ms: z.int(),
  gpus: z.array(z.string()),
  instances: z.array(z.string()),
  starts: z.array(z.int()),
  ends: z.array(z.int()),
});

const STRETCHES = `
    stretches AS
    (
      SELECT
        one.1 AS id,
        one.2 AS gpu,
        one.3 AS instance,
        one.4 AS start_ms,
        one.5 AS end_ms,
        arrayJoin(range(intDiv(one.4, 3600000), intDiv(one.5 - 1, 3600000) + 1)) AS hour
      FROM
      (
        SELECT arrayJoin(arrayZip(
          arrayEnumerate({gpus:Array(String)}),
          {gpus:Array(String)},
          {instances:Array(String)},
          {starts:Array(Int64)},
          {ends:Array(Int64)}
        )) AS one
      )
    )`;

const stretchRow = z.object({
  /** 1, 2, 3 … in the order of the parameters; intervals without a sample have no row. */
  id: column.integer,
  sample_count: column.wideInteger,
  covered_ms: column.wideInteger,
  mean_activity_ratio: column.float.nullable(),
});

/**
 * As evidence-quality and evidence-energy together: a sample vouches until the next one, for `max_gap_ms` at most; repeats
 * vouch for nothing, but their counters are readings like others.
 */
export const stretchQuality = defineQuery({
  name: 'billing-stretch-quality',
  sql: `
    WITH ${STRETCHES},
    hours AS
    (
      SELECT DISTINCT gpu, hour FROM stretches
      UNION DISTINCT
      SELECT DISTINCT gpu, intDiv(start_ms - {max_gap_ms:Int64}, 3600000) AS hour FROM stretches
    ),
    readings AS
    (
      SELECT
        gpu_uuid,
        gpu_instance,
        bitTest(flags, 0) AS is_repeat,
        toUnixTimestamp64Milli(ts) AS at_ms,
        leadInFrame(toUnixTimestamp64Milli(ts), 1, 9223372036854775807) OVER (
          PARTITION BY gpu_uuid, gpu_instance, is_repeat ORDER BY ts ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        ) AS next_ms,
        coalesce(sm_active_ratio, graphics_engine_active_ratio, gpu_util_ratio) AS activity_ratio,
        energy_epoch,
        if(gpu_instance = '', energy_joules, NULL) AS device_joules
      FROM gpu_samples
      WHERE gpu_uuid IN {gpus:Array(String)}
        AND ts >= fromUnixTimestamp64Milli({from_ms:Int64} - {max_gap_ms:Int64}, 'UTC')
        AND ts < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        AND (gpu_uuid, intDiv(toUnixTimestamp64Milli(ts), 3600000)) IN (SELECT gpu, hour FROM hours)
    ),
    spans AS
    (
      SELECT
        *,
        if(is_repeat, at_ms + 1, greatest(at_ms + 1, least(next_ms, at_ms + {max_gap_ms:Int64}))) AS until_ms,
        arrayJoin(range(intDiv(at_ms, 3600000), intDiv(until_ms - 1, 3600000) + 1)) AS hour
      FROM readings
    ),
    met AS
    (
      SELECT
        t.id AS id,
        s.activity_ratio AS activity_ratio,
        s.is_repeat AS is_repeat,
        s.energy_epoch AS energy_epoch,
        s.device_joules AS device_joules,
        s.at_ms >= t.start_ms AND s.at_ms < t.end_ms AND intDiv(s.at_ms, 3600000) = s.hour AS is_inside,
        if(s.is_repeat OR s.next_ms = s.at_ms, 0,
          greatest(0, least(s.until_ms, t.end_ms, (s.hour + 1) * 3600000) - greatest(s.at_ms, t.start_ms, s.hour * 3600000))) AS span_ms
      FROM spans AS s
      INNER JOIN stretches AS t ON s.gpu_uuid = t.gpu AND s.gpu_instance = t.instance AND s.hour = t.hour
    ),
    epochs AS
    (
      SELECT
        id,
        countIf(is_inside AND span_ms > 0) AS samples,
        sum(span_ms) AS covered,
        sum(span_ms * activity_ratio) AS active,
        sumIf(span_ms, activity_ratio IS NOT NULL) AS telling,
        maxIf(device_joules, is_inside) - minIf(device_joules, is_inside) AS joules
      FROM met
      GROUP BY id, energy_epoch
    )
    SELECT
      toUInt32(id) AS id,
      toUInt64(sum(samples)) AS sample_count,
      toUInt64(sum(covered)) AS covered_ms,
      sum(active) / nullIf(sum(telling), 0) AS mean_activity_ratio,
      toUInt64OrNull(toString(sum(joules))) AS energy_joules
    FROM epochs
    GROUP BY id
  `,
  params: stretchParams.extend({ max_gap_ms: z.int().positive() }),
  row: stretchRow.extend({ energy_joules: column.wideInteger.nullable() }),
});

/** As evidence-quality-by-minute, for what is older than the raw rows. */
export const stretchQualityByMinute = defineQuery({
  name: 'billing-stretch-quality-by-minute',
  sql: `
    WITH ${STRETCHES},
    minutes AS
    (
      SELECT
        s.gpu_uuid AS gpu_uuid,
        s.gpu_instance AS gpu_instance,
        toUnixTimestamp64Milli(s.ts) AS minute_ms,
        sum(s.sample_count) - sum(s.repeat_count) AS samples,
        coalesce(
          sum(s.sm_active_ratio_sum) / nullIf(sum(s.sm_active_ratio_count), 0),
          sum(s.graphics_engine_active_ratio_sum) / nullIf(sum(s.graphics_engine_active_ratio_count), 0),
          sum(s.gpu_util_ratio_sum) / nullIf(sum(s.gpu_util_ratio_count), 0)
        ) AS activity_ratio
      FROM gpu_samples_1m AS s
      WHERE s.gpu_uuid IN {gpus:Array(String)}
        AND s.ts > fromUnixTimestamp64Milli({from_ms:Int64} - 60000, 'UTC')
        AND s.ts < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        AND (s.gpu_uuid, intDiv(toUnixTimestamp64Milli(s.ts), 3600000)) IN (SELECT gpu, hour FROM stretches)
      GROUP BY gpu_uuid, gpu_instance, s.ts
      HAVING samples > 0
    ),
    met AS
    (
      SELECT
        t.id AS id,
        m.samples AS samples,
        m.activity_ratio AS activity_ratio,
        greatest(0, least(m.minute_ms + 60000, t.end_ms) - greatest(m.minute_ms, t.start_ms)) AS span_ms
      FROM minutes AS m
      INNER JOIN stretches AS t
        ON m.gpu_uuid = t.gpu AND m.gpu_instance = t.instance AND intDiv(m.minute_ms, 3600000) = t.hour
    )
    SELECT
      toUInt32(id) AS id,
      toUInt64(sum(samples)) AS sample_count,
      toUInt64(sum(span_ms)) AS covered_ms,
      sum(span_ms * activity_ratio) / nullIf(sumIf(span_ms, activity_ratio IS NOT NULL), 0) AS mean_activity_ratio
    FROM met
    WHERE span_ms > 0
    GROUP BY id
  `,
  params: stretchParams,
  row: stretchRow,
});

/** Energy by the counters of whole GPUs: within an epoch of a counter it only grows, across a reset nothing is known. */
export const stretchEnergy = defineQuery({
  name: 'billing-stretch-energy',
  sql: `
    WITH ${STRETCHES},
    epochs AS
    (
      SELECT
        t.id AS id,
        s.energy_epoch AS energy_epoch,
        max(s.energy_joules) - min(s.energy_joules) AS energy_joules
      FROM
      (
        SELECT gpu_uuid, energy_epoch, energy_joules, toUnixTimestamp64Milli(ts) AS at_ms
        FROM gpu_samples
        WHERE gpu_uuid IN {gpus:Array(String)}
          AND gpu_instance = ''
          AND ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
          AND ts < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
          AND energy_joules IS NOT NULL
      ) AS s
      INNER JOIN stretches AS t ON s.gpu_uuid = t.gpu AND intDiv(s.at_ms, 3600000) = t.hour
      WHERE t.instance = '' AND s.at_ms >= t.start_ms AND s.at_ms < t.end_ms
      GROUP BY id, energy_epoch
    )
    SELECT
      toUInt32(id) AS id,
      toUInt64(sum(energy_joules)) AS energy_joules
    FROM epochs
    GROUP BY id
  `,
  params: stretchParams,
  row: z.object({ id: column.integer, energy_joules: column.wideInteger }),
});

/** Whole hours in which GPUs worked, by hour and GPU: held against leases, they show what is used and not leased. */
export const usedHours = defineQuery({
  name: 'billing-used-hours',
  sql: `
    SELECT
      s.gpu_uuid AS gpu_uuid,
      toUnixTimestamp64Milli(s.ts) AS hour_ms,
      sum(s.sm_active_ratio_sum) / sum(s.sm_active_ratio_count) AS activity_ratio
    FROM gpu_samples_1h AS s
    WHERE s.ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
      AND s.ts < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    GROUP BY gpu_uuid, s.ts
    HAVING sum(s.sm_active_ratio_count) > 0 AND activity_ratio > {above:Float64}
    ORDER BY gpu_uuid, hour_ms
    LIMIT 100000
  `,
  params: z.object({ from_ms: z.int(), to_ms: z.int(), above: z.number() }),
  row: z.object({ gpu_uuid: column.text, hour_ms: column.wideInteger, activity_ratio: column.float }),
});

/** What the copies for charts say about invoices: number of intervals and sum of amounts. */
export const copiedIntervals = defineQuery({
  name: 'billing-copied-intervals',
  sql: `
    SELECT
      invoice_id,
      toUInt64(count()) AS intervals,
      toString(sum(coalesce(amount, toDecimal128(0, 9)))) AS amount
    FROM billable_intervals FINAL
    WHERE invoice_id IN {invoice_ids:Array(String)} AND is_deleted = 0
    GROUP BY invoice_id
  `,
  params: z.object({ invoice_ids: z.array(z.string()) }),
  row: z.object({ invoice_id: column.text, intervals: column.wideInteger, amount: column.text }),
});
