/**
 * All tables as they are at one moment: clones in a database of their own, which share the files of the originals. An
 * insert reaches a table and its rollups one after another, so the clones are taken again until none was under way.
 */
import { z } from 'zod';
import { column } from '../column.js';
import { defineQuery } from '../define-query.js';
import { identifier } from '../insert-body.js';
import type { MetricsStore } from '../metrics-store.js';
import { tables } from '../tables.js';
import type { StoredTable } from './table-facts.js';

export interface Snapshot {
  readonly takenAtMs: number;
  /** False when inserts never paused for long enough: a rollup may then be an insert ahead of its table. */
  readonly isSettled: boolean;
}

export interface SnapshotPlace {
  readonly from: MetricsStore;
  /** Of the clones; made and dropped here. */
  readonly into: MetricsStore;
  readonly nowMs: () => number;
  readonly sleep: (ms: number) => Promise<void>;
}

const ATTEMPTS = 40;
const PAUSE_MS = 50;

/** The pipeline's inserts show in both: while they run, and in the number of rows when they have ended. */
const insertsSoFar = defineQuery({
  name: 'backup-inserts-so-far',
  sql: `
    SELECT
      (SELECT count() FROM system.processes WHERE query_kind IN ('Insert', 'AsyncInsertFlush')) AS running,
      (SELECT sum(rows) FROM system.parts WHERE active AND database = currentDatabase() AND table = {table:String}) AS rows`,
  params: z.object({ table: z.string() }),
  row: z.object({ running: column.bigInteger, rows: column.bigInteger }),
});

export async function takeSnapshot(place: SnapshotPlace, stored: readonly StoredTable[]): Promise<Snapshot> {
  for (let attempt = 1; ; attempt += 1) {
    const before = await quiet(place.from);
    await dropDatabase(place.from, place.into.database);
    await place.into.createDatabase();
    const takenAtMs = place.nowMs();
    for (const { name } of stored) await clone(place, name);
    const after = await quiet(place.from);
    const isSettled = before !== undefined && before === after;
    if (isSettled || attempt === ATTEMPTS) {
      // The parts must stay those that are read one after another.
      for (const { name } of stored) await place.into.command(`SYSTEM STOP MERGES ${identifier(name)}`);
      return { takenAtMs, isSettled };
    }
    await place.sleep(PAUSE_MS);
  }
}

export async function dropDatabase(store: MetricsStore, database: string): Promise<void> {
  await store.command(`DROP DATABASE IF EXISTS ${identifier(database)} SYNC`);
}

async function clone({ from, into }: SnapshotPlace, table: string): Promise<void> {
  const name = identifier(table);
  await from.command(
    `CREATE TABLE ${identifier(into.database)}.${name} CLONE AS ${identifier(from.database)}.${name}`,
  );
}

/** The rows stored so far, or undefined while an insert runs. */
async function quiet(store: MetricsStore): Promise<bigint | undefined> {
  const [found] = await store.query(insertsSoFar, { table: tables.gpuSamples });
  return found?.running === 0n ? found.rows : undefined;
}
