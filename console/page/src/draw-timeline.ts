/** States over time, one lane each. */
import type { BoardPanel } from './board.js';
import { cssColor, seriesColor } from './colors.js';
import type { DrawContext, Drawing } from './drawing.js';
import { element } from './element.js';
import { settingsFor, showCell } from './field-settings.js';
import { formatTime } from './format-value.js';
import { lanesOf, type Lane } from './timeline.js';

const MAX_LANES = 64;

export function drawTimeline(host: HTMLElement, panel: BoardPanel): Drawing {
  const list = element('ul', {
    class: 'lanes',
    tabindex: '0',
    'aria-label': panel.title ?? 'States over time',
  });
  const note = element('p', { class: 'note', hidden: '' });
  host.append(list, note);
  return {
    draw(frames, context) {
      const lanes = frames.flatMap((frame) => lanesOf(frame, context));
      const { scrollTop } = list;
      const palette = new Map<string, string>();
      list.replaceChildren(
        ...lanes.slice(0, MAX_LANES).map((lane) => laneElement(lane, { panel, context, palette })),
      );
      list.scrollTop = scrollTop;
      note.hidden = lanes.length <= MAX_LANES;
      note.textContent = `${MAX_LANES} of ${lanes.length} lanes are drawn; “Data” has all.`;
    },
    destroy: () => undefined,
  };
}

interface LaneStyle {
  readonly panel: BoardPanel;
  readonly context: DrawContext;
  /** Colours of texts to which the board gives none: one each, the same in all lanes. */
  readonly palette: Map<string, string>;
}

function laneElement(lane: Lane, { panel, context, palette }: LaneStyle): HTMLElement {
  const settings = settingsFor(panel, [lane.name, lane.field]);
  const span = context.toMs - context.fromMs;
  const track = element('span', { class: 'track' });
  for (const { fromMs, toMs, value } of lane.stretches) {
    const left = Math.max(0, (fromMs - context.fromMs) / span) * 100;
    const right = Math.min(1, (toMs - context.fromMs) / span) * 100;
    if (right <= left) continue;
    const { text, color } = showCell(value, settings);
    const fill = cssColor(color) ?? palette.get(text) ?? seriesColor(palette.size);
    palette.set(text, fill);
    const title = `${lane.name}: ${text}\n${formatTime(fromMs)} – ${formatTime(toMs)}`;
    const stretch = element('i', { title }, right - left > 8 ? text : '');
    stretch.style.left = `${left}%`;
    stretch.style.width = `${right - left}%`;
    stretch.style.background = fill;
    track.append(stretch);
  }
  const last = lane.stretches.at(-1);
  const now = last === undefined ? 'no data' : showCell(last.value, settings).text;
  return element(
    'li',
    {},
    element('span', { class: 'name', title: lane.name }, lane.name),
    track,
    element('span', { class: 'unseen' }, ` last: ${now}`),
  );
}
