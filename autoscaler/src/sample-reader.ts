/** What telemetry says about each GPU of a pool: when it was last seen, and how busy it was. */
import { column, defineQuery, type MetricsStore } from '@poolmeter/metrics-store';
import { z } from 'zod';

export interface GpuActivity {
  readonly gpuUuid: string;
  readonly latestMs: number;
  /** The highest utilisation in the window, 0 to 1; null when the exporter reports none. */
  readonly busiestRatio: number | null;
}

export type SampleReader = (
  pool: string,
  window: { sinceMs: number; untilMs: number },
) => Promise<GpuActivity[]>;

/** MIG instances report engine activity, not utilisation; either one above the limit is work. */
export const poolActivityQuery = defineQuery({
  name: 'autoscaler-pool-activity',
  sql: `
    SELECT
      gpu_uuid,
      max(ts) AS latest,
      max(if(
        isNull(gpu_util_ratio) AND isNull(graphics_engine_active_ratio),
        NULL,
        greatest(ifNull(toFloat64(gpu_util_ratio), 0), ifNull(toFloat64(graphics_engine_active_ratio), 0))
      )) AS busiest_ratio
    FROM gpu_samples
    WHERE pool = {pool:String}
      AND ts >= fromUnixTimestamp64Milli({since_ms:Int64})
      AND ts <= fromUnixTimestamp64Milli({until_ms:Int64})
    GROUP BY gpu_uuid
    ORDER BY gpu_uuid`,
  params: z.object({ pool: z.string(), since_ms: z.number().int(), until_ms: z.number().int() }),
  row: z.object({ gpu_uuid: column.text, latest: column.instant, busiest_ratio: column.float.nullable() }),
});

export function createSampleReader(metrics: Pick<MetricsStore, 'query'>): SampleReader {
  return async (pool, { sinceMs, untilMs }) => {
    const rows = await metrics.query(poolActivityQuery, { pool, since_ms: sinceMs, until_ms: untilMs });
    return rows.map((row) => ({
      gpuUuid: row.gpu_uuid,
      latestMs: row.latest,
      busiestRatio: row.busiest_ratio === null ? null : Math.round(row.busiest_ratio * 1e6) / 1e6,
    }));
  };
}
