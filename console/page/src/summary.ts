/** Frames as a few named numbers: what stat, gauge and bar panels show. */
import type { BoardPanel } from './board.js';
import { settingsFor, showCell, type Shown } from './field-settings.js';
import type { Cell, Column, Frame } from './frame.js';
import { reduceValues, seriesOf } from './series.js';

export interface Summary {
  readonly name: string;
  /** The number behind the text; null where there is none. */
  readonly value: number | null;
  readonly shown: Shown;
  readonly min: number | undefined;
  readonly max: number | undefined;
}

interface Reduction {
  readonly values?: boolean;
  readonly calcs?: readonly string[];
  readonly fields?: string;
}

export function summariesOf(frames: readonly Frame[], panel: BoardPanel): Summary[] {
  const reduction = (panel.options?.['reduceOptions'] ?? {}) as Reduction;
  return frames.flatMap((frame) => {
    const series = seriesOf(frame);
    if (series.length > 0 && reduction.values !== true) {
      const [way = 'lastNotNull'] = reduction.calcs ?? [];
      return series.map((one) =>
        summaryOf(reduceValues(one.values, way), { name: one.name, field: one.field, panel }),
      );
    }
    return reduction.values === true ? byRow(frame, panel) : byColumn(frame, { panel, reduction });
  });
}

function byRow(frame: Frame, panel: BoardPanel): Summary[] {
  const labels = frame.columns.filter((column) => column.kind === 'text');
  const numbers = frame.columns.filter((column) => column.kind === 'number');
  return Array.from({ length: frame.rowCount }, (_row, row) => row).flatMap((row) =>
    numbers.map((column) => {
      const label = labels.map((one) => String(one.values[row] ?? '–')).join(' · ');
      const name = label === '' ? column.name : numbers.length > 1 ? `${label} ${column.name}` : label;
      return summaryOf(column.values[row] ?? null, { name, field: column.name, panel });
    }),
  );
}

function byColumn(
  frame: Frame,
  { panel, reduction }: { readonly panel: BoardPanel; readonly reduction: Reduction },
): Summary[] {
  const [way = 'lastNotNull'] = reduction.calcs ?? [];
  const wanted = wantedColumns(frame, reduction.fields);
  const labels = frame.columns.filter((column) => column.kind === 'text' && !wanted.includes(column));
  // A few rows with names are told apart; anything else becomes one number per column.
  if (labels.length > 0 && frame.rowCount > 1) return byRow(frame, panel);
  return wanted.map((column) => {
    const value =
      column.kind === 'number'
        ? reduceValues(
            column.values.map((one) => (typeof one === 'number' ? one : null)),
            way,
          )
        : (column.values.at(-1) ?? null);
    return summaryOf(value, { name: column.name, field: column.name, panel });
  });
}

function wantedColumns(frame: Frame, fields: string | undefined): readonly Column[] {
  if (fields === undefined || fields === '') {
    const numbers = frame.columns.filter((column) => column.kind === 'number');
    return numbers.length > 0 ? numbers : frame.columns;
  }
  const pattern = new RegExp(fields.replace(/^\/(.*)\/[a-z]*$/, '$1'));
  return frame.columns.filter((column) => pattern.test(column.name));
}

function summaryOf(
  value: Cell,
  { name, field, panel }: { readonly name: string; readonly field: string; readonly panel: BoardPanel },
): Summary {
  const settings = settingsFor(panel, [name, field]);
  const { displayName, min, max } = settings;
  return {
    name: displayName !== undefined && !displayName.includes('$') ? displayName : name,
    value: typeof value === 'number' ? value : null,
    shown: showCell(value, settings),
    min,
    max,
  };
}
