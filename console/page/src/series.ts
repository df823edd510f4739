/** Rows in long form as series over one time axis, in which what is missing stays missing. */
import type { Column, Frame } from './frame.js';

export interface Series {
  readonly name: string;
  /** The column that the values come from: overrides of a panel go by it. */
  readonly field: string;
  /** Milliseconds, ascending. */
  readonly times: readonly number[];
  readonly values: readonly (number | null)[];
}

/** One series per number column and combination of texts; none when the frame has no time. */
export function seriesOf(frame: Frame): Series[] {
  const time = frame.columns.find((column) => column.kind === 'time');
  if (time === undefined) return [];
  const labels = frame.columns.filter((column) => column.kind === 'text');
  const numbers = frame.columns.filter((column) => column.kind === 'number');
  return numbers.flatMap((column) =>
    groupRows(frame.rowCount, labels).map(({ label, rows }) => {
      const points = rows
        .flatMap((row) => (typeof time.values[row] === 'number' ? [[time.values[row], row] as const] : []))
        .sort((a, b) => a[0] - b[0]);
      return {
        name: nameOf(column.name, { label, isOnly: numbers.length === 1 }),
        field: column.name,
        times: points.map(([at]) => at),
        values: points.map(([, row]) => numberAt(column, row)),
      };
    }),
  );
}

function numberAt(column: Column, row: number): number | null {
  const value = column.values[row];
  return typeof value === 'number' ? value : null;
}

function nameOf(
  column: string,
  { label, isOnly }: { readonly label: string; readonly isOnly: boolean },
): string {
  if (label === '') return column;
  return isOnly ? label : `${label} ${column}`;
}

function groupRows(rowCount: number, labels: readonly Column[]): { label: string; rows: number[] }[] {
  const groups = new Map<string, number[]>();
  for (let row = 0; row < rowCount; row += 1) {
    const label = labels.map((column) => String(column.values[row] ?? '–')).join(' · ');
    const rows = groups.get(label);
    if (rows === undefined) groups.set(label, [row]);
    else rows.push(row);
  }
  return [...groups].map(([label, rows]) => ({ label, rows }));
}

/** `undefined`: the series has no point here, and its line goes on. `null`: there is a gap. */
export type Aligned = number | null | undefined;

export interface AlignedSeries {
  readonly times: readonly number[];
  readonly values: readonly (readonly Aligned[])[];
}

/** Steps that may be missed before a line is broken. */
const GAP_STEPS = 2.5;

/** All series over the times of all. A line breaks where its own points stop for longer than usual. */
export function alignSeries(series: readonly Series[], intervalMs: number): AlignedSeries {
  const gaps = series.map((one) => gapsOf(one.times, intervalMs));
  const times = new Set(series.flatMap((one) => [...one.times]));
  // The break needs a place of its own when no other series has a point inside.
  for (const [start] of gaps.flat()) times.add(start + 1);
  const axis = [...times].sort((a, b) => a - b);
  return { times: axis, values: series.map((one, index) => spread(one, { axis, gaps: gaps[index] ?? [] })) };
}

function gapsOf(times: readonly number[], intervalMs: number): (readonly [number, number])[] {
  const steps = times.slice(1).map((time, index) => time - (times[index] ?? time));
  const usual = [...steps].sort((a, b) => a - b)[Math.floor(steps.length / 2)] ?? 0;
  const longest = GAP_STEPS * Math.max(usual, intervalMs);
  return times.slice(1).flatMap((time, index) => {
    const before = times[index] ?? time;
    return time - before > longest ? [[before, time] as const] : [];
  });
}

function spread(
  series: Series,
  { axis, gaps }: { readonly axis: readonly number[]; readonly gaps: readonly (readonly [number, number])[] },
): Aligned[] {
  const own = new Map(series.times.map((time, index) => [time, series.values[index] ?? null]));
  let gap = 0;
  return axis.map((time) => {
    const value = own.get(time);
    if (value !== undefined) return value;
    while (gap < gaps.length && (gaps[gap]?.[1] ?? 0) < time) gap += 1;
    const [start, end] = gaps[gap] ?? [Infinity, Infinity];
    return time > start && time < end ? null : undefined;
  });
}

/** Places of values that have no line on either side: they are drawn as points, or nobody would see them. */
export function lonePoints(values: readonly Aligned[]): number[] {
  const own = [...values.keys()].filter((index) => values[index] !== undefined);
  return own.filter((index, place) => {
    const [before, after] = [own[place - 1], own[place + 1]];
    const isAlone = (other: number | undefined) => other === undefined || values[other] === null;
    return values[index] !== null && isAlone(before) && isAlone(after);
  });
}

/** Each series on top of those before it. A missing value adds nothing and is not drawn itself. */
export function stackSeries(values: readonly (readonly Aligned[])[]): Aligned[][] {
  const height: number[] = [];
  return values.map((one) =>
    one.map((value, index) => {
      if (value === null || value === undefined) return value;
      const top = (height[index] ?? 0) + value;
      height[index] = top;
      return top;
    }),
  );
}

/** One number for many, as Grafana names the ways; null when there is nothing to tell. */
export function reduceValues(values: readonly (number | null)[], way: string): number | null {
  const known = values.filter((value) => value !== null);
  const last = known.at(-1);
  if (way === 'count') return values.length;
  if (last === undefined) return null;
  const sum = known.reduce((total, value) => total + value, 0);
  switch (way) {
    case 'last':
      return values.at(-1) ?? null;
    case 'first':
    case 'firstNotNull':
      return known[0] ?? null;
    case 'sum':
      return sum;
    case 'mean':
      return sum / known.length;
    case 'max':
      return known.reduce((a, b) => Math.max(a, b));
    case 'min':
      return known.reduce((a, b) => Math.min(a, b));
    default:
      return last;
  }
}
