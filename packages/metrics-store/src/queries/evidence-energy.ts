import { z } from 'zod';
import { column } from '../column.js';
import { defineQuery } from '../define-query.js';
import { evidenceParams } from './evidence-quality.js';

/**
 * Energy of one GPU over an interval, one row per epoch of its counter: within an epoch the counter only grows, across a
 * reset nothing is known. Devices alone have the counter, not MIG instances.
 */
export const evidenceEnergy = defineQuery({
  name: 'evidence-energy',
  sql: `
    SELECT
      s.energy_epoch AS energy_epoch,
      min(s.ts) AS ts_first,
      max(s.ts) AS ts_last,
      max(s.energy_joules) - min(s.energy_joules) AS energy_joules
    FROM gpu_samples AS s
    WHERE s.gpu_uuid = {gpu_uuid:String}
      AND s.gpu_instance = ''
      AND s.ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
      AND s.ts < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
      AND s.energy_joules IS NOT NULL
    GROUP BY energy_epoch
    ORDER BY energy_epoch
  `,
  params: evidenceParams.omit({ gpu_instance: true }),
  row: z.object({
    energy_epoch: column.integer,
    ts_first: column.instant,
    ts_last: column.instant,
    energy_joules: column.wideInteger.nullable(),
  }),
});
