import { readdir } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { column } from './column.js';
import { defineQuery, type QueryDefinition } from './define-query.js';
import { startTestStore, type TestStore } from './start-test-store.js';

const DAY_MS = 86_400_000;
const NOON_MS = Date.UTC(2026, 2, 1, 12);

/** What a placeholder may be given, by its type; the first that the schema takes is used. */
const samplesOf: Readonly<Record<string, readonly unknown[]>> = {
  String: ['x'],
  Int64: [NOON_MS],
  UInt32: [60],
  UInt64: [1_000_000n, 1_000_000],
  Float64: [0.5],
  'Array(Int32)': [[0]],
  'Array(UInt64)': [[0n]],
  'Array(String)': [['x']],
};

async function everyQuery(): Promise<QueryDefinition[]> {
  const directory = new URL('queries/', import.meta.url);
  const files = (await readdir(directory)).filter((name) => /\.ts$/.test(name) && !/\.test\.ts$/.test(name));
  const modules = await Promise.all(
    files.map((name) => import(new URL(name, directory).href) as Promise<Record<string, unknown>>),
  );
  return modules.flatMap((module) => Object.values(module)).filter(isQuery);
}

function isQuery(value: unknown): value is QueryDefinition {
  return typeof value === 'object' && value !== null && 'sql' in value && 'bounds' in value;
}

/** Parameters that the query takes: an hour from noon, and one value of its type for everything else. */
function parametersOf({ name, sql, params }: QueryDefinition): object {
  const types = new Map(
    [...sql.matchAll(/\{(\w+):([^}]+)\}/g)].map(([, key, type]) => [key ?? '', type ?? '']),
  );
  const values = [...types].map(([key, type]) => {
    if (/^(to|until)_ms$/.test(key)) return [[key, NOON_MS + 3_600_000]];
    const samples = samplesOf[type];
    if (samples === undefined)
      throw new Error(`Say in samplesOf what ${name} may be given for {${key}:${type}}.`);
    return samples.map((sample) => [key, sample]);
  });
  const [first, second] = [0, 1].map(
    (choice) => Object.fromEntries(values.map((choices) => choices[choice] ?? choices[0] ?? [])) as object,
  );
  return params.safeParse(first).success ? (first ?? {}) : (second ?? {});
}

describe('every named query', async () => {
  const all = await everyQuery();
  let test: TestStore;
  beforeAll(async () => {
    test = await startTestStore();
  });
  afterAll(() => test.stop());

  it('is found', () => {
    expect(all.length).toBeGreaterThanOrEqual(20);
    expect(new Set(all.map((query) => query.name)).size).toBe(all.length);
  });

  it.each(all.map((query) => [query.name, query] as const))(
    '%s has a limit of time, of rows and of memory, and runs within them',
    async (_name, query) => {
      const { maxExecutionS, maxRowsToRead, maxMemoryBytes, range } = query.bounds;
      for (const limit of [maxExecutionS, maxRowsToRead, maxMemoryBytes]) expect(limit).toBeGreaterThan(0);
      const parameters = parametersOf(query);
      expect(range !== undefined).toBe('to_ms' in parameters || 'until_ms' in parameters);
      await expect(test.store.query(query, parameters)).resolves.toBeInstanceOf(Array);
    },
  );

  it.each(
    all.filter((query) => query.bounds.range !== undefined).map((query) => [query.name, query] as const),
  )('%s refuses a range that is too long for its table', async (name, query) => {
    const { to = '', maxMs = 0 } = query.bounds.range ?? {};
    const tooLong = { ...parametersOf(query), [to]: NOON_MS + maxMs + 1 };
    await expect(test.store.query(query, tooLong)).rejects.toMatchObject({
      code: 'input.invalid',
      message: expect.stringContaining(`${name} may be asked for ${maxMs / DAY_MS}d at most`) as string,
    });
  });

  const settingsInForce = defineQuery({
    name: 'settings-in-force',
    sql: `
      SELECT name, value FROM system.settings
      WHERE name IN ('max_execution_time', 'max_rows_to_read', 'max_memory_usage', 'readonly') ORDER BY name`,
    params: z.object({}),
    row: z.object({ name: column.text, value: column.text }),
    bounds: { maxExecutionS: 7, maxRowsToRead: 1_000, maxMemoryBytes: 50_000_000 },
  });

  it('is run by the server under its bounds', async () => {
    const rows = await test.store.query(settingsInForce, {});
    expect(rows.map((row) => [row.name, row.value])).toEqual([
      ['max_execution_time', '7'],
      ['max_memory_usage', '50000000'],
      ['max_rows_to_read', '1000'],
      ['readonly', '2'],
    ]);
  });

  it.each([
    ['reads more rows', { maxRowsToRead: 1_000 }, 'SELECT sum(number) AS n FROM numbers(1000000)'],
    [
      'takes longer',
      { maxExecutionS: 1 },
      'SELECT sum(sleepEachRow(0.1)) AS n FROM numbers(30) SETTINGS max_block_size = 1',
    ],
    [
      'takes more memory',
      { maxMemoryBytes: 10_000_000 },
      'SELECT length(groupArray(number)) AS n FROM numbers(10000000)',
    ],
  ])('is stopped when it %s than it may', async (_what, bounds, sql) => {
    const query = defineQuery({
      name: 'costly',
      sql,
      params: z.object({}),
      row: z.object({ n: column.float }),
      bounds,
    });
    await expect(test.store.query(query, {})).rejects.toMatchObject({
      retriable: expect.any(Boolean) as boolean,
    });
  });

  it('may not write', async () => {
    const query = defineQuery({
      name: 'writes',
      sql: 'INSERT INTO gpu_events (node) SELECT 1',
      params: z.object({}),
      row: z.object({}),
    });
    await expect(test.store.query(query, {})).rejects.toMatchObject({ code: 'dependency.refused' });
  });
});
