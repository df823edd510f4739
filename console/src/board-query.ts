/** Runs the statements of a board: those of its panels and those that fill its variables. Read-only and limited. */
import { PoolmeterError, type EpochMs } from '@poolmeter/domain';
import type { MetricsStore, SelectedRows } from '@poolmeter/metrics-store';
import { inputFault } from '@poolmeter/http-api';
import { expandMacros, MacroError } from 'grafana-dashboard-builder';
import { variableSql, type Board, type BoardVariable } from './board.js';

export interface BoardQuery {
  readonly reader: Pick<MetricsStore, 'select'>;
  readonly board: Board;
  readonly from: EpochMs;
  readonly to: EpochMs;
  /** Distance of two points; where `$__timeInterval` is not used it means nothing. */
  readonly intervalMs: number;
  /** Values that the caller chose, by the variable's name. */
  readonly chosen: ReadonlyMap<string, readonly string[]>;
}

/** More rows than a screen can show; the server refuses more rather than cutting off the end. */
const MAX_ROWS = 20_000;
const MAX_OPTIONS = 2_000;
export const ALL = '$__all';

/** The rows of one statement of a panel. */
export async function runPanelSql(query: BoardQuery, sql: string, name: string): Promise<SelectedRows> {
  const expanded = await expand(query, sql);
  return query.reader.select(expanded, { name: `board ${query.board.uid} ${name}`, maxRows: MAX_ROWS });
}

export interface VariableOption {
  readonly value: string;
  readonly text: string;
}

/** What a variable may be: one row of its statement each, or what the board lists. */
export async function readOptions(query: BoardQuery, variable: BoardVariable): Promise<VariableOption[]> {
  const sql = variableSql(variable);
  if (sql === undefined) {
    const options = (variable.options ?? []).map(({ value, text }) => ({
      value: String(value),
      text: String(text),
    }));
    return options.filter((option) => option.value !== ALL);
  }
  const { rows } = await query.reader.select(await expand(query, sql, [variable.name]), {
    name: `board ${query.board.uid} variable ${variable.name}`,
    maxRows: MAX_OPTIONS,
  });
  return rows.map((row) => ({ value: String(row[0]), text: String(row[1] ?? row[0]) }));
}

/** `inside` are the variables whose statements lead here; a board whose variables need each other has no answer. */
async function expand(query: BoardQuery, sql: string, inside: readonly string[] = []): Promise<string> {
  const variables: Record<string, string | readonly string[]> = {};
  for (const variable of query.board.variables) {
    if (inside.includes(variable.name) || !mentions(sql, variable.name)) continue;
    variables[variable.name] = await valueOf(query, variable, [...inside, variable.name]);
  }
  try {
    return expandMacros(sql, { from: query.from, to: query.to, intervalMs: query.intervalMs, variables });
  } catch (cause) {
    // What a caller chose does not fit the statement: the macro says which value.
    if (cause instanceof MacroError) throw new PoolmeterError('input.invalid', cause.message, { cause });
    throw cause;
  }
}

function mentions(sql: string, name: string): boolean {
  return new RegExp(`\\$\\{?${name}\\b|\\[\\[${name}\\b`).test(sql);
}

async function valueOf(
  query: BoardQuery,
  variable: BoardVariable,
  inside: readonly string[],
): Promise<string | readonly string[]> {
  const chosen = query.chosen.get(variable.name);
  if (chosen !== undefined) {
    if (chosen.length > 1 && variable.multi !== true) {
      throw inputFault([{ path: `query.var-${variable.name}`, message: 'takes one value' }]);
    }
    return chosen.length === 1 ? (chosen[0] ?? '') : chosen;
  }
  const sql = variableSql(variable);
  const current = variable.current?.value;
  const isComputed = sql !== undefined && (variable.hide === 2 || current === undefined || current === '');
  if (!isComputed) return current ?? (typeof variable.query === 'string' ? variable.query : '');
  if (variable.includeAll === true && variable.hide !== 2) return ALL;
  const { rows } = await query.reader.select(await expand(query, sql, inside), {
    name: `board ${query.board.uid} variable ${variable.name}`,
    maxRows: MAX_OPTIONS,
  });
  const first: unknown = rows[0]?.[0] ?? '';
  return typeof first === 'string' ? first : JSON.stringify(first);
}
