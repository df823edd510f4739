/**
 * After an insert that was sent more than once: makes sure that every table has its rows, and each once. The token
 * alone is not enough on a server without replication: it logs the token of a part a moment before the part itself, so
 * that one that is killed in between takes the repeat for stored.
 */
import { PoolmeterError, type Clock } from '@poolmeter/domain';
import {
  column,
  defineQuery,
  findMissingSamples,
  mendLatest,
  mendRollups,
  tables,
  type MetricsStore,
  type SampleKey,
} from '@poolmeter/metrics-store';
import type { Logger } from '@poolmeter/service';
import {
  checkSampleRows,
  readSampleBatchHeader,
  storedRowAt,
  type SampleSchema,
} from '@poolmeter/telemetry-schema';
import { z } from 'zod';
import type { InsertPart, RowInsert } from './plan-inserts.js';

export interface SettleRequest {
  readonly signal: AbortSignal;
  /** Asked before anything is deleted: throws when the partition is somebody else's by now. */
  readonly confirm: () => Promise<void>;
}

/** May be repeated until it succeeds. */
export type SettleInsert = (insert: RowInsert, request: SettleRequest) => Promise<void>;

export interface SettleInsertOptions {
  readonly store: Pick<MetricsStore, 'query' | 'command'>;
  readonly insert: (insert: RowInsert, signal: AbortSignal) => Promise<void>;
  /** Versions of sample rows that are understood. */
  readonly schemas: readonly SampleSchema[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Rows that a token had kept out, or hours of GPUs whose rollups were made again. */
  readonly onMended: (what: 'rows' | 'rollups', count: number) => void;
}

/** What an attempt that was cut off may still need to become visible. */
const SETTLE_MS = 1_000;
/** Each goes under a token of its own, so that one is enough unless the server is killed again and again. */
const AGAIN_MOST = 5;

export function createInsertSettler(options: SettleInsertOptions): SettleInsert {
  return (insert, request) => {
    if (insert.table === tables.gpuSamplesIn) return settleSamples(options, insert, request);
    if (insert.table === tables.ingestRejects) return settleRejects(options, insert, request);
    // The other tables replace rows of one key by each other: once more is no more than once.
    return options.insert({ ...insert, token: `${insert.token}:again` }, request.signal);
  };
}

interface SampleRow extends SampleKey {
  readonly part: InsertPart;
  readonly bytes: Buffer;
}

async function settleSamples(
  options: SettleInsertOptions,
  insert: RowInsert,
  request: SettleRequest,
): Promise<void> {
  const { store, clock, logger, onMended } = options;
  const rows = insert.parts.flatMap((part) => sampleRowsOf(part, options.schemas));
  await insertMissing(options, insert, rows, request);
  const times = rows.map(({ tsMs }) => tsMs);
  const scope = {
    fromMs: times.reduce((least, ms) => Math.min(least, ms), Infinity),
    toMs: times.reduce((most, ms) => Math.max(most, ms), -Infinity) + 1,
    gpuUuids: new Set(rows.map(({ gpuUuid }) => gpuUuid)),
  };
  if (rows.length === 0) return;
  const { mended, left } = await mendRollups(store, scope, { clock, ...request });
  if (mended.length > 0) {
    onMended('rollups', mended.length);
    logger.warn(
      { token: insert.token, hours: mended.length },
      'Rollups were short after a crash and made again.',
    );
  }
  if (left.length > 0)
    logger.error(
      { token: insert.token, hours: left.length, first: left[0] },
      'Rollups differ from the raw table.',
    );
  await mendLatest(store, { ...scope, signal: request.signal });
}

async function insertMissing(
  { store, insert: send, clock, logger, onMended }: SettleInsertOptions,
  insert: RowInsert,
  rows: readonly SampleRow[],
  { signal }: SettleRequest,
): Promise<void> {
  const missing = () => findMissingSamples(store, rows, signal);
  for (let again = 1; again <= AGAIN_MOST; again += 1) {
    if ((await missing()).length === 0) return;
    await clock.sleep(SETTLE_MS, signal);
    const still = await missing();
    if (still.length === 0) return;
    await send(insertOfRows(insert, still, `${insert.token}:again-${again}`), signal);
    onMended('rows', still.length);
    logger.warn(
      { token: insert.token, rows: still.length },
      'Rows were missing after a crash and sent again.',
    );
  }
  if ((await missing()).length === 0) return;
  throw new PoolmeterError('storage.corrupt', `Rows of ${insert.token} are acknowledged but not readable.`, {
    retriable: true,
  });
}

function sampleRowsOf(part: InsertPart, schemas: readonly SampleSchema[]): SampleRow[] {
  if (!('bytes' in part.rows)) return [];
  const { bytes, rowCount } = part.rows;
  const { schema } = readSampleBatchHeader(part.message.value, schemas);
  const rows: SampleRow[] = [];
  const onRow = (start: number, end: number) => {
    const stored = storedRowAt(bytes, start, schema);
    rows.push({
      part,
      bytes: bytes.subarray(start, end),
      gpuUuid: String(stored['gpu_uuid']),
      gpuInstance: String(stored['gpu_instance']),
      tsMs: Number(bytes.readBigInt64LE(start)),
    });
  };
  checkSampleRows(bytes, rowCount, { schema, onRow });
  return rows;
}

/** All rows of one insert have the same columns, so those of its first part serve for any of its rows. */
function insertOfRows(insert: RowInsert, rows: readonly SampleRow[], token: string): RowInsert {
  const parts = rows.flatMap(({ part, bytes }) =>
    'bytes' in part.rows ? [{ message: part.message, rows: { ...part.rows, bytes, rowCount: 1 } }] : [],
  );
  return { table: insert.table, parts, rowCount: parts.length, token };
}

const rejectsOfOffsets = defineQuery({
  name: 'rejects-of-offsets',
  sql: `
    SELECT count() AS rows FROM ingest_rejects
    WHERE topic = {topic:String} AND bus_partition = {partition:Int32}
      AND bus_offset IN {offsets:Array(Int64)}
  `,
  params: z.object({ topic: z.string(), partition: z.int(), offsets: z.array(z.string()) }),
  row: z.object({ rows: column.wideInteger }),
});

/** Rejects are stored whole or not at all: they are one part. */
async function settleRejects(
  { store, insert: send, onMended }: SettleInsertOptions,
  insert: RowInsert,
  { signal }: SettleRequest,
): Promise<void> {
  const message = insert.parts[0]?.message;
  if (message === undefined) return;
  const offsets = [...new Set(insert.parts.map((part) => part.message.offset.toString()))];
  const { topic, partition } = message;
  const [stored] = await store.query(rejectsOfOffsets, { topic, partition, offsets }, { signal });
  if (stored?.rows !== 0) return;
  await send({ ...insert, token: `${insert.token}:again` }, signal);
  onMended('rows', insert.rowCount);
}
