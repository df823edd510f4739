/** Hours of GPUs whose rollups do not hold as many samples as the raw table. */
import { z } from 'zod';
import { column } from '../column.js';
import { defineQuery, type QueryRow } from '../define-query.js';

/** Counts by GPU, instance and hour; only where the three tables differ. */
export const rollupDifferences = defineQuery({
  name: 'rollup-differences',
  sql: `
    SELECT
      gpu_uuid,
      gpu_instance,
      toUnixTimestamp(hour) * 1000 AS hour_ms,
      sum(raw) AS raw_rows,
      sum(minutes) AS minute_rows,
      sum(hours) AS hour_rows
    FROM
    (
      SELECT gpu_uuid, gpu_instance, toStartOfHour(ts) AS hour, count() AS raw, 0 AS minutes, 0 AS hours
      FROM gpu_samples
      WHERE ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        AND ts < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        AND (empty({gpu_uuids:Array(String)}) OR gpu_uuid IN {gpu_uuids:Array(String)})
      GROUP BY gpu_uuid, gpu_instance, hour
      UNION ALL
      SELECT gpu_uuid, gpu_instance, toStartOfHour(ts) AS hour, 0 AS raw, sum(sample_count) AS minutes, 0 AS hours
      FROM gpu_samples_1m
      WHERE ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        AND ts < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        AND (empty({gpu_uuids:Array(String)}) OR gpu_uuid IN {gpu_uuids:Array(String)})
      GROUP BY gpu_uuid, gpu_instance, hour
      UNION ALL
      SELECT gpu_uuid, gpu_instance, toStartOfHour(ts) AS hour, 0 AS raw, 0 AS minutes, sum(sample_count) AS hours
      FROM gpu_samples_1h
      WHERE ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        AND ts < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        AND (empty({gpu_uuids:Array(String)}) OR gpu_uuid IN {gpu_uuids:Array(String)})
      GROUP BY gpu_uuid, gpu_instance, hour
    )
    GROUP BY gpu_uuid, gpu_instance, hour
    HAVING raw_rows != minute_rows OR raw_rows != hour_rows
    ORDER BY hour, gpu_uuid, gpu_instance
    LIMIT {limit:UInt32}
  `,
  params: z.object({
    from_ms: z.int(),
    to_ms: z.int(),
    gpu_uuids: z.array(z.string()),
    limit: z.int().positive().max(100_000),
  }),
  row: z.object({
    gpu_uuid: column.text,
    gpu_instance: column.text,
    hour_ms: column.wideInteger,
    raw_rows: column.wideInteger,
    minute_rows: column.wideInteger,
    hour_rows: column.wideInteger,
  }),
});

export type RollupDifference = QueryRow<typeof rollupDifferences>;
