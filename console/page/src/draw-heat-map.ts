/** A heat map on a canvas: a cell per row and step; an empty cell is the background. */
import type { BoardPanel } from './board.js';
import { resolvedColor } from './colors.js';
import type { DrawContext, Drawing } from './drawing.js';
import { element } from './element.js';
import { settingsFor } from './field-settings.js';
import { formatTime, formatValue } from './format-value.js';
import type { Frame } from './frame.js';
import { heatMapOf, type HeatMap } from './heatmap.js';

export function drawHeatMap(host: HTMLElement, panel: BoardPanel): Drawing {
  const canvas = element('canvas', {
    class: 'heat',
    role: 'img',
    'aria-label': `${panel.title ?? 'Heat map'}; “Data” shows the values`,
  });
  const legend = element('p', { class: 'note' });
  host.append(canvas, legend);
  const settings = settingsFor(panel, []);
  let last: { readonly map: HeatMap; readonly context: DrawContext } | undefined;
  const observer = new ResizeObserver(() => {
    if (last !== undefined) paint(canvas, last);
  });
  observer.observe(canvas);
  canvas.addEventListener('mousemove', (event) => {
    if (last !== undefined) canvas.title = cellText(last, { canvas, event, unit: settings.unit });
  });
  return {
    draw(frames: readonly Frame[], context) {
      last = { map: heatMapOf(frames), context };
      const { rows, min, max } = last.map;
      const span =
        rows.length === 0
          ? 'no data'
          : `${formatValue(min, settings.unit)} (dark) to ${formatValue(max, settings.unit)} (bright)`;
      legend.textContent = `${rows.length} rows, ${span}; empty = no data`;
      paint(canvas, last);
    },
    destroy: () => observer.disconnect(),
  };
}

interface Painted {
  readonly map: HeatMap;
  readonly context: DrawContext;
}

function paint(canvas: HTMLCanvasElement, { map, context }: Painted): void {
  const { clientWidth: width, clientHeight: height } = canvas;
  const surface = canvas.getContext('2d');
  if (surface === null || width === 0) return;
  canvas.width = width * devicePixelRatio;
  canvas.height = height * devicePixelRatio;
  surface.scale(devicePixelRatio, devicePixelRatio);
  surface.fillStyle = resolvedColor('var(--sunken)');
  surface.fillRect(0, 0, width, height);
  const { cellWidth, cellHeight, left } = geometry(canvas, { map, context });
  const span = map.max - map.min;
  map.values.forEach((row, rowIndex) => {
    row.forEach((value, index) => {
      if (value === null) return;
      surface.fillStyle = heat(span === 0 ? 1 : (value - map.min) / span);
      const y = height - (rowIndex + 1) * cellHeight;
      surface.fillRect(
        left(map.times[index] ?? 0),
        y,
        Math.max(cellWidth, 1),
        Math.max(cellHeight - 0.5, 0.5),
      );
    });
  });
}

function geometry(canvas: HTMLCanvasElement, { map, context }: Painted) {
  const scale = canvas.clientWidth / (context.toMs - context.fromMs);
  const steps = map.times.slice(1).map((time, index) => time - (map.times[index] ?? time));
  const step = steps.reduce((a, b) => Math.min(a, b), Infinity);
  return {
    cellWidth: (Number.isFinite(step) ? step : context.intervalMs) * scale,
    cellHeight: canvas.clientHeight / Math.max(map.rows.length, 1),
    left: (time: number) => (time - context.fromMs) * scale,
  };
}

/** Dark blue over violet and orange to bright yellow: grows in lightness, so that it reads without colours. */
export function heat(ratio: number): string {
  const stops = [
    [28, 32, 84],
    [122, 40, 130],
    [226, 90, 66],
    [252, 226, 120],
  ] as const;
  const place = Math.max(0, Math.min(1, ratio)) * (stops.length - 1);
  const from = stops[Math.floor(place)] ?? stops[0];
  const to = stops[Math.ceil(place)] ?? from;
  const channels = from.map((value, index) =>
    Math.round(value + ((to[index] ?? value) - value) * (place % 1)),
  );
  return `rgb(${channels.join(' ')})`;
}

function cellText(
  painted: Painted,
  {
    canvas,
    event,
    unit,
  }: { readonly canvas: HTMLCanvasElement; readonly event: MouseEvent; readonly unit: string | undefined },
): string {
  const { map } = painted;
  const { cellWidth, cellHeight, left } = geometry(canvas, painted);
  const row = Math.floor((canvas.clientHeight - event.offsetY) / cellHeight);
  const index = map.times.findLastIndex(
    (time) => left(time) <= event.offsetX && event.offsetX < left(time) + cellWidth,
  );
  const value = map.values[row]?.[index] ?? null;
  return `${map.rows[row] ?? ''}: ${formatValue(value, unit)}${index < 0 ? '' : `\n${formatTime(map.times[index] ?? 0)}`}`;
}
