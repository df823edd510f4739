/** Lines over time. */
import type UPlot from 'uplot';
import type { BoardPanel } from './board.js';
import { cssColor, resolvedColor, seriesColor } from './colors.js';
import type { DrawContext, Drawing } from './drawing.js';
import { element } from './element.js';
import { settingsFor } from './field-settings.js';
import { formatTick, formatValue } from './format-value.js';
import type { Frame } from './frame.js';
import {
  alignSeries,
  lonePoints,
  reduceValues,
  seriesOf,
  stackSeries,
  type Aligned,
  type Series,
} from './series.js';

/** More lines than this are a carpet; the note says how many are left out. */
const MAX_SERIES = 40;

interface Line extends Series {
  readonly color: string;
  readonly unit: string | undefined;
  readonly decimals: number | undefined;
  readonly legend: HTMLElement;
}

export function drawTimeSeries(host: HTMLElement, panel: BoardPanel): Drawing {
  const chart = element('div', { class: 'chart' });
  const legend = element('ul', { class: 'legend', 'aria-label': 'Legend' });
  const note = element('p', { class: 'note', hidden: '' });
  host.append(chart, legend, note);
  let plot: UPlot | undefined;
  let shown = '';
  let range: DrawContext | undefined;
  let raw: readonly (readonly Aligned[])[] = [];
  let lines: readonly Line[] = [];

  const size = () => ({ width: Math.max(chart.clientWidth, 80), height: Math.max(chart.clientHeight, 60) });
  const showValues = (index: number | null | undefined) => {
    lines.forEach((line, at) => {
      const value =
        index === null || index === undefined
          ? reduceValues(line.values, 'last')
          : (raw[at]?.[index] ?? null);
      line.legend.textContent = formatValue(value, line.unit, line.decimals);
    });
  };
  const build = (data: UPlot.AlignedData, stacked: boolean) => {
    plot?.destroy();
    const settings = settingsFor(panel, []);
    const options = plotOptions({
      lines,
      stacked,
      settings,
      range: () => range,
      size: size(),
      onCursor: showValues,
    });
    plot = new (globalThis as unknown as { uPlot: typeof UPlot }).uPlot(options, data, chart);
  };
  const observer = new ResizeObserver(() => plot?.setSize(size()));
  observer.observe(chart);

  return {
    draw(frames, context) {
      range = context;
      const all = frames.flatMap(seriesOf);
      const series = all.slice(0, MAX_SERIES);
      note.hidden = all.length <= MAX_SERIES;
      note.textContent = `${MAX_SERIES} of ${all.length} series are drawn; “Data” has all.`;
      const names = `${document.documentElement.dataset['theme'] ?? ''}\n${series.map((one) => one.name).join('\n')}`;
      const isSame = names === shown && plot !== undefined;
      lines = isSame
        ? series.map((one, index) => ({ ...lineStyle(lines[index]), ...one }))
        : linesOf(series, { panel, legend });
      shown = names;
      const aligned = alignSeries(series, context.intervalMs);
      raw = aligned.values;
      const stacked = isStacked(panel);
      const values = stacked ? stackSeries(aligned.values) : aligned.values;
      const data = [aligned.times.map((time) => time / 1_000), ...values] as unknown as UPlot.AlignedData;
      if (isSame) plot?.setData(data);
      else build(data, stacked);
      showValues(undefined);
    },
    destroy() {
      observer.disconnect();
      plot?.destroy();
    },
  };
}

function lineStyle(line: Line | undefined): Pick<Line, 'color' | 'unit' | 'decimals' | 'legend'> {
  if (line === undefined) throw new Error('A series without a line.');
  const { color, unit, decimals, legend } = line;
  return { color, unit, decimals, legend };
}

function linesOf(
  series: readonly Series[],
  { panel, legend }: { readonly panel: BoardPanel; readonly legend: HTMLElement },
): Line[] {
  const lines = series.map((one, index): Line => {
    const settings = settingsFor(panel, [one.name, one.field]);
    const fixed = settings.color?.mode === 'fixed' ? cssColor(settings.color.fixedColor) : undefined;
    return {
      ...one,
      name:
        settings.displayName !== undefined && !settings.displayName.includes('$')
          ? settings.displayName
          : one.name,
      color: fixed ?? seriesColor(index),
      unit: settings.unit,
      decimals: settings.decimals,
      legend: element('output', {}),
    };
  });
  legend.replaceChildren(
    ...lines.map((line) => {
      const swatch = element('i', { class: 'swatch' });
      swatch.style.background = line.color;
      return element('li', {}, swatch, element('span', { title: line.name }, line.name), line.legend);
    }),
  );
  return lines;
}

function isStacked(panel: BoardPanel): boolean {
  const stacking = panel.fieldConfig?.defaults?.custom?.['stacking'] as { mode?: string } | undefined;
  return stacking?.mode === 'normal' || stacking?.mode === 'percent';
}

interface PlotWish {
  readonly lines: readonly Line[];
  readonly stacked: boolean;
  readonly settings: ReturnType<typeof settingsFor>;
  readonly range: () => DrawContext | undefined;
  readonly size: { readonly width: number; readonly height: number };
  readonly onCursor: (index: number | null | undefined) => void;
}

function plotOptions({ lines, stacked, settings, range, size, onCursor }: PlotWish): UPlot.Options {
  const ink = resolvedColor('var(--quiet)');
  const axis = {
    stroke: ink,
    grid: { stroke: resolvedColor('var(--line)'), width: 1 },
    ticks: { show: false },
  };
  const unit = lines[0]?.unit;
  return {
    ...size,
    cursor: { sync: { key: 'time' }, drag: { x: false, y: false }, points: { size: 6 } },
    legend: { show: false },
    scales: {
      x: {
        range: (_plot, low, high) => [
          (range()?.fromMs ?? low * 1_000) / 1_000,
          (range()?.toMs ?? high * 1_000) / 1_000,
        ],
      },
      y: { range: (_plot, low, high) => valueRange([low, high], settings) },
    },
    axes: [
      {
        ...axis,
        size: 26,
        space: 80,
        values: (_plot, ticks) => ticks.map((tick) => formatTick(tick * 1_000, spanOf(range()))),
      },
      { ...axis, size: 62, values: (_plot, ticks) => ticks.map((tick) => formatValue(tick, unit)) },
    ],
    series: [{}, ...lines.map((line) => lineOptions(line, stacked))],
    ...(stacked
      ? {
          bands: lines
            .slice(1)
            .map((_line, index) => ({ series: [index + 2, index + 1] as [number, number] })),
        }
      : {}),
    hooks: { setCursor: [(plot) => onCursor(plot.cursor.idx)] },
  };
}

function spanOf(range: DrawContext | undefined): number {
  return range === undefined ? 0 : range.toMs - range.fromMs;
}

function lineOptions(line: Line, stacked: boolean): UPlot.Series {
  const color = resolvedColor(line.color);
  return {
    label: line.name,
    stroke: color,
    width: 1.5,
    points: {
      show: true,
      size: 4,
      fill: color,
      filter: (plot, index) => lonePoints([...(plot.data[index] ?? [])]),
    },
    ...(stacked ? { fill: `${color}${color.length === 7 ? '55' : ''}` } : {}),
  };
}

/** From zero where the values are not far from it, so that heights compare; a flat line is not at the edge. */
function valueRange(
  [low, high]: readonly [number | null, number | null],
  { min, max }: { readonly min?: number; readonly max?: number },
): [number, number] {
  const bottom = min ?? (low === null ? 0 : low >= 0 && low < (high ?? low) * 0.7 ? 0 : low);
  const top = Math.max(max ?? -Infinity, high ?? 1);
  if (top > bottom) {
    const margin = (top - bottom) * 0.05;
    return [bottom === 0 || bottom === min ? bottom : bottom - margin, top === max ? top : top + margin];
  }
  const margin = Math.abs(top) * 0.1 || 1;
  return [bottom === 0 ? 0 : bottom - margin, top + margin];
}

/** Whether frames have anything to draw over time. */
export function hasTimes(frames: readonly Frame[]): boolean {
  return frames.some((frame) => frame.columns.some((column) => column.kind === 'time'));
}
