/** One panel on the page: its frame, its drawing, its data as a table, and what is wrong with it. */
import type { BoardPanel } from './board.js';
import { drawBars } from './draw-bars.js';
import { drawHeatMap } from './draw-heat-map.js';
import { drawStat } from './draw-stat.js';
import { drawTable } from './draw-table.js';
import { drawTimeline } from './draw-timeline.js';
import { drawTimeSeries, hasTimes } from './draw-time-series.js';
import type { DrawContext, Drawing } from './drawing.js';
import { element } from './element.js';
import type { Frame } from './frame.js';
import type { Placement } from './grid-layout.js';

type DrawingKind = (host: HTMLElement, panel: BoardPanel) => Drawing;

const KINDS: Readonly<Record<string, DrawingKind>> = {
  timeseries: drawTimeSeries,
  graph: drawTimeSeries,
  stat: drawStat,
  gauge: drawStat,
  singlestat: drawStat,
  table: drawTable,
  bargauge: drawBars,
  barchart: drawBars,
  piechart: drawBars,
  'state-timeline': drawTimeline,
  'status-history': drawTimeline,
  heatmap: drawHeatMap,
};

export interface PanelView {
  readonly panel: BoardPanel;
  readonly root: HTMLElement;
  /** Whether there is anything to ask the server for. */
  readonly hasQueries: boolean;
  show(frames: readonly Frame[], context: DrawContext): void;
  /** What was drawn before stays, marked as old. */
  fail(message: string): void;
  destroy(): void;
}

export function createPanelView(panel: BoardPanel, placement: Placement): PanelView {
  const body = element('div', { class: 'body' });
  const status = element('p', { class: 'status', role: 'status' });
  const root = element('section', {
    class: `panel type-${panel.type}`,
    'aria-label': panel.title ?? 'Panel',
  });
  root.style.gridColumn = placement.gridColumn;
  root.style.gridRow = placement.gridRow;
  const hasQueries = (panel.targets ?? []).some(
    (target) => target.rawSql !== undefined && target.hide !== true,
  );
  if (panel.type === 'row') {
    root.append(element('h2', {}, panel.title ?? ''));
    return { panel, root, hasQueries: false, show: nothing, fail: nothing, destroy: nothing };
  }
  if (panel.type === 'text') {
    const content = panel.options?.['content'];
    body.textContent = typeof content === 'string' ? content : '';
    root.append(heading(panel), body);
    return { panel, root, hasQueries: false, show: nothing, fail: nothing, destroy: nothing };
  }
  return dataView({ panel, root, body, status, hasQueries });
}

interface DataPanel {
  readonly panel: BoardPanel;
  readonly root: HTMLElement;
  readonly body: HTMLElement;
  readonly status: HTMLElement;
  readonly hasQueries: boolean;
}

function dataView({ panel, root, body, status, hasQueries }: DataPanel): PanelView {
  const asTable = element(
    'button',
    { type: 'button', 'aria-pressed': 'false', title: 'Show the data as a table' },
    'Data',
  );
  root.append(heading(panel, asTable), status, body);
  let drawing: Drawing | undefined;
  let kind: DrawingKind | undefined;
  let last: { readonly frames: readonly Frame[]; readonly context: DrawContext } | undefined;
  const render = () => {
    if (last === undefined) return;
    const wanted = asTable.getAttribute('aria-pressed') === 'true' ? drawTable : kindFor(panel, last.frames);
    if (kind !== wanted) {
      drawing?.destroy();
      body.replaceChildren();
      if (KINDS[panel.type] === undefined) body.append(notDrawn(panel));
      drawing = wanted(body, panel);
      kind = wanted;
    }
    drawing?.draw(last.frames, last.context);
  };
  asTable.addEventListener('click', () => {
    asTable.setAttribute('aria-pressed', String(asTable.getAttribute('aria-pressed') !== 'true'));
    render();
  });
  root.dataset['state'] = 'loading';
  status.textContent = hasQueries ? 'Loading …' : 'This panel asks nothing of this server.';
  return {
    panel,
    root,
    hasQueries,
    show(frames, context) {
      last = { frames, context };
      const rows = frames.reduce((sum, frame) => sum + frame.rowCount, 0);
      root.dataset['state'] = rows === 0 ? 'empty' : 'shown';
      status.textContent = rows === 0 ? 'No data in this range.' : '';
      render();
    },
    fail(message) {
      root.dataset['state'] = 'failed';
      status.textContent = last === undefined ? message : `Not refreshed: ${message}`;
    },
    destroy: () => drawing?.destroy(),
  };
}

/** What cannot be drawn is shown as a table and says so. Lines need times; without any the rows are shown. */
function kindFor(panel: BoardPanel, frames: readonly Frame[]): DrawingKind {
  const kind = KINDS[panel.type] ?? drawTable;
  const needsTimes = kind === drawTimeSeries || kind === drawTimeline || kind === drawHeatMap;
  return needsTimes && frames.length > 0 && !hasTimes(frames) ? drawTable : kind;
}

function notDrawn(panel: BoardPanel): HTMLElement {
  return element(
    'p',
    { class: 'note' },
    `A ${panel.type} panel is not drawn here: open it in Grafana. This is its data.`,
  );
}

function heading(panel: BoardPanel, ...tools: HTMLElement[]): HTMLElement {
  const title = element(
    'h3',
    panel.description === undefined ? {} : { title: panel.description },
    panel.title ?? '',
  );
  return element('header', {}, title, ...tools);
}

function nothing(): void {
  return undefined;
}
