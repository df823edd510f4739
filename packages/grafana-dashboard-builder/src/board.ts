/** Rows of panels become a board: each row below the last, panels from left to right, wrapped at 24 columns. */
import {
  SCHEMA_VERSION,
  type Annotation,
  type Board,
  type DashboardLink,
  type Panel,
  type RowPanel,
  type Target,
  type Variable,
} from './board-json.js';
import type { UnplacedPanel } from './panel.js';
import { chosenDataSource } from './target.js';

export const GRID_COLUMNS = 24;

export interface Row {
  readonly id: number;
  readonly title: string;
  readonly collapsed: boolean;
  readonly panels: readonly UnplacedPanel[];
}

export interface BoardOptions {
  /** Stays the same for ever: it is the address of the board. */
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly tags: readonly string[];
  readonly variables: readonly Variable[];
  readonly rows: readonly Row[];
  readonly annotations?: readonly Annotation[];
  readonly links?: readonly DashboardLink[];
  /** How far back the board looks when it is opened, such as `now-6h`. */
  readonly from: string;
  readonly refresh: string;
}

export function row(options: Omit<Row, 'collapsed'> & { readonly collapsed?: boolean }): Row {
  return { collapsed: false, ...options };
}

export function board(options: BoardOptions): Board {
  return {
    uid: options.uid,
    title: options.title,
    description: options.description,
    tags: options.tags,
    schemaVersion: SCHEMA_VERSION,
    version: 1,
    editable: false,
    graphTooltip: 1,
    refresh: options.refresh,
    time: { from: options.from, to: 'now' },
    timezone: 'utc',
    timepicker: { refresh_intervals: ['30s', '1m', '5m', '15m', '1h'] },
    templating: { list: options.variables },
    annotations: { list: options.annotations ?? [] },
    links: options.links ?? [],
    panels: layOut(options.rows),
  };
}

/** Marks on the time axis: the query gives time, optionally timeEnd, and text. */
export function annotation(options: { name: string; iconColor: string; target: Target }): Annotation {
  return { ...options, datasource: chosenDataSource, enable: true, hide: false };
}

/** A menu of the boards that carry a tag; time range and variables go along. */
export function boardsLink(title: string, tag: string): DashboardLink {
  return {
    type: 'dashboards',
    title,
    tags: [tag],
    url: '',
    tooltip: '',
    icon: 'external link',
    asDropdown: true,
    includeVars: true,
    keepTime: true,
    targetBlank: false,
  };
}

function layOut(rows: readonly Row[]): readonly (Panel | RowPanel)[] {
  const placed: (Panel | RowPanel)[] = [];
  let top = 0;
  for (const { id, title, collapsed, panels } of rows) {
    const { placedPanels, bottom } = placeFrom(top + 1, panels);
    const header = {
      id,
      type: 'row',
      title,
      collapsed,
      gridPos: { x: 0, y: top, w: GRID_COLUMNS, h: 1 },
    } as const;
    placed.push({ ...header, panels: collapsed ? placedPanels : [] });
    if (!collapsed) placed.push(...placedPanels);
    top = collapsed ? top + 1 : bottom;
  }
  return placed;
}

function placeFrom(top: number, panels: readonly UnplacedPanel[]): { placedPanels: Panel[]; bottom: number } {
  // For each column of the grid the first line that is free in it: panels never go back above it.
  const free = Array.from({ length: GRID_COLUMNS }, () => top);
  const placedPanels = panels.map(({ size, ...panel }): Panel => {
    const { x, y } = highestPlace(free, size.w);
    free.fill(y + size.h, x, x + size.w);
    return { ...panel, gridPos: { x, y, ...size } };
  });
  return { placedPanels, bottom: Math.max(...free) };
}

/** The highest place that is wide enough, the leftmost of equals. */
function highestPlace(free: readonly number[], width: number): { x: number; y: number } {
  let best = { x: 0, y: Number.POSITIVE_INFINITY };
  for (let x = 0; x + width <= GRID_COLUMNS; x += 1) {
    const y = Math.max(...free.slice(x, x + width));
    if (y < best.y) best = { x, y };
  }
  return best.y === Number.POSITIVE_INFINITY ? { x: 0, y: Math.max(...free) } : best;
}
