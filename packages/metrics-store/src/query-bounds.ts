/** What a query may cost, and how long a stretch of time it may ask a table for. Every named query has both. */
import { formatDurationMs } from '@poolmeter/service';
import { PoolmeterError } from '@poolmeter/domain';

/** The names of the two parameters that hold a range: epoch milliseconds, from inclusive to exclusive. */
export interface RangeParameters {
  readonly from: string;
  readonly to: string;
}

export interface QueryBounds {
  /** The server stops the query after this long. */
  readonly maxExecutionS: number;
  /** The query is refused by the server once it has read more rows than this. */
  readonly maxRowsToRead: number;
  /** What the query may allocate on the server. */
  readonly maxMemoryBytes: number;
  /** The range that it takes, and the longest one that its tables should be asked for; undefined where it takes none. */
  readonly range: (RangeParameters & { readonly maxMs: number }) | undefined;
}

/** What a definition may say itself, where the bounds of its tables do not fit. */
export type StatedBounds = Partial<Omit<QueryBounds, 'range'>> & { readonly maxRangeMs?: number };

const DAY_MS = 86_400_000;

/** Longest ranges by table, the finest first. Each is a little longer than what the table keeps unless told otherwise. */
const LONGEST_RANGE_MS: readonly (readonly [pattern: RegExp, ms: number])[] = [
  [/\bgpu_samples\b/, 100 * DAY_MS],
  [/\bgpu_samples_1m\b/, 800 * DAY_MS],
];
const LONGEST_RANGE_OF_OTHERS_MS = 7_320 * DAY_MS;

const DEFAULTS = { maxExecutionS: 60, maxRowsToRead: 5_000_000_000, maxMemoryBytes: 4_000_000_000 };

const RANGES: readonly RangeParameters[] = [
  { from: 'from_ms', to: 'to_ms' },
  { from: 'since_ms', to: 'until_ms' },
];

/** The bounds that follow from what a query reads, with those that it states itself in their place. */
export function boundsOf(sql: string, stated: StatedBounds = {}): QueryBounds {
  const { maxRangeMs, ...costs } = stated;
  const parameters = RANGES.find(({ from, to }) => takes(sql, from) && takes(sql, to));
  const maxMs = maxRangeMs ?? longestRangeMs(sql);
  return { ...DEFAULTS, ...costs, range: parameters === undefined ? undefined : { ...parameters, maxMs } };
}

function takes(sql: string, parameter: string): boolean {
  return sql.includes(`{${parameter}:`);
}

/** The finest table that is read decides. */
function longestRangeMs(sql: string): number {
  return LONGEST_RANGE_MS.find(([pattern]) => pattern.test(sql))?.[1] ?? LONGEST_RANGE_OF_OTHERS_MS;
}

/** Refuses a range that ends before it begins or is longer than its tables should be asked for. */
export function checkRange(name: string, range: QueryBounds['range'], parameters: unknown): void {
  if (range === undefined) return;
  const values = parameters as Readonly<Record<string, unknown>>;
  const from = Number(values[range.from]);
  const to = Number(values[range.to]);
  if (to - from <= range.maxMs) return;
  throw new PoolmeterError(
    'input.invalid',
    `${name} may be asked for ${formatDurationMs(range.maxMs)} at most, not ${Math.ceil((to - from) / DAY_MS)} days: ask for a shorter range or a larger step.`,
    { details: { query: name, max_range_ms: range.maxMs, from_ms: from, to_ms: to } },
  );
}
