/**
 * The macros that the ClickHouse plugin expands on the server side, in their documented meaning. Instants become
 * numbers, so nothing that a user typed can pass through them.
 */

export interface MacroRange {
  /** Start of the time range, milliseconds since the epoch. */
  readonly fromMs: number;
  /** End of the time range, milliseconds since the epoch; the filters include it. */
  readonly toMs: number;
  /** Distance of the points that the panel asks for. */
  readonly intervalMs: number;
}

interface BackendMacro {
  /** Number of arguments; 0 = written without brackets, or with empty ones. */
  readonly arity: number;
  readonly expand: (range: MacroRange, ...args: string[]) => string;
}

const second = (ms: number) => `toDateTime(${Math.floor(ms / 1000)})`;
const millisecond = (ms: number) => `fromUnixTimestamp64Milli(${Math.trunc(ms)})`;
const day = (ms: number) => `toDate('${new Date(ms).toISOString().slice(0, 10)}')`;
const stepSeconds = (range: MacroRange) => Math.max(Math.trunc(range.intervalMs / 1000), 1);
const stepMs = (range: MacroRange) => Math.max(Math.trunc(range.intervalMs), 1);

function within(column: string, { fromMs, toMs }: MacroRange, literal: (ms: number) => string): string {
  return `${column} >= ${literal(fromMs)} AND ${column} <= ${literal(toMs)}`;
}

const dateTimeFilter: BackendMacro = {
  arity: 2,
  expand: (range, date = '', time = '') =>
    `(${within(date, range, day)}) AND (${within(time, range, second)})`,
};

export const backendMacros: Readonly<Record<string, BackendMacro>> = {
  timeFilter: { arity: 1, expand: (range, column = '') => within(column, range, second) },
  timeFilter_ms: { arity: 1, expand: (range, column = '') => within(column, range, millisecond) },
  dateFilter: { arity: 1, expand: (range, column = '') => within(column, range, day) },
  dateTimeFilter,
  dt: dateTimeFilter,
  timeInterval: {
    arity: 1,
    expand: (range, column = '') =>
      `toStartOfInterval(toDateTime(${column}), INTERVAL ${stepSeconds(range)} second)`,
  },
  timeInterval_ms: {
    arity: 1,
    expand: (range, column = '') =>
      `toStartOfInterval(toDateTime64(${column}, 3), INTERVAL ${stepMs(range)} millisecond)`,
  },
  interval_s: { arity: 0, expand: (range) => String(stepSeconds(range)) },
  fromTime: { arity: 0, expand: ({ fromMs }) => second(fromMs) },
  toTime: { arity: 0, expand: ({ toMs }) => second(toMs) },
  fromTime_ms: { arity: 0, expand: ({ fromMs }) => millisecond(fromMs) },
  toTime_ms: { arity: 0, expand: ({ toMs }) => millisecond(toMs) },
  timeFrom: {
    arity: 1,
    expand: ({ fromMs }, column = '') => `${column} >= '${new Date(fromMs).toISOString()}'`,
  },
  timeTo: { arity: 1, expand: ({ toMs }, column = '') => `${column} <= '${new Date(toMs).toISOString()}'` },
};

/** Macros that only the browser expands: an alert rule, which runs without one, must not use them. */
export const frontendMacros = [
  'conditionalAll',
  'adHocFilters',
  'from',
  'to',
  'interval',
  'interval_ms',
] as const;
