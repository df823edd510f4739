/** The console: chooses a board and a range, and refreshes what is shown. */
import { getJson, isAbort, SignedOutError } from './api.js';
import { createBoardView, type BoardView } from './board-view.js';
import type { Board } from './board.js';
import { element } from './element.js';
import { formatTime } from './format-value.js';
import { readFreshness } from './freshness.js';
import { createSidePanels } from './side-panels.js';
import { intervalFor, rangeFromText, rangeMs, ranges } from './time-range.js';
import { createVariableControls, type VariableControls } from './variable-controls.js';

const REFRESH_MS = 15_000;
const FIRST_BOARD = /fleet/i;

interface BoardEntry {
  readonly uid: string;
  readonly title: string;
}

function part(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`The page has no element ${id}.`);
  return found;
}

const place = new URL(location.href).searchParams;
const state = { range: rangeFromText(place.get('range')), board: place.get('board'), paused: false };
const side = createSidePanels(part('side'));
let view: BoardView | undefined;
let variables: VariableControls | undefined;
let round = new AbortController();
let timer: ReturnType<typeof setTimeout> | undefined;

function remember(): void {
  const url = new URL(location.href);
  url.searchParams.set('range', state.range);
  if (state.board !== null) url.searchParams.set('board', state.board);
  history.replaceState(null, '', url);
}

/** Ends the round before, and begins one; the next follows `REFRESH_MS` after its end, never on top of it. */
async function refresh(): Promise<void> {
  round.abort();
  round = new AbortController();
  const { signal } = round;
  clearTimeout(timer);
  part('refresh').dataset['busy'] = 'true';
  try {
    await refreshAll(signal);
    part('refreshed').textContent = `refreshed ${formatTime(Date.now()).slice(11)}`;
    part('fault').hidden = true;
  } catch (fault) {
    if (isAbort(fault) || signal.aborted) return;
    showFault(fault);
    if (fault instanceof SignedOutError) return;
  }
  part('refresh').dataset['busy'] = 'false';
  if (!state.paused) timer = setTimeout(() => void refresh(), REFRESH_MS);
}

async function refreshAll(signal: AbortSignal): Promise<void> {
  const toMs = Date.now();
  const spanMs = rangeMs(state.range);
  const context = { fromMs: toMs - spanMs, toMs, intervalMs: intervalFor(spanMs) };
  const query = new URLSearchParams();
  variables?.appendTo(query);
  await Promise.all([
    view?.refresh({ context, variables: query, signal }),
    side.refresh(signal),
    showFreshness(signal),
  ]);
}

async function showFreshness(signal: AbortSignal): Promise<void> {
  const { text, level, demo } = await readFreshness(signal);
  part('freshness').textContent = text;
  part('freshness').dataset['level'] = level;
  part('demo').hidden = !demo;
}

function showFault(fault: unknown): void {
  const box = part('fault');
  box.hidden = false;
  if (fault instanceof SignedOutError) {
    box.replaceChildren('You are not signed in. ', element('a', { href: '/sign-in' }, 'Sign in'));
    return;
  }
  box.textContent = `The server could not be asked: ${fault instanceof Error ? fault.message : String(fault)}`;
}

async function openBoard(uid: string): Promise<void> {
  round.abort();
  round = new AbortController();
  const { signal } = round;
  state.board = uid;
  remember();
  const board = await getJson<Board>(`/v1/boards/${encodeURIComponent(uid)}`, signal);
  document.title = `${board.title} – poolmeter`;
  view?.destroy();
  view = createBoardView(part('board'), board);
  variables = await createVariableControls(part('variables'), {
    board,
    signal,
    onChange: () => void refresh(),
  });
  await refresh();
}

/** Opens a board; a fault is shown, and tried again later. */
function open(uid: string): void {
  openBoard(uid).catch((fault: unknown) => {
    if (isAbort(fault)) return;
    showFault(fault);
    if (!(fault instanceof SignedOutError)) timer = setTimeout(() => open(uid), REFRESH_MS);
  });
}

function showRanges(): void {
  const fields = ranges.map(({ id, label }) => {
    const input = element('input', { type: 'radio', name: 'range', value: id });
    input.checked = id === state.range;
    input.addEventListener('change', () => {
      state.range = id;
      remember();
      void refresh();
    });
    return element('label', {}, input, element('span', {}, label));
  });
  part('ranges').append(...fields);
}

function showControls(): void {
  part('refresh').addEventListener('click', () => void refresh());
  const paused = part('paused') as HTMLInputElement;
  paused.addEventListener('change', () => {
    state.paused = paused.checked;
    clearTimeout(timer);
    if (!state.paused) void refresh();
  });
  // Nobody looks at a hidden page: it asks again when it is seen.
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) clearTimeout(timer);
    else if (!state.paused && view !== undefined) void refresh();
  });
  // Canvases take their colours when they are drawn, so another theme needs another drawing.
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', ({ matches }) => {
    document.documentElement.dataset['theme'] = matches ? 'dark' : 'light';
    void refresh();
  });
}

async function start(): Promise<void> {
  const { data } = await getJson<{ readonly data: readonly BoardEntry[] }>('/v1/boards', round.signal);
  const select = part('boards') as HTMLSelectElement;
  select.replaceChildren(...data.map(({ uid, title }) => element('option', { value: uid }, title)));
  const wanted =
    data.find(({ uid }) => uid === state.board) ?? data.find(({ uid }) => FIRST_BOARD.test(uid)) ?? data[0];
  if (wanted === undefined) {
    part('board').replaceChildren(element('p', { class: 'note' }, 'This server has no boards.'));
    await refresh();
    return;
  }
  select.value = wanted.uid;
  select.addEventListener('change', () => open(select.value));
  open(wanted.uid);
}

showRanges();
showControls();
start().catch(showFault);
