/** Which GPU is at which place, as telemetry saw it last: for schedulers that only number the GPUs of a node. */
import type { Clock } from '@poolmeter/domain';
import { column, defineQuery, type MetricsStore } from '@poolmeter/metrics-store';
import { z } from 'zod';

/** A node that is off for longer than this may come back with other boards. */
const REMEMBERED_MS = 30 * 86_400_000;

const gpuPlacesQuery = defineQuery({
  name: 'autoscaler-gpu-places',
  sql: `
    SELECT
      node,
      gpu_index,
      argMax(l.gpu_uuid, l.ts) AS gpu_uuid
    FROM gpu_latest AS l FINAL
    WHERE l.pool = {pool:String}
      AND l.ts >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
    GROUP BY node, gpu_index
    ORDER BY node, gpu_index`,
  params: z.object({ pool: z.string(), since_ms: z.number().int() }),
  row: z.object({ node: column.text, gpu_index: z.coerce.number(), gpu_uuid: column.text }),
});

/** `node/index` → UUID, read anew at each look: boards are exchanged. Rejects when ClickHouse does not answer. */
export function gpuUuidsByPlace(
  { metrics, clock }: { metrics: Pick<MetricsStore, 'query'>; clock: Clock },
  pool: string,
): () => Promise<ReadonlyMap<string, string>> {
  return async () => {
    const rows = await metrics.query(gpuPlacesQuery, { pool, since_ms: clock.now() - REMEMBERED_MS });
    return new Map(rows.map((row) => [`${row.node}/${row.gpu_index}`, row.gpu_uuid]));
  };
}
