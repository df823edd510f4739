import { z } from 'zod';
import { column } from '../column.js';
import { defineQuery } from '../define-query.js';

/** When each node was heard of last, by its own clock and by the store's, and how many GPUs it has had. */
export const nodeLastSeen = defineQuery({
  name: 'node-last-seen',
  sql: `
    SELECT
      node,
      argMax(l.pool, l.ts) AS pool,
      argMax(l.provider_id, l.ts) AS provider_id,
      max(l.ts) AS last_ts,
      max(l.stored_at) AS last_stored_at,
      uniqExact(l.gpu_uuid) AS gpu_count
    FROM gpu_latest AS l FINAL
    WHERE l.ts >= fromUnixTimestamp64Milli({seen_after_ms:Int64}, 'UTC')
    GROUP BY node
    ORDER BY node
  `,
  params: z.object({ seen_after_ms: z.int().default(0) }),
  row: z.object({
    node: column.text,
    pool: column.text,
    provider_id: column.text,
    last_ts: column.instant,
    last_stored_at: column.instant,
    gpu_count: column.wideInteger,
  }),
});
