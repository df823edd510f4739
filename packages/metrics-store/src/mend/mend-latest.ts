/** Gives gpu_latest the newest row that the raw table has for some GPUs. Doing it again changes nothing. */
import { sampleColumnsV1 } from '@poolmeter/telemetry-schema';
import type { MetricsStore } from '../metrics-store.js';
import { tables } from '../tables.js';
import { chunksOfGpus } from './missing-samples.js';

export interface LatestScope {
  readonly gpuUuids: Iterable<string>;
  /** Rows before it are not looked at. */
  readonly fromMs: number;
  readonly signal?: AbortSignal;
}

export async function mendLatest(
  store: Pick<MetricsStore, 'command'>,
  { gpuUuids, fromMs, signal }: LatestScope,
): Promise<void> {
  const columns = [...sampleColumnsV1.map(({ storedColumn }) => storedColumn), 'stored_at'].join(', ');
  for (const gpu_uuids of chunksOfGpus(gpuUuids)) {
    await store.command(
      `INSERT INTO ${tables.gpuLatest} (${columns})
       SELECT ${columns} FROM ${tables.gpuSamples}
       WHERE ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') AND gpu_uuid IN {gpu_uuids:Array(String)}
       ORDER BY ts DESC
       LIMIT 1 BY gpu_uuid, gpu_instance`,
      {
        params: { from_ms: fromMs, gpu_uuids },
        settings: { insert_deduplicate: 0 },
        ...(signal === undefined ? {} : { signal }),
      },
    );
  }
}
