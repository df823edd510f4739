/** Rows as rows. */
import type { BoardPanel } from './board.js';
import { cssColor } from './colors.js';
import type { Drawing } from './drawing.js';
import { element } from './element.js';
import { settingsFor, showCell } from './field-settings.js';
import { formatTime } from './format-value.js';
import type { Column, Frame } from './frame.js';

/** A page is no spreadsheet: the note says how many rows are left out. */
const MAX_ROWS = 500;

export function drawTable(host: HTMLElement, panel: BoardPanel): Drawing {
  const scroll = element('div', {
    class: 'scroll',
    tabindex: '0',
    role: 'region',
    'aria-label': panel.title ?? 'Table',
  });
  host.append(scroll);
  return {
    draw(frames) {
      const { scrollTop, scrollLeft } = scroll;
      scroll.replaceChildren(...frames.flatMap((frame) => tableOf(frame, panel)));
      scroll.scrollTop = scrollTop;
      scroll.scrollLeft = scrollLeft;
    },
    destroy: () => undefined,
  };
}

function tableOf(frame: Frame, panel: BoardPanel): HTMLElement[] {
  const columns = frame.columns.map((column) => ({ column, settings: settingsFor(panel, [column.name]) }));
  const head = columns.map(({ column, settings }) =>
    element('th', { scope: 'col', class: column.kind }, settings.displayName ?? column.name),
  );
  const rows = Array.from({ length: Math.min(frame.rowCount, MAX_ROWS) }, (_row, row) =>
    element('tr', {}, ...columns.map(({ column, settings }) => cellElement(column, { row, settings }))),
  );
  const table = element(
    'table',
    {},
    element('thead', {}, element('tr', {}, ...head)),
    element('tbody', {}, ...rows),
  );
  if (frame.rowCount <= MAX_ROWS) return [table];
  return [table, element('p', { class: 'note' }, `${MAX_ROWS} of ${frame.rowCount} rows.`)];
}

function cellElement(
  column: Column,
  { row, settings }: { readonly row: number; readonly settings: ReturnType<typeof settingsFor> },
): HTMLElement {
  const value = column.values[row] ?? null;
  if (column.kind === 'time' && typeof value === 'number') return element('td', {}, formatTime(value));
  const shown = showCell(value, settings);
  const cell = element('td', { class: column.kind }, shown.text);
  const color = cssColor(shown.color);
  if (color !== undefined) cell.style.color = color;
  return cell;
}
