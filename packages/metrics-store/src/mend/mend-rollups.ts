/**
 * Makes the rollups of some hours of some GPUs again from the raw table. ClickHouse writes the raw table and each
 * rollup one after the other, and without replication a table's token log a moment before the rows: a server that dies
 * in between leaves a rollup short, whatever is sent again. The raw table has every row, so the rollup can be redone.
 */
import type { Clock } from '@poolmeter/domain';
import { sampleColumnsV1 } from '@poolmeter/telemetry-schema';
import { z } from 'zod';
import { column } from '../column.js';
import { defineQuery } from '../define-query.js';
import type { MetricsStore, RequestOptions } from '../metrics-store.js';
import { tables } from '../tables.js';
import { chunksOfGpus } from './missing-samples.js';
import { rollupDifferences, type RollupDifference } from './rollup-differences.js';

export interface MendOptions {
  readonly clock: Clock;
  readonly signal?: AbortSignal;
  /** Asked before anything is deleted; throws when somebody else writes these GPUs now. */
  confirm?(): Promise<void>;
}

export interface MendScope {
  readonly fromMs: number;
  readonly toMs: number;
  /** All GPUs when absent. */
  readonly gpuUuids?: Iterable<string>;
}

export interface MendReport {
  /** Hours of single GPUs whose rollups were made again. */
  readonly mended: readonly RollupDifference[];
  /** Hours that still differ, or that cannot be mended here. */
  readonly left: readonly RollupDifference[];
}

type Store = Pick<MetricsStore, 'query' | 'command'>;

const HOUR_MS = 3_600_000;
/** Rollups follow their table within this time; a difference that outlives it unchanged is real. */
const SETTLE_MS = 1_000;
const ATTEMPTS = 3;
const DIFFERENCES_MAX = 10_000;

/** Looks twice before it mends: rows that are just arriving look like a difference for a moment. */
export async function mendRollups(store: Store, scope: MendScope, options: MendOptions): Promise<MendReport> {
  const mended: RollupDifference[] = [];
  let left = await lastingDifferences(store, scope, options);
  if (left.length > 0 && (await isClustered(store, options))) return { mended, left };
  for (let attempt = 1; left.length > 0 && attempt <= ATTEMPTS; attempt += 1) {
    await options.confirm?.();
    for (const part of chunksOfHours(left)) await rebuild(store, part, options);
    mended.push(...left);
    left = await lastingDifferences(store, scope, options);
  }
  return { mended, left };
}

async function lastingDifferences(store: Store, scope: MendScope, options: MendOptions) {
  const first = await differencesIn(store, scope, options);
  if (first.length === 0) return [];
  await options.clock.sleep(SETTLE_MS, options.signal);
  const known = new Set(first.map((one) => JSON.stringify(one)));
  const second = await differencesIn(store, scope, options);
  return second.filter((one) => known.has(JSON.stringify(one)));
}

async function differencesIn(
  store: Store,
  scope: MendScope,
  options: MendOptions,
): Promise<RollupDifference[]> {
  const found: RollupDifference[] = [];
  const range = {
    from_ms: Math.floor(scope.fromMs / HOUR_MS) * HOUR_MS,
    to_ms: Math.ceil(scope.toMs / HOUR_MS) * HOUR_MS,
  };
  const chunks = scope.gpuUuids === undefined ? [[]] : chunksOfGpus(scope.gpuUuids);
  for (const gpu_uuids of chunks) {
    const params = { ...range, gpu_uuids, limit: DIFFERENCES_MAX };
    found.push(...(await store.query(rollupDifferences, params, requestOf(options))));
  }
  return found;
}

const HOURS_PER_REBUILD = 300;

/** Differences of one hour, as many as one statement may name. */
function chunksOfHours(differences: readonly RollupDifference[]): RollupDifference[][] {
  const chunks: RollupDifference[][] = [];
  for (const difference of [...differences].sort((a, b) => a.hour_ms - b.hour_ms)) {
    const last = chunks.at(-1);
    const fits =
      last !== undefined && last.length < HOURS_PER_REBUILD && last[0]?.hour_ms === difference.hour_ms;
    if (fits) last.push(difference);
    else chunks.push([difference]);
  }
  return chunks;
}

/** What the door to the rollups takes: the columns of the wire, and when the store got the row. */
const COLUMNS = [...sampleColumnsV1.map(({ storedColumn }) => storedColumn), 'stored_at'].join(', ');

const OF_SCOPE = `
    ts >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
    AND ts < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
    AND gpu_uuid IN {gpu_uuids:Array(String)}`;

/** All instances of the GPUs, so that the statements stay short; redoing one that was right changes nothing. */
async function rebuild(
  store: Store,
  ofHour: readonly RollupDifference[],
  options: MendOptions,
): Promise<void> {
  const fromMs = ofHour[0]?.hour_ms ?? 0;
  const params = {
    from_ms: fromMs,
    to_ms: fromMs + HOUR_MS,
    gpu_uuids: [...new Set(ofHour.map(({ gpu_uuid }) => gpu_uuid))],
  };
  const settings = { lightweight_deletes_sync: 2, insert_deduplicate: 0 };
  const request = { ...requestOf(options), params, settings };
  for (const table of [tables.gpuSamplesByHour, tables.gpuSamplesByMinute])
    await store.command(`DELETE FROM ${table} WHERE ${OF_SCOPE}`, request);
  await store.command(
    `INSERT INTO ${tables.gpuRollupsIn} (${COLUMNS}) SELECT ${COLUMNS} FROM ${tables.gpuSamples} WHERE ${OF_SCOPE}`,
    request,
  );
}

const engineOfTable = defineQuery({
  name: 'engine-of-table',
  sql: `SELECT engine FROM system.tables WHERE database = currentDatabase() AND name = {table:String}`,
  params: z.object({ table: z.string() }),
  row: z.object({ engine: column.text }),
});

/** Replicated tables log a token together with its rows, and rows of a Distributed one are not deleted through it. */
async function isClustered(store: Store, options: MendOptions): Promise<boolean> {
  const [row] = await store.query(engineOfTable, { table: tables.gpuSamplesByMinute }, requestOf(options));
  return row?.engine === 'Distributed';
}

function requestOf({ signal }: MendOptions): RequestOptions {
  return signal === undefined ? {} : { signal };
}
