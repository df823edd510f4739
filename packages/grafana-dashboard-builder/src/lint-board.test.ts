import { describe, expect, it } from 'vitest';
import { drawnPanels, type Board, type Panel } from './board-json.js';
import { annotation, board, row } from './board.js';
import { lintAlertSql, lintDashboard } from './lint-board.js';
import { statPanel, tablePanel, timeSeriesPanel } from './panel.js';
import { tableTarget, timeSeriesTarget } from './target.js';
import { dataSourceVariable, multiChoice } from './variable.js';

const sql = 'SELECT ts AS time, x FROM t WHERE $__timeFilter(ts) ORDER BY time';

function goodBoard(): Board {
  const text = { description: 'What it shows.' };
  return board({
    uid: 'good',
    title: 'Good',
    description: 'A board without faults.',
    tags: ['test'],
    from: 'now-1h',
    refresh: '1m',
    variables: [
      dataSourceVariable({ name: 'store', uid: 'store' }),
      multiChoice({ name: 'pool', label: 'Pool', sql: 'SELECT 1' }),
    ],
    annotations: [annotation({ name: 'Marks', iconColor: 'red', target: timeSeriesTarget(sql) })],
    rows: [
      row({
        id: 1,
        title: 'Open',
        panels: [
          timeSeriesPanel({ ...text, id: 2, title: 'Line', unit: 'watt', targets: [timeSeriesTarget(sql)] }),
          statPanel({ ...text, id: 3, title: 'Number', unit: 's', targets: [tableTarget(sql)] }),
          tablePanel({ ...text, id: 4, title: 'Table', targets: [tableTarget(sql)] }),
        ],
      }),
      row({
        id: 5,
        title: 'Closed',
        collapsed: true,
        panels: [
          timeSeriesPanel({
            ...text,
            id: 6,
            title: 'Hidden',
            unit: 'short',
            targets: [timeSeriesTarget(sql)],
          }),
        ],
      }),
      row({
        id: 7,
        title: 'Below',
        panels: [
          timeSeriesPanel({ ...text, id: 8, title: 'Last', unit: 'short', targets: [timeSeriesTarget(sql)] }),
        ],
      }),
    ],
  });
}

/** The good board with the panel "Line" changed. */
function withLine(change: (panel: Panel) => Partial<Panel>): Board {
  const good = goodBoard();
  const panels = good.panels.map((panel) =>
    panel.type !== 'row' && panel.title === 'Line' ? { ...panel, ...change(panel) } : panel,
  );
  return { ...good, panels };
}

const fixed = { type: 'grafana-clickhouse-datasource', uid: 'abc123' };

describe('lintDashboard', () => {
  it('finds nothing on a good board', () => {
    expect(lintDashboard(goodBoard())).toEqual([]);
  });

  it.each<[string, Board]>([
    ['template-datasource', { ...goodBoard(), templating: { list: goodBoard().templating.list.slice(1) } }],
    ['panel-datasource', withLine(() => ({ datasource: fixed }))],
    [
      'panel-datasource',
      withLine(({ targets }) => ({ targets: targets.map((target) => ({ ...target, datasource: fixed })) })),
    ],
    ['title-description', withLine(() => ({ description: ' ' }))],
    ['title-description', withLine(() => ({ title: '' }))],
    ['title-description', { ...goodBoard(), description: '' }],
    ['unit', withLine(() => ({ fieldConfig: { defaults: {}, overrides: [] } }))],
    ['no-targets', withLine(() => ({ targets: [] }))],
    ['unique-id', withLine(() => ({ id: 6 }))],
    ['unique-id', withLine(() => ({ id: 0 }))],
    ['unique-title', withLine(() => ({ title: 'Hidden' }))],
    ['unique-ref-id', withLine(({ targets }) => ({ targets: [...targets, ...targets] }))],
    ['within-grid', withLine(({ gridPos }) => ({ gridPos: { ...gridPos, w: 25 } }))],
    ['no-overlap', withLine(({ gridPos }) => ({ gridPos: { ...gridPos, w: 13 } }))],
    ['time-bound', withLine(() => ({ targets: [timeSeriesTarget('SELECT ts AS time, x FROM t')] }))],
    [
      'annotation-datasource',
      {
        ...goodBoard(),
        annotations: { list: goodBoard().annotations.list.map((entry) => ({ ...entry, datasource: fixed })) },
      },
    ],
    [
      'variable-current',
      {
        ...goodBoard(),
        templating: { list: goodBoard().templating.list.map((entry) => ({ ...entry, current: undefined })) },
      } as unknown as Board,
    ],
  ])('%s', (rule, wrong) => {
    expect(lintDashboard(wrong).map((finding) => finding.rule)).toContain(rule);
  });
});

describe('lintAlertSql', () => {
  it.each([
    ['SELECT count() FROM t WHERE $__timeFilter(ts)', []],
    ['SELECT 1 WHERE $__conditionalAll(a, $a)', ['alert-frontend-macro', 'alert-variable']],
    ['SELECT ${pool:singlequote}', ['alert-variable']],
    ['SELECT $__from', ['alert-frontend-macro']],
    ['SELECT $__fromTime', []],
  ])('%s', (statement, rules) => {
    expect(lintAlertSql('An alert', statement).map(({ rule }) => rule)).toEqual(rules);
  });
});

describe('the layout', () => {
  it('puts panels from left to right, wraps them and starts each row below the last', () => {
    const places = Object.fromEntries(
      [...goodBoard().panels, ...drawnPanels(goodBoard())].map(({ title, gridPos }) => [title, gridPos]),
    );
    expect(places).toEqual({
      Open: { x: 0, y: 0, w: 24, h: 1 },
      Line: { x: 0, y: 1, w: 12, h: 8 },
      Number: { x: 12, y: 1, w: 4, h: 4 },
      Table: { x: 0, y: 9, w: 24, h: 10 },
      Closed: { x: 0, y: 19, w: 24, h: 1 },
      Hidden: { x: 0, y: 20, w: 12, h: 8 },
      Below: { x: 0, y: 20, w: 24, h: 1 },
      Last: { x: 0, y: 21, w: 12, h: 8 },
    });
  });

  it('writes targets in the form that version 4 of the plugin reads without migrating', () => {
    expect(
      drawnPanels(goodBoard()).map(({ targets: [target] }) => [
        target!.queryType,
        target!.format,
        target!.editorType,
      ]),
    ).toEqual([
      ['timeseries', 0, 'sql'],
      ['table', 1, 'sql'],
      ['table', 1, 'sql'],
      ['timeseries', 0, 'sql'],
      ['timeseries', 0, 'sql'],
    ]);
    expect(drawnPanels(goodBoard())[0]!.targets[0]).toEqual({
      refId: 'A',
      datasource: { type: 'grafana-clickhouse-datasource', uid: '${datasource}' },
      editorType: 'sql',
      pluginVersion: '4.20.0',
      queryType: 'timeseries',
      format: 0,
      rawSql: sql,
    });
  });
});
