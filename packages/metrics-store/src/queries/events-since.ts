import { z } from 'zod';
import { column } from '../column.js';
import { defineQuery } from '../define-query.js';

/**
 * Events from a bus position on, per partition in the order of the bus. `partitions[i]` is read from `next_offsets[i]`;
 * a partition that is not named is read from its start. A copy of an event that was published twice may come again at
 * its later offset: readers know an event by (node, boot_id, kind, sequence).
 */
export const eventsSince = defineQuery({
  name: 'events-since',
  sql: `
    SELECT
      ts,
      node,
      boot_id,
      kind,
      sequence,
      gpu_uuid,
      gpu_instance,
      pool,
      provider_id,
      code,
      message,
      detail,
      demo,
      bus_partition,
      bus_offset,
      ingested_at
    FROM gpu_events
    WHERE bus_offset >= transform(bus_partition, {partitions:Array(Int32)}, {next_offsets:Array(UInt64)}, toUInt64(0))
    ORDER BY bus_partition, bus_offset
    LIMIT {limit:UInt32}
  `,
  params: z
    .object({
      partitions: z.array(z.int()),
      next_offsets: z.array(z.bigint()),
      limit: z.int().positive().max(100_000),
    })
    .refine((value) => value.partitions.length === value.next_offsets.length, {
      message: 'every partition needs one offset',
    })
    // transform() wants at least one pair; no partition has the number -1.
    .transform((value) => ({
      partitions: [-1, ...value.partitions],
      next_offsets: [0n, ...value.next_offsets],
      limit: value.limit,
    })),
  row: z.object({
    ts: column.instant,
    node: column.text,
    boot_id: column.text,
    kind: column.text,
    sequence: column.bigInteger,
    gpu_uuid: column.text,
    gpu_instance: column.text,
    pool: column.text,
    provider_id: column.text,
    code: column.integer,
    message: column.text,
    detail: column.text,
    demo: column.flag,
    bus_partition: column.integer,
    bus_offset: column.bigInteger,
    ingested_at: column.instant,
  }),
});
