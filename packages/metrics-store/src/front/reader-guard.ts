/**
 * What the read-only user may ask. The engine knows no users, so `readonly = 1` on the connection keeps it from writing
 * and from most table functions; this keeps it from the rest: functions that open files or addresses, and settings that
 * would lift its limits.
 */
import { readerLimits } from '../reader-user.js';
import { FrontError } from './clickhouse-error.js';
import { isCall, type PlainStatement, type Statement } from './statement.js';

const READ_WORDS = new Set(['SELECT', 'WITH', 'SHOW', 'DESCRIBE', 'DESC', 'EXISTS', 'EXPLAIN']);

/** Table functions that neither leave the database nor write. */
const HARMLESS_TABLE_FUNCTIONS = new Set([
  'format',
  'generate_series',
  'generateseries',
  'null',
  'numbers',
  'numbers_mt',
  'primes',
  'sqlstandardvalues',
  'values',
  'view',
  'viewexplain',
  'viewifpermitted',
  'zeros',
  'zeros_mt',
]);

/** Scalar functions that read files of the machine or look into the process. */
const REFUSED_FUNCTIONS = [
  'file',
  'catboostEvaluate',
  'addressToLine',
  'addressToLineWithInlines',
  'addressToSymbol',
];

/** Settings that a client may send: shapes of the answer, and limits, which are capped. */
const OPEN_SETTINGS =
  /^(output_format_\w+|format_csv_\w+|date_time_\w+_format|session_timezone|log_comment|max_block_size|extremes|join_use_nulls|final|result_overflow_mode|read_overflow_mode|timeout_overflow_mode|distributed_product_mode|allow_experimental_\w+|readonly|async_insert|wait_for_async_insert|send_progress_in_http_headers)$/;

/** The limits of the reader on a server; the engine counts no queries per user, and shares the machine with everything. */
const { max_concurrent_queries_for_user: _ofServersOnly, ...limits } = readerLimits;
const CAPPED_SETTINGS: Readonly<Record<string, number>> = { ...limits, max_threads: 4 };

export interface ReaderGuard {
  /** Throws unless the statement only reads tables. */
  checkStatement(statement: Statement): void;
  /** Settings as the reader gets them; throws at one that it may not change. */
  settings(asked: ReadonlyMap<string, string>): Map<string, string>;
}

/** `tableFunctions`: every table function that this engine has, so that a new one is refused until it is known. */
export function createReaderGuard(tableFunctions: readonly string[]): ReaderGuard {
  const refused = [...tableFunctions, ...REFUSED_FUNCTIONS]
    .map((name) => name.toUpperCase())
    .filter((name) => !HARMLESS_TABLE_FUNCTIONS.has(name.toLowerCase()));
  return {
    checkStatement: (statement) => {
      if (statement.kind === 'insert' || !READ_WORDS.has(statement.firstWord)) {
        throw new FrontError(164, 'READONLY', 'This user may only read');
      }
      refuseCalls(statement, refused);
    },
    settings: readerSettings,
  };
}

function refuseCalls(statement: PlainStatement, refused: readonly string[]): void {
  for (const index of statement.tokens.keys()) {
    const name = refused.find((candidate) => isCall(statement.tokens, index, candidate));
    if (name !== undefined) {
      throw new FrontError(497, 'ACCESS_DENIED', `This user may not call ${name.toLowerCase()}()`);
    }
  }
}

function readerSettings(asked: ReadonlyMap<string, string>): Map<string, string> {
  const allowed = new Map(Object.entries(CAPPED_SETTINGS).map(([name, cap]) => [name, String(cap)]));
  for (const [name, value] of asked) {
    const cap = CAPPED_SETTINGS[name];
    if (cap !== undefined) allowed.set(name, capped(value, cap));
    else if (OPEN_SETTINGS.test(name)) allowed.set(name, value);
    else throw new FrontError(164, 'READONLY', `This user may not change the setting ${name}`);
  }
  allowed.set('readonly', '1');
  return allowed;
}

/** 0 means "no limit", so it becomes the cap. */
function capped(value: string, cap: number): string {
  const wanted = Number(value);
  return String(wanted > 0 && wanted < cap ? wanted : cap);
}
