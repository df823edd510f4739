/**
 * Expands a board's SQL the way Grafana and its ClickHouse plugin do together: first the browser's part
 * (`$__conditionalAll`, variables), then the server's macros. Values are always escaped.
 */
import { backendMacros, type MacroRange } from './backend-macros.js';
import { readArguments } from './macro-call.js';

/** Chosen values of the variables; `'$__all'` or an empty list stands for all of them. */
export type VariableValues = Readonly<Record<string, string | number | readonly string[]>>;

export interface ExpandOptions {
  readonly from: Date | number;
  readonly to: Date | number;
  /** Distance of the points that the panel asks for, milliseconds. */
  readonly intervalMs: number;
  readonly variables?: VariableValues;
}

/** Says which macro or variable of a query could not be expanded. */
export class MacroError extends Error {
  override readonly name = 'MacroError';
}

const ALL = '$__all';
const VARIABLE = /\$\{(\w+)(?::(\w+))?\}|\$(?!__)([A-Za-z_]\w*)/g;
const MACRO = /\$__(\w+)/;
const PLAIN_WORD = /^[\w.:-]*$/;

export function expandMacros(sql: string, options: ExpandOptions): string {
  const range: MacroRange = {
    fromMs: Number(options.from),
    toMs: Number(options.to),
    intervalMs: options.intervalMs,
  };
  if (!Number.isFinite(range.fromMs) || !Number.isFinite(range.toMs) || !Number.isFinite(range.intervalMs)) {
    throw new MacroError('A time range needs a start, an end and an interval that are numbers.');
  }
  const variables = options.variables ?? {};
  // Macros first, so that a value which looks like a macro stays text; a `$` in a macro's argument still gets its value.
  return expandVariables(expandBackend(expandConditionalAll(sql, variables), range), variables);
}

/** Keeps the condition of `$__conditionalAll(condition, $variable)` unless the variable stands for all values. */
function expandConditionalAll(sql: string, variables: VariableValues): string {
  const name = '$__conditionalAll(';
  const at = sql.lastIndexOf(name);
  if (at === -1) return sql;
  const call = readArguments(sql, at + name.length - 1);
  const [condition, variable] = call?.args ?? [];
  if (call?.args.length !== 2 || condition === undefined || variable === undefined) {
    throw new MacroError('$__conditionalAll takes a condition and a variable.');
  }
  const chosen = valueOf(variable.replace(/^\$\{?|\}$/g, ''), variables);
  const kept = isAll(chosen) ? '1=1' : condition;
  return expandConditionalAll(sql.slice(0, at) + kept + sql.slice(call.end), variables);
}

function expandBackend(sql: string, range: MacroRange): string {
  let done = '';
  let rest = sql;
  for (let match = MACRO.exec(rest); match !== null; match = MACRO.exec(rest)) {
    const { text, end } = expandOne(rest, match.index, { name: match[1] ?? '', range });
    done += rest.slice(0, match.index) + text;
    rest = rest.slice(end);
  }
  return done + rest;
}

function expandOne(sql: string, at: number, { name, range }: { name: string; range: MacroRange }) {
  const macro = Object.hasOwn(backendMacros, name) ? backendMacros[name] : undefined;
  if (macro === undefined) throw new MacroError(`There is no macro $__${name}.`);
  const open = at + 3 + name.length;
  const call = sql.charAt(open) === '(' ? readArguments(sql, open) : undefined;
  const args = (call?.args ?? []).filter((arg) => arg !== '');
  if (args.length !== macro.arity) {
    throw new MacroError(`$__${name} takes ${macro.arity} argument(s), not ${args.length}.`);
  }
  const inner = args.map((arg) => expandBackend(arg, range));
  return { text: macro.expand(range, ...inner), end: call?.end ?? open };
}

function expandVariables(sql: string, variables: VariableValues): string {
  return sql.replace(
    VARIABLE,
    (_whole, braced: string | undefined, format: string | undefined, bare: string | undefined) => {
      const name = braced ?? bare ?? '';
      return formatted({ name, value: valueOf(name, variables), format });
    },
  );
}

function valueOf(name: string, variables: VariableValues): readonly string[] {
  const value = Object.hasOwn(variables, name) ? variables[name] : undefined;
  if (value === undefined) throw new MacroError(`The variable ${name} has no value.`);
  return typeof value === 'object' ? value : [String(value)];
}

function isAll(values: readonly string[]): boolean {
  return values.length === 0 || values.every((value) => value === '') || values.includes(ALL);
}

/**
 * `:singlequote` gives quoted, escaped literals. The other formats stand in the SQL unquoted, so only words pass: a
 * value that could end a literal or begin a clause is refused instead.
 */
function formatted({
  name,
  value,
  format,
}: {
  name: string;
  value: readonly string[];
  format: string | undefined;
}): string {
  if (format === 'singlequote') return value.map(quoted).join(',');
  if (format !== undefined && format !== 'csv' && format !== 'raw') {
    throw new MacroError(`The format ${format} of the variable ${name} is not known.`);
  }
  const unsafe = value.find((word) => !PLAIN_WORD.test(word) || word.includes('--'));
  if (unsafe !== undefined) {
    throw new MacroError(
      `The value ${JSON.stringify(unsafe)} of ${name} may only be used with the format singlequote.`,
    );
  }
  return value.join(',');
}

/** A ClickHouse string literal. */
function quoted(value: string): string {
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
