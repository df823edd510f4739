/** States over time as stretches. */
import type { Cell, Frame } from './frame.js';

export interface Stretch {
  readonly fromMs: number;
  readonly toMs: number;
  readonly value: Cell;
}

export interface Lane {
  readonly name: string;
  readonly field: string;
  readonly stretches: readonly Stretch[];
}

/** How long a state is believed after its last report, in steps. */
const HOLD_STEPS = 2.5;

/**
 * One lane per value column and combination of labels. A state lasts until the next report, at most for a few steps:
 * where nothing was reported, nothing is drawn. With several text columns the last one is the state.
 */
export function lanesOf(
  frame: Frame,
  { intervalMs, toMs }: { readonly intervalMs: number; readonly toMs: number },
): Lane[] {
  const time = frame.columns.find((column) => column.kind === 'time');
  if (time === undefined) return [];
  const numbers = frame.columns.filter((column) => column.kind === 'number');
  const texts = frame.columns.filter((column) => column.kind === 'text');
  const states = numbers.length > 0 ? numbers : texts.slice(-1);
  const labels = texts.filter((column) => !states.includes(column));
  return states.flatMap((state) => {
    const lanes = new Map<string, { at: number; value: Cell }[]>();
    for (let row = 0; row < frame.rowCount; row += 1) {
      const at = time.values[row];
      if (typeof at !== 'number') continue;
      const label = labels.map((column) => String(column.values[row] ?? '–')).join(' · ');
      const name = label === '' ? state.name : states.length > 1 ? `${label} ${state.name}` : label;
      const reports = lanes.get(name) ?? [];
      reports.push({ at, value: state.values[row] ?? null });
      lanes.set(name, reports);
    }
    return [...lanes].map(([name, reports]) => ({
      name,
      field: state.name,
      stretches: stretchesOf(
        reports.sort((a, b) => a.at - b.at),
        { intervalMs, toMs },
      ),
    }));
  });
}

function stretchesOf(
  reports: readonly { readonly at: number; readonly value: Cell }[],
  { intervalMs, toMs }: { readonly intervalMs: number; readonly toMs: number },
): Stretch[] {
  const steps = reports.slice(1).map((report, index) => report.at - (reports[index]?.at ?? report.at));
  const usual = [...steps].sort((a, b) => a - b)[Math.floor(steps.length / 2)] ?? 0;
  const longest = HOLD_STEPS * Math.max(usual, intervalMs);
  const stretches: Stretch[] = [];
  reports.forEach(({ at, value }, index) => {
    if (value === null) return;
    const end = Math.min(reports[index + 1]?.at ?? toMs, at + longest);
    const before = stretches.at(-1);
    if (before?.value === value && before.toMs === at)
      stretches[stretches.length - 1] = { ...before, toMs: end };
    else stretches.push({ fromMs: at, toMs: end, value });
  });
  return stretches;
}
