/** Bars, longest possible first as the board sorts them. */
import type { BoardPanel } from './board.js';
import { cssColor, seriesColor } from './colors.js';
import type { Drawing } from './drawing.js';
import { element } from './element.js';
import { summariesOf } from './summary.js';

/** The width of a bar in percent: of the largest value, or of `max` where the board gives one. */
export function barWidth(
  value: number | null,
  { min = 0, max }: { readonly min?: number; readonly max: number },
): number {
  if (value === null || max <= min) return 0;
  return Math.max(0, Math.min(100, ((value - min) / (max - min)) * 100));
}

export function drawBars(host: HTMLElement, panel: BoardPanel): Drawing {
  const list = element('ul', { class: 'bars' });
  host.append(list);
  return {
    draw(frames) {
      const summaries = summariesOf(frames, panel);
      const largest = Math.max(0, ...summaries.map(({ value }) => value ?? 0));
      list.replaceChildren(
        ...summaries.map(({ name, value, shown, min, max }) => {
          const bar = element('i', { class: 'bar' });
          bar.style.width = `${barWidth(value, { min: min ?? 0, max: max ?? largest })}%`;
          bar.style.background = cssColor(shown.color) ?? seriesColor(0);
          return element(
            'li',
            {},
            element('span', { class: 'name', title: name }, name),
            element('span', { class: 'track' }, bar),
            element('output', {}, shown.text),
          );
        }),
      );
    },
    destroy: () => undefined,
  };
}
