/** A board on the page: its panels, filled again and again without being built anew. */
import { getJson, isAbort, SignedOutError } from './api.js';
import type { Board } from './board.js';
import type { DrawContext } from './drawing.js';
import { frameOf, type WireFrame } from './frame.js';
import { placePanels } from './grid-layout.js';
import { createPanelView, type PanelView } from './panel-view.js';

export interface BoardView {
  /** Rejects only when nobody is signed in or the signal is aborted; a panel shows its own fault. */
  refresh(wish: {
    readonly context: DrawContext;
    readonly variables: URLSearchParams;
    readonly signal: AbortSignal;
  }): Promise<void>;
  destroy(): void;
}

/** Panels asked for at the same time: the server answers others meanwhile. */
const AT_ONCE = 4;

export function createBoardView(host: HTMLElement, board: Board): BoardView {
  const views = placePanels(board.panels).map(({ panel, placement }) => createPanelView(panel, placement));
  host.replaceChildren(...views.map((view) => view.root));
  return {
    async refresh({ context, variables, signal }) {
      const query = new URLSearchParams(variables);
      query.set('from', new Date(context.fromMs).toISOString());
      query.set('to', new Date(context.toMs).toISOString());
      query.set('interval_ms', String(context.intervalMs));
      const waiting = views.filter((view) => view.hasQueries);
      const work = async () => {
        for (let view = waiting.shift(); view !== undefined; view = waiting.shift()) {
          const path = `/v1/queries/${encodeURIComponent(board.uid)}/${view.panel.id}?${query.toString()}`;
          await fillPanel(view, { path, context, signal });
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, work));
    },
    destroy: () => views.forEach((view) => view.destroy()),
  };
}

async function fillPanel(
  view: PanelView,
  {
    path,
    context,
    signal,
  }: { readonly path: string; readonly context: DrawContext; readonly signal: AbortSignal },
): Promise<void> {
  try {
    const { data } = await getJson<{ readonly data: readonly WireFrame[] }>(path, signal);
    view.show(data.map(frameOf), context);
  } catch (fault) {
    if (fault instanceof SignedOutError || isAbort(fault) || signal.aborted) throw fault;
    view.fail(fault instanceof Error ? fault.message : String(fault));
  }
}
