/** Cells of a heat map. */
import type { Frame } from './frame.js';
import { seriesOf } from './series.js';

export interface HeatMap {
  /** Row names, the first at the bottom. */
  readonly rows: readonly string[];
  readonly times: readonly number[];
  /** `values[row][time]`; null = no data, drawn as nothing. */
  readonly values: readonly (readonly (number | null)[])[];
  readonly min: number;
  readonly max: number;
}

/** One row per bucket, label or GPU. Names that are numbers are ordered as numbers. */
export function heatMapOf(frames: readonly Frame[]): HeatMap {
  const series = frames.flatMap((frame) => seriesOf(bucketsAsText(frame)));
  const byNumber = series.every((one) => one.name !== '' && Number.isFinite(Number.parseFloat(one.name)));
  const rows = byNumber
    ? [...series].sort((a, b) => Number.parseFloat(a.name) - Number.parseFloat(b.name))
    : [...series].reverse();
  const times = [...new Set(rows.flatMap((row) => [...row.times]))].sort((a, b) => a - b);
  const values = rows.map((row) => {
    const own = new Map(row.times.map((time, index) => [time, row.values[index] ?? null]));
    return times.map((time) => own.get(time) ?? null);
  });
  const known = values.flat().filter((value) => value !== null);
  return {
    rows: rows.map((row) => row.name),
    times,
    values,
    min: known.reduce((a, b) => Math.min(a, b), Infinity),
    max: known.reduce((a, b) => Math.max(a, b), -Infinity),
  };
}

/** With a time, a bucket and a count, the bucket is a name although it is a number. */
function bucketsAsText(frame: Frame): Frame {
  const numbers = frame.columns.filter((column) => column.kind === 'number');
  const [bucket] = numbers;
  if (numbers.length !== 2 || bucket === undefined || frame.columns.some((column) => column.kind === 'text'))
    return frame;
  const columns = frame.columns.map((column) =>
    column === bucket
      ? {
          ...column,
          kind: 'text' as const,
          values: column.values.map((value) => (value === null ? null : String(value))),
        }
      : column,
  );
  return { ...frame, columns };
}
