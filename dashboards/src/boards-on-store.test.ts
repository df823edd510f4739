/** Every statement of every board, run on an embedded ClickHouse: empty, and with a pool that is known to the digit. */
import { createLogger } from '@poolmeter/service';
import {
  gpuSamplesInsert,
  migrateMetricsStore,
  openMetricsStore,
  startEmbeddedClickHouse,
  tables,
  type EmbeddedClickHouse,
  type MetricsStore,
  type SelectedRows,
  type TableName,
} from '@poolmeter/metrics-store';
import { encodeSampleRows } from '@poolmeter/telemetry-schema';
import { drawnPanels, expandMacros, type VariableValues } from 'grafana-dashboard-builder';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadBoards } from './load-boards.js';
import { knownPool, type KnownPool } from './known-pool.js';

const HOUR_MS = 3_600_000;
const ranges = [
  { name: '1 h', lengthMs: HOUR_MS, intervalMs: 10_000, samples: 'gpu_samples' },
  { name: '24 h', lengthMs: 24 * HOUR_MS, intervalMs: 120_000, samples: 'gpu_samples_1m' },
  { name: '30 d', lengthMs: 720 * HOUR_MS, intervalMs: 2_700_000, samples: 'gpu_samples_1h' },
] as const;
type Range = (typeof ranges)[number];

const boards = loadBoards();
const everything: VariableValues = { pool: '$__all', node: 'gpu-01', gpu: '$__all', customer: '$__all' };

let dataDir: string;
let server: EmbeddedClickHouse;
let store: MetricsStore;
let pool: KnownPool;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'poolmeter-boards-'));
  server = await startEmbeddedClickHouse({
    dataDir,
    logger: createLogger({ service: 'test', level: 'silent' }),
  });
  store = openMetricsStore({ ...server, applicationName: 'test' });
  await migrateMetricsStore(store);
}, 60_000);

afterAll(async () => {
  await store.close();
  await server.stop();
  await rm(dataDir, { recursive: true });
});

function run(sql: string, range: Range, chosen: VariableValues = {}): Promise<SelectedRows> {
  const to = Date.now();
  const variables = { ...everything, samples: range.samples, ...chosen };
  const expanded = expandMacros(sql, {
    from: to - range.lengthMs,
    to,
    intervalMs: range.intervalMs,
    variables,
  });
  return store.select(expanded, { name: 'board test', maxRows: 20_000 });
}

interface Statement {
  readonly board: string;
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly sql: string;
}

const statements: readonly Statement[] = boards.flatMap((board) =>
  drawnPanels(board).flatMap(({ id, type, title, targets }) =>
    targets.map(({ rawSql }) => ({ board: board.uid, id, type, title, sql: rawSql })),
  ),
);
const annotations = boards.flatMap((board) =>
  board.annotations.list.flatMap(({ target }) => target?.rawSql ?? []),
);
const variableStatements = boards.flatMap((board) =>
  board.templating.list.flatMap((variable) =>
    variable.type === 'query' ? [{ board: board.uid, name: variable.name, sql: variable.query.rawSql }] : [],
  ),
);

/** Fails with the name of the panel, so that a wrong statement can be found among a hundred. */
async function runNamed(statement: Statement, range: Range): Promise<SelectedRows> {
  try {
    return await run(statement.sql, range);
  } catch (error) {
    throw new Error(`${statement.board} ${statement.id} "${statement.title}", ${range.name}`, {
      cause: error,
    });
  }
}

const isNumber = (type: string) => /^(Nullable\()?(U?Int|Float|Decimal)/.test(type);
const isText = (type: string) => /^(LowCardinality\()?(Nullable\()?(String|Enum)/.test(type);

function expectShape({ type, title }: Statement, { columns }: SelectedRows): void {
  const [first, ...others] = columns;
  const numbers = columns.filter((column) => isNumber(column.type));
  if (type === 'timeseries' || type === 'state-timeline') {
    expect(first, title).toMatchObject({ name: 'time', type: expect.stringMatching(/^DateTime/) as unknown });
    expect(numbers.length, title).toBeGreaterThan(0);
    expect(
      others.filter((c) => !isNumber(c.type) && !isText(c.type)),
      title,
    ).toEqual([]);
  }
  if (type === 'stat')
    expect(
      columns.map((c) => isNumber(c.type)),
      title,
    ).toEqual([true]);
  if (type === 'bargauge')
    expect(
      columns.map((c) => [isText(c.type), isNumber(c.type)]),
      title,
    ).toEqual([
      [true, false],
      [false, true],
    ]);
  expect(columns.length, title).toBeGreaterThan(0);
}

/** Charts and figures need a number that is not NULL, a table needs a row. */
function hasContent({ type }: Statement, { columns, rows }: SelectedRows): boolean {
  if (type === 'table') return rows.length > 0;
  return columns.some((column, index) => isNumber(column.type) && rows.some((row) => row[index] !== null));
}

describe('on empty tables', () => {
  it('every statement answers', async () => {
    const range = ranges[1];
    for (const statement of statements) expectShape(statement, await runNamed(statement, range));
    for (const sql of annotations) expect((await run(sql, range)).rows).toEqual([]);
  });

  it('shows no data, not zero, where nothing was measured', async () => {
    for (const id of [102, 103, 104, 105, 106])
      expect(await values('poolmeter-fleet', id, ranges[0])).toEqual([]);
  });
});

/** The rows of a panel without those that hold nothing but NULL. */
async function rowsOf(uid: string, id: number, range: Range, target = 0): Promise<Record<string, unknown>[]> {
  const found = statements.filter((statement) => statement.board === uid && statement.id === id)[target]!;
  const { columns, rows } = await runNamed(found, range);
  return rows
    .filter((row) => row.some((value) => value !== null))
    .map((row) => Object.fromEntries(columns.map(({ name }, index) => [name, row[index]])));
}

async function values(uid: string, id: number, range: Range): Promise<unknown[]> {
  return (await rowsOf(uid, id, range)).flatMap((row) => Object.values(row));
}

describe('with a known pool', () => {
  beforeAll(async () => {
    pool = knownPool(Date.now());
    await store.insert({ ...gpuSamplesInsert, values: encodeSampleRows(pool.samples), token: 'samples' });
    for (const [table, rows] of Object.entries(pool.copies) as [TableName, object[]][]) {
      for (const [index, row] of rows.entries()) {
        await store.insert({ table, format: 'JSONEachRow', values: [row], token: `${table}-${index}` });
      }
    }
  });

  it.each(ranges)(
    'every panel has something to show, in the shape of its kind, over $name',
    async (range) => {
      const empty: string[] = [];
      for (const statement of statements) {
        const answer = await runNamed(statement, range);
        expectShape(statement, answer);
        if (!hasContent(statement, answer)) empty.push(statement.title);
      }
      expect(empty).toEqual([]);
      for (const sql of annotations) expect((await run(sql, range)).columns[0]?.name).toBe('time');
    },
  );

  it.each(ranges)('offers choices and reads the table that suits $name', async (range) => {
    const options = new Map<string, unknown[]>();
    for (const { name, sql } of variableStatements)
      options.set(
        name,
        (await run(sql, range)).rows.map((row) => row[0]),
      );
    expect(Object.fromEntries(options)).toEqual({
      pool: ['main'],
      node: ['gpu-01', 'gpu-02'],
      gpu: ['GPU-aaaa', 'GPU-bbbb'],
      samples: [range.samples],
      customer: ['acme', 'beta'],
    });
  });

  it.each(ranges)('draws the utilisation of each GPU as it was, over $name', async (range) => {
    const rows = await rowsOf('poolmeter-gpu', 201, range);
    const of = (gpu: string) =>
      new Set(
        rows
          .filter((row) => String(row.label).endsWith(gpu))
          .map((row) => Number(row.utilisation).toFixed(6)),
      );
    expect(of('GPU-aaaa')).toEqual(new Set(['0.800000']));
    expect(of('GPU-bbbb')).toEqual(new Set(['0.200000']));
  });

  it.each(ranges)(
    'leaves SM activity blank for the GPU whose exporter does not say it, over $name',
    async (range) => {
      const rows = await rowsOf('poolmeter-gpu', 202, range);
      const of = (gpu: string) =>
        new Set(rows.filter((row) => String(row.label).endsWith(gpu)).map((row) => row['SM active']));
      expect(of('GPU-bbbb')).toEqual(new Set([null]));
      expect([...of('GPU-aaaa')].map((value) => Number(value).toFixed(4))).toEqual(['0.8123']);
    },
  );

  it.each(ranges)('draws throttling as a share of the samples, over $name', async (range) => {
    const rows = await rowsOf('poolmeter-gpu', 403, range);
    expect(new Set(rows.map((row) => row['software power cap']))).toEqual(new Set([0.5]));
    expect(new Set(rows.map((row) => row['hardware thermal']))).toEqual(new Set([0]));
  });

  it.each(ranges)('keeps MIG instances apart from their GPU, over $name', async (range) => {
    const rows = await rowsOf('poolmeter-gpu', 701, range);
    expect(new Set(rows.map(({ label }) => label))).toEqual(new Set(['gpu-01 GPU 1 13/0 1g.10gb']));
  });

  it('counts the fleet from known to effective', async () => {
    const everyNode = statements.find(({ board, id }) => board === 'poolmeter-fleet' && id === 101)!;
    const { rows } = await run(everyNode.sql, ranges[0], { node: '$__all' });
    expect(rows.map(([stage, gpus]) => [stage, Number(gpus).toFixed(4)])).toEqual([
      ['known', '3.0000'],
      ['reporting', '2.0000'],
      ['leased', '1.5000'],
      ['active', '2.0000'],
      ['effective', '0.8123'],
    ]);
  });

  it('tells a GPU that stopped reporting from an idle one', async () => {
    const missing = statements.find(({ board, id }) => board === 'poolmeter-fleet' && id === 103)!;
    expect((await run(missing.sql, ranges[0], { node: '$__all' })).rows.map((row) => Number(row[0]))).toEqual(
      [1],
    );
    expect((await run(missing.sql, ranges[0], { node: 'gpu-01' })).rows.map((row) => Number(row[0]))).toEqual(
      [0],
    );
  });

  it('averages and adds over the GPUs that report', async () => {
    expect((await values('poolmeter-fleet', 104, ranges[0])).map(Number)).toEqual([expect.closeTo(0.5, 6)]);
    expect((await values('poolmeter-fleet', 105, ranges[0])).map(Number)).toEqual([1000]);
  });

  it.each(ranges)('adds power per pool from the mean of each GPU, over $name', async (range) => {
    const rows = await rowsOf('poolmeter-fleet', 203, range);
    expect(new Set(rows.map((row) => Number(row.power).toFixed(3)))).toEqual(new Set(['1000.000']));
  });

  it.each(ranges)('counts each Xid line once, over $name', async (range) => {
    const rows = await rowsOf('poolmeter-faults', 203, range);
    expect(rows.map(({ code, events, gpus }) => [code, Number(events), Number(gpus)])).toEqual([
      [79, 2, 1],
      [13, 1, 1],
    ]);
    const charted = (await rowsOf('poolmeter-faults', 201, range)).map(({ label, events }) => [
      label,
      Number(events),
    ]);
    expect(charted.reduce((sum, [, events]) => sum + Number(events), 0)).toBe(3);
  });

  it('reads the newest version of an incident', async () => {
    expect((await values('poolmeter-faults', 101, ranges[0])).map(Number)).toEqual([1]);
    expect((await values('poolmeter-faults', 102, ranges[0])).map(Number)).toEqual([0]);
  });

  it('adds GPU-hours by outcome and shows no amount where a price is missing', async () => {
    for (const [id, hours] of [
      [101, 2.75],
      [102, 0.5],
      [103, 1],
    ] as const) {
      expect((await values('poolmeter-billing', id, ranges[1])).map(Number)).toEqual([hours]);
    }
    const rows = await rowsOf('poolmeter-billing', 201, ranges[1]);
    expect(rows.map(({ customer, billed, amount }) => [customer, Number(billed), amount])).toEqual([
      ['acme', 2.5, '7.5'],
      ['beta', 0.25, null],
    ]);
  });

  it('says how much of the billed time has samples behind it', async () => {
    const rows = await rowsOf('poolmeter-billing', 203, ranges[1]);
    expect(rows.find(({ customer }) => customer === 'beta')).toMatchObject({ covered: 0.5 });
  });

  it('splits leased time into used, idle and not measured', async () => {
    const rows = await rowsOf('poolmeter-billing', 302, ranges[1]);
    const acme = rows.find(({ customer }) => customer === 'acme')!;
    expect(Number(acme['idle share'])).toBeCloseTo(0.2, 6);
    const beta = rows.find(({ customer }) => customer === 'beta')!;
    expect(Number(beta['idle share'])).toBeCloseTo(0.8, 6);
    expect(Number(beta['not measured'])).toBeGreaterThan(0.4);
  });

  it('shows what was decided, on which nodes and why', async () => {
    expect(await rowsOf('poolmeter-autoscaler', 203, ranges[1])).toMatchObject([
      {
        action: 'scale_out',
        nodes: 'gpu-07, 2 x H100',
        why: '12 GPUs wait; 4 are free',
        held_by: 'At most 1 node at once.',
      },
    ]);
    expect(await rowsOf('poolmeter-autoscaler', 202, ranges[1])).toMatchObject([
      { guard: 'step-limit', effect: 'trim' },
    ]);
  });

  it('reads every table that it names', () => {
    const all = statements.map(({ sql }) => sql).join('\n');
    const named = Object.values(tables).filter((table) => new RegExp(`\\b${table}\\b`).test(all));
    expect(named.sort()).toEqual([
      'billable_intervals',
      'gpu_events',
      'gpu_latest',
      'gpu_samples',
      'gpu_samples_1h',
      'gpu_samples_1m',
      'incidents',
      'leases',
      'scaling_decisions',
    ]);
  });

  it('keeps a quote in a chosen value inside its literal', async () => {
    const table = statements.find(({ board, id }) => board === 'poolmeter-fleet' && id === 301)!;
    expect((await run(table.sql, ranges[0], { node: ["' OR 1=1 --", '\\'] })).rows).toEqual([]);
  });
});
