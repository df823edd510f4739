/** How one field of a panel is shown: the panel's defaults, changed by the overrides that match it. */
import type { BoardPanel, FieldOverride, FieldSettings, ThresholdStep } from './board.js';
import { formatValue, MISSING } from './format-value.js';
import type { Cell } from './frame.js';

export function settingsFor(panel: BoardPanel, names: readonly string[]): FieldSettings {
  const { defaults = {}, overrides = [] } = panel.fieldConfig ?? {};
  let settings: Record<string, unknown> = { ...defaults };
  for (const override of overrides.filter((one) => matches(one, names))) {
    for (const { id, value } of override.properties) settings = withProperty(settings, id, value);
  }
  return settings;
}

function matches({ matcher }: FieldOverride, names: readonly string[]): boolean {
  if (typeof matcher.options !== 'string') return false;
  const wanted = matcher.options;
  if (matcher.id === 'byName') return names.includes(wanted);
  if (matcher.id !== 'byRegexp') return false;
  const pattern = new RegExp(wanted.replace(/^\/(.*)\/[a-z]*$/, '$1'));
  return names.some((name) => pattern.test(name));
}

function withProperty(
  settings: Record<string, unknown>,
  id: string,
  value: unknown,
): Record<string, unknown> {
  const [head = '', ...rest] = id.split('.');
  if (rest.length === 0) return { ...settings, [head]: value };
  const inner = (settings[head] ?? {}) as Record<string, unknown>;
  return { ...settings, [head]: { ...inner, [rest.join('.')]: value } };
}

export interface Shown {
  readonly text: string;
  /** One of Grafana's colour names; absent where the board gives none. */
  readonly color?: string;
}

/** The text of a cell and the colour that a mapping gives it. Texts and mapped values come through as they are. */
export function showCell(value: Cell, settings: FieldSettings): Shown {
  const mapped = mappingFor(value, settings);
  if (mapped !== undefined) {
    const { text, color } = mapped;
    return { text: text ?? plainText(value, settings), ...(color === undefined ? {} : { color }) };
  }
  const color = typeof value === 'number' ? thresholdColor(value, settings) : undefined;
  return { text: plainText(value, settings), ...(color === undefined ? {} : { color }) };
}

function plainText(value: Cell, { unit, decimals, noValue }: FieldSettings): string {
  if (value === null) return noValue ?? MISSING;
  return typeof value === 'number' ? formatValue(value, unit, decimals) : value;
}

interface Mapped {
  readonly text?: string;
  readonly color?: string;
}

function mappingFor(value: Cell, { mappings = [] }: FieldSettings): Mapped | undefined {
  for (const { type, options } of mappings) {
    if (type === 'value' && value !== null) {
      const hit = options[String(value)] as Mapped | undefined;
      if (hit !== undefined) return hit;
    }
    if (type === 'range' && typeof value === 'number') {
      const { from, to, result } = options as { from?: number | null; to?: number | null; result?: Mapped };
      if (value >= (from ?? -Infinity) && value <= (to ?? Infinity)) return result;
    }
    if (type === 'special' && value === null) {
      const { match, result } = options as { match?: string; result?: Mapped };
      if (match === 'null' || match === 'null+nan') return result;
    }
  }
  return undefined;
}

/** The colour of the last step that the value reaches; percentages go by `min` and `max`. */
export function thresholdColor(value: number, settings: FieldSettings): string | undefined {
  const { thresholds, min = 0, max = 100, color } = settings;
  if (color?.mode === 'fixed') return color.fixedColor;
  if (color?.mode !== undefined && color.mode !== 'thresholds') return undefined;
  const at = thresholds?.mode === 'percentage' ? ((value - min) / (max - min)) * 100 : value;
  const reached = (step: ThresholdStep) => step.value === null || at >= step.value;
  return thresholds?.steps?.findLast(reached)?.color;
}
