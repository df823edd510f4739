/** Big numbers. */
import type { BoardPanel } from './board.js';
import { cssColor } from './colors.js';
import type { Drawing } from './drawing.js';
import { element } from './element.js';
import { summariesOf } from './summary.js';

export function drawStat(host: HTMLElement, panel: BoardPanel): Drawing {
  const list = element('dl', { class: 'stat' });
  host.append(list);
  return {
    draw(frames) {
      const summaries = summariesOf(frames, panel);
      list.replaceChildren(
        ...summaries.map(({ name, shown }) => {
          const number = element('dd', {}, shown.text);
          number.style.color = cssColor(shown.color) ?? '';
          const label = element('dt', summaries.length === 1 ? { class: 'unseen' } : {}, name);
          return element('div', {}, label, number);
        }),
      );
    },
    destroy: () => undefined,
  };
}
