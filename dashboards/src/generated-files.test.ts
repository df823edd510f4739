import { readFile, mkdtemp, rm, writeFile, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { drawnPanels, lintDashboard, units, type Board } from 'grafana-dashboard-builder';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { buildDashboards, checkDashboards, writeDashboards } from './build-dashboards.js';
import { loadBoards } from './load-boards.js';

const folder = fileURLToPath(new URL('..', import.meta.url));

/** What Grafana and the console need of a board, read from the file rather than from the builder's types. */
const dataSource = z.object({
  type: z.literal('grafana-clickhouse-datasource'),
  uid: z.literal('${datasource}'),
});
const target = z
  .object({
    refId: z.string().regex(/^[A-Z]$/),
    datasource: dataSource,
    editorType: z.literal('sql'),
    pluginVersion: z.string().regex(/^4\.\d+\.\d+$/),
    queryType: z.enum(['timeseries', 'table']),
    format: z.union([z.literal(0), z.literal(1)]),
    rawSql: z.string().min(20),
  })
  .refine(({ queryType, format }) => (queryType === 'timeseries') === (format === 0));
const gridPos = z.strictObject({
  x: z.int().min(0).max(23),
  y: z.int().min(0),
  w: z.int().min(1).max(24),
  h: z.int().min(1),
});
const panel = z.object({
  id: z.int().positive(),
  type: z.enum(['timeseries', 'stat', 'table', 'bargauge', 'state-timeline']),
  title: z.string().min(1),
  description: z.string().min(1),
  datasource: dataSource,
  gridPos,
  targets: z.array(target).min(1),
  fieldConfig: z.object({
    defaults: z.object({ unit: z.enum(units).optional() }),
    overrides: z.array(z.object({})),
  }),
});
const rowPanel = z.object({
  id: z.int().positive(),
  type: z.literal('row'),
  title: z.string().min(1),
  gridPos,
  panels: z.array(panel),
});
const boardFile = z.object({
  uid: z.string().regex(/^[a-z0-9-]{1,40}$/),
  title: z.string().min(1),
  schemaVersion: z.union([z.literal(41), z.literal(42)]),
  tags: z.array(z.string()).min(1),
  time: z.object({ from: z.string().regex(/^now-\d+[hd]$/), to: z.literal('now') }),
  templating: z.object({
    list: z
      .array(
        z.object({
          name: z.string(),
          type: z.enum(['datasource', 'query']),
          current: z.object({ value: z.union([z.string(), z.array(z.string())]) }),
        }),
      )
      .refine((list) => list[0]?.name === 'datasource'),
  }),
  annotations: z.object({ list: z.array(z.object({ name: z.string(), target: target })) }),
  panels: z.array(z.union([panel, rowPanel])).min(4),
});

describe('the generated files', () => {
  it('are those that the sources give; run `poolmeter dashboards build` otherwise', async () => {
    expect(await checkDashboards(folder)).toEqual([]);
  });

  it.each(buildDashboards().filter(({ path }) => path.endsWith('.json')))(
    '$path has the form of a dashboard',
    async ({ path }) => {
      boardFile.parse(JSON.parse(await readFile(join(folder, path), 'utf8')));
    },
  );

  it('names the data source by the uid that the boards start with', async () => {
    const file = parse(
      await readFile(join(folder, 'provisioning/datasources/poolmeter.yaml'), 'utf8'),
    ) as unknown;
    expect(file).toMatchObject({
      datasources: [
        {
          uid: 'poolmeter-ch',
          type: 'grafana-clickhouse-datasource',
          jsonData: {
            username: 'grafana_reader',
            defaultDatabase: 'poolmeter',
            protocol: '$POOLMETER_CLICKHOUSE_PROTOCOL',
          },
        },
      ],
    });
    for (const board of loadBoards()) expect(board.templating.list[0]?.current.value).toBe('poolmeter-ch');
  });
});

function sqlOf(board: Board): string {
  const targets = [
    ...drawnPanels(board).flatMap((drawn) => drawn.targets),
    ...board.annotations.list.flatMap((entry) => entry.target ?? []),
  ];
  const variables = board.templating.list.flatMap((entry) =>
    entry.type === 'query' ? entry.query.rawSql : [],
  );
  return [...targets.map(({ rawSql }) => rawSql), ...variables].join('\n');
}

describe('the boards', () => {
  it.each(loadBoards().map((board) => ({ title: board.title, board })))(
    '$title passes the lint',
    ({ board }) => {
      expect(lintDashboard(board)).toEqual([]);
    },
  );

  it('have their own addresses and titles', () => {
    const boards = loadBoards();
    expect(new Set(boards.map(({ uid }) => uid)).size).toBe(boards.length);
    expect(boards.map(({ title }) => title)).toEqual(['Fleet', 'GPU', 'Faults', 'Billing', 'Autoscaler']);
  });

  it('read every replaced table with FINAL', () => {
    const replaced =
      /\b(?:FROM|JOIN) (gpu_latest|gpu_events|leases|incidents|billable_intervals|scaling_decisions)\b(\s+FINAL\b)?/g;
    const reads = loadBoards().flatMap((board) => [...sqlOf(board).matchAll(replaced)]);
    expect(reads.length).toBeGreaterThan(40);
    expect(reads.filter(([, , final]) => final === undefined).map(([text]) => text)).toEqual([]);
  });

  it('never compute an amount of money from samples', () => {
    for (const board of loadBoards()) {
      for (const { title, targets } of drawnPanels(board)) {
        const sql = targets.map(({ rawSql }) => rawSql).join('\n');
        expect(/\b(amount|unit_price)\b/.test(sql) && /\bgpu_samples/.test(sql), title).toBe(false);
      }
    }
  });
});

describe('checking a folder', () => {
  it('names what is missing, changed and left over', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'poolmeter-dashboards-'));
    try {
      await writeDashboards(directory);
      expect(await checkDashboards(directory)).toEqual([]);
      await unlink(join(directory, 'generated/gpu.json'));
      await writeFile(join(directory, 'generated/fleet.json'), '{\n}\n');
      await writeFile(join(directory, 'generated/old.json'), '{}');
      expect(await checkDashboards(directory)).toEqual([
        { file: 'generated/fleet.json', reason: 'differs in line 2' },
        { file: 'generated/gpu.json', reason: 'is missing' },
        { file: 'generated/old.json', reason: 'belongs to no board' },
      ]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
