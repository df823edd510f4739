/** Rows as RFC 4180 text that a spreadsheet opens without running anything in it. */

/** A plain number keeps its sign: `-12.34` is an amount, `-cmd` is the start of a formula. */
const NUMBER = /^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$/;
const FORMULA_START = /^[=+\-@\t\r]/;

/**
 * CSV with a header line and CRLF ends. Objects one level down become columns (`total_amount`, `total_currency`),
 * lists become JSON text, null is empty. Without `columns`, all keys in the order of their first appearance.
 */
export function toCsv(rows: readonly object[], columns?: readonly string[]): string {
  const flat = rows.map(flatten);
  const names = columns ?? [...new Set(flat.flatMap((row) => [...row.keys()]))];
  const lines = [names.map(cell), ...flat.map((row) => names.map((name) => cell(row.get(name))))];
  return lines.map((line) => `${line.join(',')}\r\n`).join('');
}

function flatten(row: object): Map<string, unknown> {
  const flat = new Map<string, unknown>();
  for (const [key, value] of Object.entries(row) as [string, unknown][]) {
    const inner = plainObject(value);
    if (inner === undefined) flat.set(key, value);
    else for (const [name, part] of Object.entries(inner)) flat.set(`${key}_${name}`, part);
  }
  return flat;
}

/** The JSON form of an object that is neither a list nor a date; Money and its like say themselves what that is. */
function plainObject(value: unknown): Record<string, unknown> | undefined {
  if (value === null || typeof value !== 'object' || Array.isArray(value) || value instanceof Date)
    return undefined;
  const json =
    'toJSON' in value && typeof value.toJSON === 'function' ? (value.toJSON as () => unknown)() : value;
  return json !== null && typeof json === 'object' ? (json as Record<string, unknown>) : undefined;
}

function cell(value: unknown): string {
  const text = textOf(value);
  // OWASP: a leading apostrophe makes a spreadsheet take the cell as text.
  const safe = FORMULA_START.test(text) && !NUMBER.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function textOf(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'string') return value;
  if (value instanceof Date) return value.toISOString();
  return typeof value === 'bigint' ? value.toString() : JSON.stringify(value);
}
