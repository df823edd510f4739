/** Grafana's grid of 24 columns as lines of a CSS grid. */
import type { BoardPanel } from './board.js';

export interface Placement {
  readonly gridColumn: string;
  readonly gridRow: string;
}

const COLUMNS = 24;

/** Panels in reading order, those of folded rows below their row; a panel without a place comes last, full width. */
export function placePanels(panels: readonly BoardPanel[]): { panel: BoardPanel; placement: Placement }[] {
  const flat = unfold(panels);
  let bottom = flat.reduce((end, { gridPos: at }) => Math.max(end, at === undefined ? 0 : at.y + at.h), 0);
  return flat
    .map((panel) => {
      const at = panel.gridPos ?? { x: 0, y: bottom, w: COLUMNS, h: 8 };
      if (panel.gridPos === undefined) bottom += at.h;
      return { panel, at };
    })
    .sort((a, b) => a.at.y - b.at.y || a.at.x - b.at.x)
    .map(({ panel, at }) => {
      const width = Math.max(1, Math.min(at.w, COLUMNS));
      const left = Math.max(0, Math.min(at.x, COLUMNS - width));
      const placement = {
        gridColumn: `${left + 1} / span ${width}`,
        gridRow: `${at.y + 1} / span ${Math.max(1, at.h)}`,
      };
      return { panel, placement };
    });
}

/**
 * The panels of a folded row stand where they would be if it were open, and everything below moves down: the console
 * folds nothing.
 */
function unfold(panels: readonly BoardPanel[]): BoardPanel[] {
  let shift = 0;
  const ordered = [...panels].sort((a, b) => (a.gridPos?.y ?? Infinity) - (b.gridPos?.y ?? Infinity));
  return ordered.flatMap((panel) => {
    const moved = movedDown(panel, shift);
    const inside = panel.type === 'row' ? (panel.panels ?? []) : [];
    if (inside.length === 0) return [moved];
    const top = (moved.gridPos?.y ?? 0) + 1;
    const first = Math.min(...inside.map((one) => one.gridPos?.y ?? 0));
    const end = Math.max(...inside.map((one) => (one.gridPos?.y ?? 0) + (one.gridPos?.h ?? 8)));
    shift += end - first;
    return [moved, ...inside.map((one) => movedDown(one, top - first))];
  });
}

function movedDown(panel: BoardPanel, by: number): BoardPanel {
  return panel.gridPos === undefined
    ? panel
    : { ...panel, gridPos: { ...panel.gridPos, y: panel.gridPos.y + by } };
}
