/** Runs of minutes, and of hours, in which something about a GPU looked wrong: what the fault monitor judges. */
import { z } from 'zod';
import { column } from '../column.js';
import { defineQuery } from '../define-query.js';
import { eventsOfNode } from './fault-evidence.js';

const instantMs = z.number().int();

const stretchRow = z.object({
  node: column.text,
  gpu_uuid: column.text,
  gpu_instance: column.text,
  signal: column.text,
  started_ms: column.wideInteger,
  ended_ms: column.wideInteger,
  extreme: column.float,
});

const span = {
  /** '' asks for all nodes. */
  node: z.string(),
  from_ms: instantMs,
  to_ms: instantMs,
  /** Regular expressions of pool names; none means every pool. */
  pools: z.array(z.string()),
  except_pools: z.array(z.string()),
};

/**
 * Runs of whole minutes per GPU and signal. A limit that no value reaches turns its signal off (1e300, or -1e300 where
 * less is worse). An exporter that did not give a value makes nothing bad. Counters are compared from minute to minute;
 * one that began anew counts nothing.
 */
export const minuteSignals = defineQuery({
  name: 'minute-signals',
  sql: `
    WITH
      minutes AS
      (
        SELECT
          node,
          gpu_uuid,
          gpu_instance,
          toUnixTimestamp64Milli(ts) AS minute_ms,
          toFloat64(ifNull(max(temperature_celsius_max), 0)) AS hottest,
          toFloat64(ifNull(min(temperature_margin_celsius), 127)) AS margin,
          sum(throttle_reasons_count) AS reasons,
          greatest(sum(throttle_hw_slowdown_count), sum(throttle_hw_thermal_count), sum(throttle_hw_power_brake_count))
            / greatest(reasons, 1) AS hw_throttled,
          sum(throttle_sw_thermal_count) / greatest(reasons, 1) AS sw_thermal,
          sum(sm_active_ratio_count) AS sm_readings,
          sum(gpu_util_ratio_count) AS util_readings,
          sum(sm_active_ratio_sum) / greatest(sm_readings, 1) AS sm_active,
          sum(gpu_util_ratio_sum) / greatest(util_readings, 1) AS util,
          greatest(
            sum(graphics_engine_active_ratio_sum) / greatest(sum(graphics_engine_active_ratio_count), 1),
            sm_active,
            util
          ) AS activity,
          sum(graphics_engine_active_ratio_count) + sm_readings + util_readings > 0 AS has_activity,
          ifNull(max(memory_used_bytes_max), 0) AS memory_bytes,
          sum(power_watts_sum) / greatest(sum(power_watts_count), 1) AS watts,
          sum(power_watts_count) > 0 AS has_power,
          max(toInt64(ecc_uncorrectable_total)) AS ecc_total,
          max(toInt64(pcie_replay_total)) AS replay_total,
          toFloat64(bitAnd(ifNull(groupBitOr(row_remap_state), 0), 1)) AS remap_pending,
          toFloat64(bitAnd(ifNull(groupBitOr(row_remap_state), 0), 2) != 0) AS remap_failed,
          toFloat64(ifNull(max(row_remap_uncorrectable_total), 0)) AS remapped_rows,
          toFloat64(ifNull(max(recovery_action), 0)) AS wanted_action
        FROM gpu_samples_1m
        WHERE ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
          AND ts <= fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
          AND ({node:String} = '' OR node = {node:String})
          AND (empty({pools:Array(String)}) OR arrayExists(one -> match(pool, one), {pools:Array(String)}))
          AND NOT arrayExists(one -> match(pool, one), {except_pools:Array(String)})
        GROUP BY
          node,
          gpu_uuid,
          gpu_instance,
          ts
      ),
      gpus AS
      (
        SELECT
          node,
          gpu_uuid,
          gpu_instance,
          max(watts) AS peak_watts,
          arraySort(groupArrayIf((minute_ms, hottest), hottest >= {temperature_celsius:Float64})) AS hot,
          arraySort(groupArrayIf((minute_ms, margin), margin < {temperature_margin_celsius:Float64})) AS close_to_limit,
          arraySort(groupArrayIf((minute_ms, hw_throttled), hw_throttled >= {hw_throttled_ratio:Float64})) AS hardware_slowed,
          arraySort(groupArrayIf((minute_ms, sw_thermal), sw_thermal >= {sw_thermal_throttled_ratio:Float64})) AS driver_slowed,
          arraySort(groupArrayIf(
            (minute_ms, activity),
            has_activity AND activity < {activity_ratio:Float64} AND memory_bytes >= {activity_memory_bytes:UInt64}
          )) AS idle,
          arrayFilter(
            one -> one.2 < {stalled_power_ratio:Float64},
            arrayMap(
              one -> (one.1, one.2 / greatest(peak_watts, 1)),
              arraySort(groupArrayIf(
                (minute_ms, watts),
                util_readings > 0 AND sm_readings > 0 AND has_power AND util >= 0.95 AND sm_active < 0.02
              ))
            )
          ) AS stalled,
          arraySort(groupArrayIf((minute_ms, toFloat64(assumeNotNull(ecc_total))), isNotNull(ecc_total))) AS ecc,
          arraySort(groupArrayIf((minute_ms, toFloat64(assumeNotNull(replay_total))), isNotNull(replay_total))) AS replays,
          arraySort(groupArrayIf((minute_ms, remap_pending), remap_pending >= {row_remap_pending:Float64})) AS pending,
          arraySort(groupArrayIf((minute_ms, remap_failed), remap_failed >= {row_remap_failed:Float64})) AS failed,
          arraySort(groupArrayIf((minute_ms, remapped_rows), remapped_rows >= {row_remap_uncorrectable_total:Float64})) AS remapped,
          arraySort(groupArrayIf((minute_ms, wanted_action), wanted_action >= {recovery_action:Float64})) AS wanted
        FROM minutes
        GROUP BY
          node,
          gpu_uuid,
          gpu_instance
      ),
      found AS
      (
        SELECT
          node,
          gpu_uuid,
          gpu_instance,
          arrayJoin(arrayFilter(one -> notEmpty(one.2), [
            ('temperature_celsius', hot, 1),
            ('temperature_margin_celsius', close_to_limit, -1),
            ('hw_throttled_ratio', hardware_slowed, 1),
            ('sw_thermal_throttled_ratio', driver_slowed, 1),
            ('activity_ratio', idle, 1),
            ('stalled_power_ratio', stalled, -1),
            ('ecc_uncorrectable_new', arrayFilter(one -> one.2 >= {ecc_uncorrectable_new:Float64},
              arrayMap((one, more) -> (one.1, more), ecc, arrayDifference(arrayMap(one -> one.2, ecc)))), 1),
            ('pcie_replays_per_minute', arrayFilter(one -> one.2 >= {pcie_replays_per_minute:Float64},
              arrayMap((one, more) -> (one.1, more), replays, arrayDifference(arrayMap(one -> one.2, replays)))), 1),
            ('row_remap_pending', pending, 1),
            ('row_remap_failed', failed, 1),
            ('row_remap_uncorrectable_total', remapped, 1),
            ('recovery_action', wanted, 1)
          ])) AS one
        FROM gpus
      )
    SELECT
      node,
      gpu_uuid,
      gpu_instance,
      one.1 AS signal,
      run[1].1 AS started_ms,
      run[-1].1 + 60000 AS ended_ms,
      one.3 * arrayMax(minute -> one.3 * minute.2, run) AS extreme
    FROM found
    ARRAY JOIN arraySplit((minute, pause) -> pause > 60000, one.2, arrayDifference(arrayMap(minute -> minute.1, one.2))) AS run
    ORDER BY
      node,
      gpu_uuid,
      gpu_instance,
      signal,
      started_ms`,
  params: z.strictObject({
    ...span,
    temperature_celsius: z.number(),
    temperature_margin_celsius: z.number(),
    hw_throttled_ratio: z.number(),
    sw_thermal_throttled_ratio: z.number(),
    activity_ratio: z.number(),
    activity_memory_bytes: z.int().min(0),
    stalled_power_ratio: z.number(),
    ecc_uncorrectable_new: z.number(),
    pcie_replays_per_minute: z.number(),
    row_remap_pending: z.number(),
    row_remap_failed: z.number(),
    row_remap_uncorrectable_total: z.number(),
    recovery_action: z.number(),
  }),
  row: stretchRow,
});

/** Runs of whole hours in which a GPU that did next to nothing held more and more memory. */
export const hourSignals = defineQuery({
  name: 'hour-signals',
  sql: `
    WITH
      hours AS
      (
        SELECT
          node,
          gpu_uuid,
          gpu_instance,
          toUnixTimestamp64Milli(ts) AS hour_ms,
          toFloat64(ifNull(max(memory_used_bytes_max), 0)) AS memory_bytes,
          greatest(
            sum(graphics_engine_active_ratio_sum) / greatest(sum(graphics_engine_active_ratio_count), 1),
            sum(gpu_util_ratio_sum) / greatest(sum(gpu_util_ratio_count), 1)
          ) AS activity
        FROM gpu_samples_1h
        WHERE ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
          AND ts <= fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
          AND ({node:String} = '' OR node = {node:String})
          AND (empty({pools:Array(String)}) OR arrayExists(one -> match(pool, one), {pools:Array(String)}))
          AND NOT arrayExists(one -> match(pool, one), {except_pools:Array(String)})
        GROUP BY
          node,
          gpu_uuid,
          gpu_instance,
          ts
      ),
      gpus AS
      (
        SELECT
          node,
          gpu_uuid,
          gpu_instance,
          arraySort(groupArrayIf((hour_ms, memory_bytes), activity < 0.05)) AS idle,
          arrayFilter(
            one -> one.2 >= {memory_growth_bytes_per_hour:Float64} AND one.3 = 3600000,
            arrayMap(
              (one, more, pause) -> (one.1, more, pause),
              idle,
              arrayDifference(arrayMap(one -> one.2, idle)),
              arrayDifference(arrayMap(one -> one.1, idle))
            )
          ) AS growing
        FROM hours
        GROUP BY
          node,
          gpu_uuid,
          gpu_instance
      )
    SELECT
      node,
      gpu_uuid,
      gpu_instance,
      'memory_growth_bytes_per_hour' AS signal,
      run[1].1 AS started_ms,
      run[-1].1 + 3600000 AS ended_ms,
      arrayMax(hour -> hour.2, run) AS extreme
    FROM gpus
    ARRAY JOIN arraySplit((hour, pause) -> pause > 3600000, growing, arrayDifference(arrayMap(hour -> hour.1, growing))) AS run
    WHERE notEmpty(growing)
    ORDER BY
      node,
      gpu_uuid,
      gpu_instance,
      started_ms`,
  params: z.strictObject({ ...span, memory_growth_bytes_per_hour: z.number() }),
  row: stretchRow,
});

/** Xid lines of one node within a span, of some numbers: what is counted where a fault is proved by its return. */
export const xidsOfNode = defineQuery({
  name: 'xids-of-node',
  sql: `
    SELECT
      ts,
      boot_id,
      sequence,
      node,
      gpu_uuid,
      gpu_instance,
      pool,
      provider_id,
      kind,
      code,
      message,
      detail,
      demo,
      bus_partition,
      bus_offset
    FROM gpu_events
    WHERE node = {node:String}
      AND kind = 'xid'
      AND code IN {codes:Array(Int32)}
      AND ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
      AND ts < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    ORDER BY ts`,
  params: z.strictObject({
    node: z.string(),
    from_ms: instantMs,
    to_ms: instantMs,
    codes: z.array(z.int().min(0)),
  }),
  row: eventsOfNode.row,
});
