/** Thresholds, value mappings and overrides in words. */
import type { FieldOverride, ThresholdStep, Unit, ValueMapping } from './board-json.js';

/** The first colour holds below the first step. */
export function thresholds(
  base: string,
  ...steps: readonly (readonly [from: number, color: string])[]
): readonly ThresholdStep[] {
  return [{ color: base, value: null }, ...steps.map(([value, color]) => ({ color, value }))];
}

export interface MappedValue {
  readonly text: string;
  readonly color?: string;
}

/** Shows a text and a colour instead of a value. */
export function valueMapping(values: Readonly<Record<string, MappedValue>>): ValueMapping {
  const entries = Object.entries(values).map(
    ([value, shown], index) => [value, { ...shown, index }] as const,
  );
  return { type: 'value', options: Object.fromEntries(entries) };
}

export interface ColumnOptions {
  readonly unit?: Unit;
  readonly decimals?: number;
  readonly displayName?: string;
  readonly thresholds?: readonly ThresholdStep[];
  readonly mappings?: readonly ValueMapping[];
  /** `color-background` paints the cell, `color-text` the text, `gauge` draws a bar. */
  readonly cell?: 'auto' | 'color-text' | 'color-background' | 'gauge';
  readonly min?: number;
  readonly max?: number;
  readonly width?: number;
  readonly link?: { readonly title: string; readonly url: string };
}

/** How one column, named as in the SQL, differs from the others of its panel. */
export function column(name: string, options: ColumnOptions): FieldOverride {
  const { thresholds: steps, cell, width, link, ...plain } = options;
  const properties: { id: string; value: unknown }[] = Object.entries(plain).map(([id, value]) => ({
    id,
    value,
  }));
  if (steps !== undefined) properties.push({ id: 'thresholds', value: { mode: 'absolute', steps } });
  if (cell !== undefined) properties.push({ id: 'custom.cellOptions', value: { type: cell } });
  if (width !== undefined) properties.push({ id: 'custom.width', value: width });
  if (link !== undefined) properties.push({ id: 'links', value: [link] });
  return { matcher: { id: 'byName', options: name }, properties };
}
