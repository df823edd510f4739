/** Colours that keep their contrast on both backgrounds; the names are Grafana's. */

const NAMED: Readonly<Record<string, string>> = {
  green: 'var(--green)',
  red: 'var(--red)',
  orange: 'var(--orange)',
  yellow: 'var(--yellow)',
  blue: 'var(--blue)',
  purple: 'var(--purple)',
  gray: 'var(--quiet)',
  grey: 'var(--quiet)',
  text: 'var(--ink)',
  transparent: 'var(--ink)',
};

/** A CSS colour for a colour of a board: a name with or without its shade, or a hex value. */
export function cssColor(name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  if (name.startsWith('#')) return name;
  return NAMED[name.replace(/^(?:super-light|light|semi-dark|dark)-/, '')];
}

/** Told apart by people who do not see red or green, too. */
const SERIES = [
  '#4e9de6',
  '#e69f00',
  '#3fb68b',
  '#d56fa8',
  '#b5a51d',
  '#8f7ee7',
  '#e0693e',
  '#56b4c9',
  '#8a9aa9',
  '#a9745b',
];

export function seriesColor(index: number): string {
  return SERIES[index % SERIES.length] ?? '#4e9de6';
}

/** A drawing surface knows no variables: the value that one has now. */
export function resolvedColor(color: string): string {
  const [, name] = /^var\((--[a-z-]+)\)$/.exec(color) ?? [];
  return name === undefined
    ? color
    : getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
