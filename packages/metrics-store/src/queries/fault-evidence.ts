/** What the fault monitor reads: events by bus position, and what samples say about one node over a span of time. */
import { z } from 'zod';
import { column } from '../column.js';
import { defineQuery } from '../define-query.js';

const instantMs = z.number().int();

/**
 * Events behind the given positions, oldest first within a partition. `partitions` and `next_offsets` go together; a
 * partition that is not listed is read from its beginning. Only what tells a reader where to look: the events
 * themselves are read per node.
 */
export const eventsAfterPositions = defineQuery({
  name: 'events-after-positions',
  sql: `
    SELECT
      bus_partition,
      bus_offset,
      node,
      kind,
      ts
    FROM gpu_events
    WHERE bus_offset >= arrayElement({next_offsets:Array(UInt64)}, indexOf({partitions:Array(Int32)}, bus_partition))
    ORDER BY
      bus_partition,
      bus_offset
    LIMIT {limit:UInt32}`,
  params: z.strictObject({
    partitions: z.array(z.int()),
    next_offsets: z.array(z.bigint().min(0n)),
    limit: z.int().min(1),
  }),
  row: z.object({
    bus_partition: column.integer,
    bus_offset: column.bigInteger,
    node: column.text,
    kind: column.text,
    ts: column.instant,
  }),
});

/** The newest offset of each partition: what the reader's lag is measured against. */
export const newestEventPositions = defineQuery({
  name: 'newest-event-positions',
  sql: `
    SELECT
      bus_partition,
      max(bus_offset) AS newest_offset
    FROM gpu_events
    GROUP BY bus_partition`,
  params: z.strictObject({}),
  row: z.object({ bus_partition: column.integer, newest_offset: column.bigInteger }),
});

/** All events of one node since an instant. Copies of one event may appear twice; they have one identity. */
export const eventsOfNode = defineQuery({
  name: 'events-of-node',
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
      AND ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
    ORDER BY ts`,
  params: z.strictObject({ node: z.string(), from_ms: instantMs }),
  row: z.object({
    ts: column.instant,
    boot_id: column.text,
    sequence: column.bigInteger,
    node: column.text,
    gpu_uuid: column.text,
    gpu_instance: column.text,
    pool: column.text,
    provider_id: column.text,
    kind: column.text,
    code: column.integer,
    message: column.text,
    detail: column.text,
    demo: column.flag,
    bus_partition: column.integer,
    bus_offset: column.bigInteger,
  }),
});

/** When each GPU was last seen, and where. */
export const gpusLastSeen = defineQuery({
  name: 'gpus-last-seen',
  sql: `
    SELECT
      gpu_uuid,
      argMax(gpu_latest.node, gpu_latest.ts) AS node,
      argMax(gpu_latest.pool, gpu_latest.ts) AS pool,
      max(gpu_latest.ts) AS last_seen_at
    FROM gpu_latest
    GROUP BY gpu_uuid`,
  params: z.strictObject({}),
  row: z.object({
    gpu_uuid: column.text,
    node: column.text,
    pool: column.text,
    last_seen_at: column.instant,
  }),
});

/**
 * Stretches of samples of one node's GPUs. `seen`: from the first to the last sample of a run whose pauses are at
 * most `gap_ms`. `unwell`: from a sample that wants a recovery action or reports a failed row remapping to the next
 * that does not (one millisecond after the last sample where there is none yet).
 */
export const sampleStretchesOfNode = defineQuery({
  name: 'sample-stretches-of-node',
  sql: `
    WITH readings_of_gpus AS
    (
      SELECT
        gpu_uuid,
        argMax(gpu_samples.pool, gpu_samples.ts) AS last_pool,
        argMax(gpu_samples.provider_id, gpu_samples.ts) AS last_provider_id,
        toBool(max(bitTest(flags, 3))) AS is_demo,
        arraySort(groupUniqArray((
          toUnixTimestamp64Milli(ts),
          toUInt8((raw_recovery_action NOT IN (0, 255)) OR (raw_row_remap_state != 255 AND bitTest(raw_row_remap_state, 1)))
        ))) AS readings,
        arrayMap(reading -> reading.1, readings) AS times,
        arrayMap(reading -> reading.2, readings) AS bad,
        arrayPushFront(arrayPopBack(bad), toUInt8(0)) AS bad_before,
        arraySplit((time, pause) -> pause > {gap_ms:Int64}, times, arrayDifference(times)) AS runs,
        arrayFilter((time, now, before) -> now = 1 AND before = 0, times, bad, bad_before) AS unwell_starts,
        arrayFilter((time, now, before) -> now = 0 AND before = 1, times, bad, bad_before) AS unwell_ends
      FROM gpu_samples
      WHERE node = {node:String}
        AND ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        AND ts <= fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        AND gpu_uuid IN
        (
          SELECT gpu_uuid
          FROM gpu_samples_1h
          WHERE node = {node:String}
            AND ts >= fromUnixTimestamp64Milli({from_ms:Int64} - 3600000, 'UTC')
        )
      GROUP BY gpu_uuid
    )
    SELECT
      gpu_uuid,
      last_pool AS pool,
      last_provider_id AS provider_id,
      is_demo AS demo,
      stretch.1 AS what,
      stretch.2 AS started_ms,
      stretch.3 AS ended_ms
    FROM readings_of_gpus
    ARRAY JOIN arrayConcat(
      arrayMap(run -> ('seen', run[1], run[-1]), runs),
      arrayMap(
        (start, end) -> ('unwell', start, end),
        unwell_starts,
        if(length(unwell_ends) < length(unwell_starts), arrayPushBack(unwell_ends, times[-1] + 1), unwell_ends)
      )
    ) AS stretch
    ORDER BY
      gpu_uuid,
      what,
      started_ms`,
  params: z.strictObject({ node: z.string(), from_ms: instantMs, to_ms: instantMs, gap_ms: z.int().min(1) }),
  row: z.object({
    gpu_uuid: column.text,
    pool: column.text,
    provider_id: column.text,
    demo: column.flag,
    what: column.text,
    started_ms: column.wideInteger,
    ended_ms: column.wideInteger,
  }),
});

/**
 * Runs of whole minutes in which a GPU was hot, or did next to nothing while memory was in use. `node` '' asks for all
 * nodes. An exporter that gave no activity at all makes nothing idle.
 */
export const signalStretches = defineQuery({
  name: 'signal-stretches',
  sql: `
    WITH
      minutes AS
      (
        SELECT
          node,
          gpu_uuid,
          gpu_instance,
          toUnixTimestamp64Milli(ts) AS minute_ms,
          toFloat64(max(temperature_celsius_max)) AS hottest,
          greatest(
            sum(graphics_engine_active_ratio_sum) / greatest(sum(graphics_engine_active_ratio_count), 1),
            sum(sm_active_ratio_sum) / greatest(sum(sm_active_ratio_count), 1),
            sum(gpu_util_ratio_sum) / greatest(sum(gpu_util_ratio_count), 1)
          ) AS activity,
          sum(graphics_engine_active_ratio_count) + sum(sm_active_ratio_count) + sum(gpu_util_ratio_count) > 0 AS has_activity,
          ifNull(max(memory_used_bytes_max), 0) AS memory_bytes
        FROM gpu_samples_1m
        WHERE ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
          AND ts <= fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
          AND ({node:String} = '' OR node = {node:String})
        GROUP BY
          node,
          gpu_uuid,
          gpu_instance,
          ts
      ),
      runs_of_gpus AS
      (
        SELECT
          node,
          gpu_uuid,
          gpu_instance,
          arraySort(groupArrayIf((minute_ms, assumeNotNull(hottest)), ifNull(hottest, 0) >= {hot_celsius:Float64})) AS hot,
          arraySort(groupArrayIf(
            (minute_ms, activity),
            has_activity AND activity < {idle_below_ratio:Float64} AND memory_bytes >= {idle_memory_bytes:UInt64}
          )) AS idle
        FROM minutes
        GROUP BY
          node,
          gpu_uuid,
          gpu_instance
      )
    SELECT
      node,
      gpu_uuid,
      gpu_instance,
      stretch.1 AS signal,
      stretch.2 AS started_ms,
      stretch.3 AS ended_ms,
      stretch.4 AS extreme
    FROM runs_of_gpus
    ARRAY JOIN arrayConcat(
      arrayMap(
        run -> ('hot', run[1].1, run[-1].1 + 60000, arrayMax(arrayMap(minute -> minute.2, run))),
        arraySplit((minute, pause) -> pause > 60000, hot, arrayDifference(arrayMap(minute -> minute.1, hot)))
      ),
      arrayMap(
        run -> ('idle_leased', run[1].1, run[-1].1 + 60000, arrayMax(arrayMap(minute -> minute.2, run))),
        arraySplit((minute, pause) -> pause > 60000, idle, arrayDifference(arrayMap(minute -> minute.1, idle)))
      )
    ) AS stretch
    ORDER BY
      node,
      gpu_uuid,
      gpu_instance,
      signal,
      started_ms`,
  params: z.strictObject({
    node: z.string(),
    from_ms: instantMs,
    to_ms: instantMs,
    hot_celsius: z.number(),
    idle_below_ratio: z.number(),
    idle_memory_bytes: z.int().min(0),
  }),
  row: z.object({
    node: column.text,
    gpu_uuid: column.text,
    gpu_instance: column.text,
    signal: column.text,
    started_ms: column.wideInteger,
    ended_ms: column.wideInteger,
    extreme: column.float,
  }),
});

/**
 * A fingerprint of how many samples each node has per past hour. It changes whenever a sample of that past arrives,
 * however late and by whatever clock.
 */
export const sampleFingerprints = defineQuery({
  name: 'sample-fingerprints',
  sql: `
    SELECT
      node,
      groupBitXor(cityHash64(hour, samples)) AS fingerprint
    FROM
    (
      SELECT
        node,
        ts AS hour,
        sum(sample_count) AS samples
      FROM gpu_samples_1h
      WHERE ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        AND ts < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
      GROUP BY
        node,
        ts
    )
    GROUP BY node
    ORDER BY node`,
  params: z.strictObject({ from_ms: instantMs, to_ms: instantMs }),
  row: z.object({ node: column.text, fingerprint: column.bigInteger }),
});

/** Samples per hour of one node: which part of its past a changed fingerprint is about. */
export const sampleCountsOfNode = defineQuery({
  name: 'sample-counts-of-node',
  sql: `
    SELECT
      toUnixTimestamp64Milli(ts) AS hour_ms,
      sum(sample_count) AS samples
    FROM gpu_samples_1h
    WHERE node = {node:String}
      AND ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
      AND ts < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    GROUP BY ts
    ORDER BY ts`,
  params: z.strictObject({ node: z.string(), from_ms: instantMs, to_ms: instantMs }),
  row: z.object({ hour_ms: column.wideInteger, samples: column.bigInteger }),
});
