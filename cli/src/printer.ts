/** How answers look: JSON for programs, tables with borders on a terminal, plain columns in a pipe. */
import Table from 'cli-table3';
import type { Terminal } from './command-context.js';

export type Row = Readonly<Record<string, unknown>>;

export interface Column {
  readonly head: string;
  /** The field of that name when absent. */
  readonly value?: (row: Row) => unknown;
}

export interface Printer {
  readonly json: boolean;
  /** Any answer as it came. */
  value(value: unknown): void;
  table(rows: readonly Row[], columns: readonly Column[]): void;
  /** One object: its fields under one another. */
  fields(row: Row): void;
  lines(lines: readonly string[]): void;
  /** For a person who looks at a table; never part of machine-readable output. */
  note(sentence: string): void;
}

export function createPrinter(terminal: Terminal, json: boolean): Printer {
  const writeLine = (line: string) => {
    terminal.write(`${line}\n`);
  };
  return {
    json,
    value: (value) => {
      writeLine(JSON.stringify(value, null, 2));
    },
    table: (rows, columns) => {
      writeLine(tableText(rows, columns, terminal.isTerminal));
    },
    fields: (row) => {
      for (const line of fieldLines(row)) writeLine(line);
    },
    lines: (lines) => {
      for (const line of lines) writeLine(withoutControls(line));
    },
    note: (sentence) => {
      terminal.writeError(`${sentence}\n`);
    },
  };
}

/** Columns named after the fields that they show. */
export function columnsOf(...names: readonly string[]): Column[] {
  return names.map((head) => ({ head }));
}

const NO_BORDERS = Object.fromEntries(
  ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right']
    .concat(['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'])
    .map((part) => [part, '']),
);

export function tableText(rows: readonly Row[], columns: readonly Column[], bordered: boolean): string {
  const table = new Table({
    head: columns.map((column) => column.head),
    ...(bordered
      ? { style: { head: ['bold'] } }
      : { chars: NO_BORDERS, style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 } }),
  });
  for (const row of rows) {
    table.push(columns.map(({ head, value }) => cellText(value === undefined ? row[head] : value(row))));
  }
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

function fieldLines(row: Row): string[] {
  const width = Math.max(0, ...Object.keys(row).map((name) => name.length));
  return Object.entries(row).flatMap(([name, value]) => {
    const [first = '', ...more] = fieldText(value);
    return [`${name.padEnd(width)}  ${first}`, ...more.map((line) => `${' '.repeat(width)}  ${line}`)];
  });
}

/** A list of objects or of sentences stands below one another, everything else on one line. */
function fieldText(value: unknown): string[] {
  const long =
    Array.isArray(value) && value.some((one) => typeof one === 'object' || String(one).includes(' '));
  return long ? (value as unknown[]).map(cellText) : [cellText(value)];
}

/** One value in one line: money as `12.34 USD`, lists with commas, nothing as `-`. */
export function cellText(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-';
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.map(cellText).join(', ');
  if (typeof value === 'object') return objectText(value as Row);
  return withoutControls(typeof value === 'string' ? value : JSON.stringify(value));
}

function objectText(value: Row): string {
  const { amount, currency, ...others } = value;
  if (amount !== undefined && currency !== undefined && Object.keys(others).length === 0) {
    return `${cellText(amount)} ${cellText(currency)}`;
  }
  return Object.entries(value)
    .filter(([, inner]) => inner !== null && inner !== undefined && inner !== '')
    .map(([name, inner]) => `${name} ${cellText(inner)}`)
    .join(', ');
}

/** Names come from nodes and files of others: what a terminal would obey must not reach it. */
function withoutControls(text: string): string {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, ' ');
}
