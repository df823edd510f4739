/** Which of some samples the store does not hold: neither as a row nor as a reject. */
import { z } from 'zod';
import { column } from '../column.js';
import { defineQuery } from '../define-query.js';
import type { MetricsStore } from '../metrics-store.js';

export interface SampleKey {
  readonly gpuUuid: string;
  readonly gpuInstance: string;
  /** Epoch milliseconds. */
  readonly tsMs: number;
}

/** GPUs per query, so that its text stays short. */
const GPUS_PER_QUERY = 300;

const storedSampleTimes = defineQuery({
  name: 'stored-sample-times',
  sql: `
    SELECT gpu_uuid, gpu_instance, groupUniqArray(toUnixTimestamp64Milli(ts)) AS ts_ms
    FROM
    (
      SELECT gpu_uuid, gpu_instance, ts
      FROM gpu_samples
      WHERE ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        AND ts < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        AND gpu_uuid IN {gpu_uuids:Array(String)}
      UNION ALL
      SELECT gpu_uuid, gpu_instance, ts
      FROM ingest_rejects
      WHERE source = 'gpu_samples'
        AND ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
        AND ts < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
        AND gpu_uuid IN {gpu_uuids:Array(String)}
    )
    GROUP BY gpu_uuid, gpu_instance
  `,
  params: z.object({ from_ms: z.int(), to_ms: z.int(), gpu_uuids: z.array(z.string()) }),
  row: z.object({
    gpu_uuid: column.text,
    gpu_instance: column.text,
    ts_ms: z.array(column.wideInteger),
  }),
});

/** The keys that are missing, in the order in which they were given. */
export async function findMissingSamples<K extends SampleKey>(
  store: Pick<MetricsStore, 'query'>,
  keys: readonly K[],
  signal?: AbortSignal,
): Promise<K[]> {
  if (keys.length === 0) return [];
  const times = keys.map(({ tsMs }) => tsMs);
  const range = {
    from_ms: times.reduce((least, ms) => Math.min(least, ms)),
    to_ms: times.reduce((most, ms) => Math.max(most, ms)) + 1,
  };
  const stored = new Map<string, ReadonlySet<number>>();
  for (const gpu_uuids of chunksOfGpus(keys.map(({ gpuUuid }) => gpuUuid))) {
    const rows = await store.query(
      storedSampleTimes,
      { ...range, gpu_uuids },
      signal === undefined ? {} : { signal },
    );
    for (const row of rows) stored.set(`${row.gpu_uuid}|${row.gpu_instance}`, new Set(row.ts_ms));
  }
  return keys.filter(
    ({ gpuUuid, gpuInstance, tsMs }) => stored.get(`${gpuUuid}|${gpuInstance}`)?.has(tsMs) !== true,
  );
}

/** The distinct GPUs, as many at a time as a query may name. */
export function chunksOfGpus(gpuUuids: Iterable<string>): string[][] {
  const distinct = [...new Set(gpuUuids)];
  const chunks: string[][] = [];
  for (let from = 0; from < distinct.length; from += GPUS_PER_QUERY)
    chunks.push(distinct.slice(from, from + GPUS_PER_QUERY));
  return chunks;
}
