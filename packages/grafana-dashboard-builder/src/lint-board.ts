/** What makes a board wrong or hard to use, found before Grafana sees it. */
import { drawnPanels, CLICKHOUSE_PLUGIN, type Board, type Panel, type RowPanel } from './board-json.js';
import { GRID_COLUMNS } from './board.js';
import { frontendMacros } from './backend-macros.js';

export interface Finding {
  readonly rule: string;
  /** Title of the board, the panel or the variable. */
  readonly where: string;
  readonly message: string;
}

type Rule = (board: Board) => readonly Finding[];

const DATASOURCE = '${datasource}';
const TIME_BOUND =
  /\$__(timeFilter|timeFilter_ms|dateFilter|dateTimeFilter|dt|fromTime|fromTime_ms|timeFrom)\b|\bnow(64)?\(/;
const NUMERIC_PANELS = new Set(['timeseries', 'stat', 'bargauge']);

const rules: readonly Rule[] = [
  templateDataSource,
  variablesHaveCurrent,
  panelDataSource,
  titleAndDescription,
  hasUnit,
  hasTargets,
  uniqueIds,
  uniqueTitles,
  uniqueRefIds,
  withinGrid,
  noOverlap,
  timeBound,
  annotationDataSource,
];

/** Every finding of every rule; none means that the board may go out. */
export function lintDashboard(board: Board): Finding[] {
  return rules.flatMap((rule) => [...rule(board)]);
}

/** The rules for SQL of an alert, which runs without a browser: no variables, no macros that only a browser expands. */
export function lintAlertSql(title: string, sql: string): Finding[] {
  const name = frontendMacros.find((macro) => new RegExp(`\\$__${macro}\\b`).test(sql));
  const found: Finding[] = [];
  if (name !== undefined)
    found.push({ rule: 'alert-frontend-macro', where: title, message: `uses $__${name}` });
  if (/\$(\{|(?!__)[A-Za-z])/.test(sql)) {
    found.push({ rule: 'alert-variable', where: title, message: 'uses a dashboard variable' });
  }
  return found;
}

function templateDataSource(board: Board): Finding[] {
  const found = board.templating.list.find((variable) => variable.type === 'datasource');
  if (found?.name === 'datasource' && found.query === CLICKHOUSE_PLUGIN) return [];
  const message = `has no variable "datasource" of the plugin ${CLICKHOUSE_PLUGIN}`;
  return [{ rule: 'template-datasource', where: board.title, message }];
}

function variablesHaveCurrent(board: Board): Finding[] {
  return board.templating.list
    .filter(
      (variable) =>
        (variable.current as unknown) === undefined || (variable.current.value as unknown) === undefined,
    )
    .map(({ name }) => ({ rule: 'variable-current', where: name, message: 'has no current value' }));
}

function panelDataSource(board: Board): Finding[] {
  return drawnPanels(board)
    .filter(({ datasource, targets }) =>
      [datasource, ...targets.map((t) => t.datasource)].some((d) => d.uid !== DATASOURCE),
    )
    .map(({ title }) => ({ rule: 'panel-datasource', where: title, message: `does not use ${DATASOURCE}` }));
}

function annotationDataSource(board: Board): Finding[] {
  const fixed = board.annotations.list.filter(
    (entry) => entry.builtIn !== 1 && entry.datasource.uid !== DATASOURCE,
  );
  return fixed.map(({ name }) => ({
    rule: 'annotation-datasource',
    where: name,
    message: `does not use ${DATASOURCE}`,
  }));
}

function titleAndDescription(board: Board): Finding[] {
  const named = [
    { title: board.title, description: board.description, name: board.uid },
    ...drawnPanels(board).map(({ title, description, id }) => ({ title, description, name: `panel ${id}` })),
  ];
  return named
    .filter(({ title, description }) => title.trim() === '' || description.trim() === '')
    .map(({ name }) => ({
      rule: 'title-description',
      where: name,
      message: 'needs a title and a description',
    }));
}

function hasUnit(board: Board): Finding[] {
  return drawnPanels(board)
    .filter(({ type, fieldConfig }) => NUMERIC_PANELS.has(type) && fieldConfig.defaults.unit === undefined)
    .map(({ title }) => ({ rule: 'unit', where: title, message: 'shows numbers without a unit' }));
}

function hasTargets(board: Board): Finding[] {
  return drawnPanels(board)
    .filter(({ targets }) => targets.length === 0 || targets.some(({ rawSql }) => rawSql.trim() === ''))
    .map(({ title }) => ({ rule: 'no-targets', where: title, message: 'asks nothing' }));
}

function uniqueIds(board: Board): Finding[] {
  const all = [...board.panels.filter((panel) => panel.type === 'row'), ...drawnPanels(board)];
  const wrong = all.filter(({ id }) => !Number.isInteger(id) || id < 1);
  return [
    ...repeated(all, ({ id }) => id).map(({ title, id }) => ({
      rule: 'unique-id',
      where: title,
      message: `shares the id ${id}`,
    })),
    ...wrong.map(({ title, id }) => ({
      rule: 'unique-id',
      where: title,
      message: `has the id ${id}; ids start at 1`,
    })),
  ];
}

function uniqueTitles(board: Board): Finding[] {
  return repeated(drawnPanels(board), ({ title }) => title).map(({ title }) => ({
    rule: 'unique-title',
    where: title,
    message: 'is the title of two panels',
  }));
}

function uniqueRefIds(board: Board): Finding[] {
  return drawnPanels(board).flatMap(({ title, targets }) =>
    repeated(targets, ({ refId }) => refId).map(({ refId }) => ({
      rule: 'unique-ref-id',
      where: title,
      message: `has two targets ${refId}`,
    })),
  );
}

function withinGrid(board: Board): Finding[] {
  const all = [...board.panels, ...drawnPanels(board)];
  return all
    .filter(({ gridPos: { x, y, w, h } }) => x < 0 || y < 0 || w < 1 || h < 1 || x + w > GRID_COLUMNS)
    .map(({ title }) => ({
      rule: 'within-grid',
      where: title,
      message: `leaves the ${GRID_COLUMNS} columns`,
    }));
}

/** The panels of a collapsed row stand below its header only when it is open, so they may meet those outside. */
function noOverlap(board: Board): Finding[] {
  const groups = [board.panels, ...board.panels.map((panel) => (panel.type === 'row' ? panel.panels : []))];
  return groups.flatMap((group: readonly (Panel | RowPanel)[]) =>
    group.flatMap((first, index) =>
      group
        .slice(index + 1)
        .filter((second) => overlap(first, second))
        .map((second) => ({ rule: 'no-overlap', where: first.title, message: `overlaps ${second.title}` })),
    ),
  );
}

function overlap({ gridPos: a }: Panel | RowPanel, { gridPos: b }: Panel | RowPanel): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}

function timeBound(board: Board): Finding[] {
  const panels = drawnPanels(board).flatMap(({ title, targets }) =>
    targets.map(({ rawSql }) => ({ title, rawSql })),
  );
  const annotations = board.annotations.list.flatMap(({ name, target }) =>
    target === undefined ? [] : [{ title: name, rawSql: target.rawSql }],
  );
  return [...panels, ...annotations]
    .filter(({ rawSql }) => !TIME_BOUND.test(rawSql))
    .map(({ title }) => ({ rule: 'time-bound', where: title, message: 'reads without a bound in time' }));
}

function repeated<T>(items: readonly T[], key: (item: T) => unknown): T[] {
  const seen = new Set<unknown>();
  return items.filter((item) => {
    const known = seen.has(key(item));
    seen.add(key(item));
    return known;
  });
}
