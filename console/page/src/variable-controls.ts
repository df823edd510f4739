/** Selects for the variables of a board. */
import { getJson } from './api.js';
import { visibleVariables, type Board, type BoardVariable } from './board.js';
import { element } from './element.js';

export const ALL = '$__all';

export interface VariableControls {
  /** What was chosen, as parameters of a query. */
  appendTo(query: URLSearchParams): void;
}

interface Option {
  readonly value: string;
  readonly text: string;
}

export async function createVariableControls(
  host: HTMLElement,
  {
    board,
    signal,
    onChange,
  }: { readonly board: Board; readonly signal: AbortSignal; readonly onChange: () => void },
): Promise<VariableControls> {
  const controls = await Promise.all(
    visibleVariables(board).map(async (variable) => {
      const path = `/v1/boards/${encodeURIComponent(board.uid)}/variables/${encodeURIComponent(variable.name)}`;
      const { data } = await getJson<{ readonly data: readonly Option[] }>(path, signal);
      const select = selectOf(variable, data);
      select.addEventListener('change', onChange);
      return { variable, select };
    }),
  );
  host.replaceChildren(
    ...controls.map(({ variable, select }) => element('label', {}, `${labelOf(variable)} `, select)),
  );
  return {
    appendTo(query) {
      for (const { variable, select } of controls) query.set(`var-${variable.name}`, select.value);
    },
  };
}

function labelOf({ label, name }: BoardVariable): string {
  return label === undefined || label === null || label === '' ? name : label;
}

function selectOf(variable: BoardVariable, options: readonly Option[]): HTMLSelectElement {
  const all = variable.includeAll === true ? [{ value: ALL, text: 'All' }] : [];
  const select = element(
    'select',
    {},
    ...[...all, ...options].map(({ value, text }) => element('option', { value }, text)),
  );
  const current = [variable.current?.value ?? []].flat()[0];
  if (current !== undefined && options.some((option) => option.value === current)) select.value = current;
  return select;
}
