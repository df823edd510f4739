/** What PostgreSQL and its driver report, as the product's own errors: one place that knows SQLSTATE codes. */
import { isPoolmeterError, messageOf, PoolmeterError, type ErrorCode } from '@poolmeter/domain';

/** What a caller may look at when a statement was refused: `error.details`. */
export interface SqlErrorDetails {
  /** Five characters, PostgreSQL's appendix A; absent when the server was not reached. */
  readonly sqlstate?: string;
  readonly constraint?: string;
  readonly table?: string;
  readonly column?: string;
}

interface Meaning {
  readonly code: ErrorCode;
  readonly retriable: boolean;
  readonly advice: string;
}

const unavailable = (advice: string): Meaning => ({
  code: 'dependency.unavailable',
  retriable: true,
  advice,
});
const invalid = (advice: string): Meaning => ({ code: 'input.invalid', retriable: false, advice });
const conflict = (advice: string): Meaning => ({ code: 'input.conflict', retriable: false, advice });

/** Exact states first; a state that is not here is looked up by its class (its first two characters). */
const meanings: Readonly<Record<string, Meaning>> = {
  '23502': invalid('A required value is missing'),
  '23503': conflict('It refers to something that does not exist, or something still refers to it'),
  '23505': conflict('It exists already'),
  '23514': invalid('A value is outside what the table allows'),
  '23P01': conflict('It overlaps something that exists already'),
  '25006': { code: 'storage.read_only', retriable: false, advice: 'PostgreSQL is read-only' },
  '40001': { code: 'input.conflict', retriable: true, advice: 'Another transaction changed the same rows' },
  '40P01': { code: 'input.conflict', retriable: true, advice: 'Two transactions waited for each other' },
  '53100': { code: 'storage.full', retriable: true, advice: 'The disk that PostgreSQL writes to is full' },
  '55P03': { code: 'timeout', retriable: true, advice: 'A lock was not free in time' },
  '57014': { code: 'timeout', retriable: true, advice: 'The statement took longer than its limit' },
  '57P01': unavailable('PostgreSQL is shutting down'),
  '57P02': unavailable('PostgreSQL crashed and is recovering'),
  '57P03': unavailable('PostgreSQL is starting'),
  '08': unavailable('The connection to PostgreSQL broke'),
  '22': invalid('A value does not fit its type'),
  '23': conflict('A constraint refused it'),
  '28': { code: 'dependency.refused', retriable: false, advice: 'PostgreSQL refused the user or password' },
  '3D': { code: 'dependency.refused', retriable: false, advice: 'The database does not exist' },
  '42501': { code: 'dependency.refused', retriable: false, advice: 'The PostgreSQL user may not do this' },
  '53': unavailable('PostgreSQL is out of a resource'),
  '57': unavailable('PostgreSQL ended the connection'),
  XX001: { code: 'storage.corrupt', retriable: false, advice: 'PostgreSQL found damaged data' },
  XX002: { code: 'storage.corrupt', retriable: false, advice: 'PostgreSQL found a damaged index' },
};

/** Codes of the driver and of the operating system for a server that cannot be talked to. */
const connectionFaults: ReadonlySet<string> = new Set([
  'CONNECT_TIMEOUT',
  'CONNECTION_CLOSED',
  'CONNECTION_DESTROYED',
  'CONNECTION_ENDED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPIPE',
  'ETIMEDOUT',
]);

/**
 * The error of a statement as a PoolmeterError. Retriable means that the same transaction may succeed later; after a
 * broken connection it is not known whether a COMMIT took effect, so what is retried must be idempotent.
 */
export function errorFromServer(fault: unknown): PoolmeterError {
  if (isPoolmeterError(fault)) return fault;
  const code = textOf(fault, 'code') ?? '';
  const message = messageOf(fault) || code;
  if (connectionFaults.has(code)) {
    return new PoolmeterError('dependency.unavailable', `PostgreSQL cannot be reached: ${message}.`, {
      retriable: true,
      cause: fault,
    });
  }
  if (!/^[0-9A-Z]{5}$/.test(code)) {
    return new PoolmeterError('internal', `A database call failed: ${message}.`, { cause: fault });
  }
  const meaning = meanings[code] ?? meanings[code.slice(0, 2)];
  return new PoolmeterError(meaning?.code ?? 'internal', sentence(meaning?.advice, message), {
    retriable: meaning?.retriable ?? false,
    details: detailsOf(fault, code),
    cause: fault,
  });
}

/** True for 40001 and 40P01: the server rolled the transaction back, so running it again is safe. */
export function isSerializationFailure(fault: unknown): boolean {
  const state = isPoolmeterError(fault) ? fault.details['sqlstate'] : undefined;
  return state === '40001' || state === '40P01';
}

function sentence(advice: string | undefined, message: string): string {
  const ended = message.endsWith('.') ? message : `${message}.`;
  return advice === undefined ? `PostgreSQL refused a statement: ${ended}` : `${advice}: ${ended}`;
}

function detailsOf(fault: unknown, sqlstate: string): Record<string, string> {
  const named = {
    constraint: textOf(fault, 'constraint_name'),
    table: textOf(fault, 'table_name'),
    column: textOf(fault, 'column_name'),
  };
  const present = Object.entries(named).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return { sqlstate, ...Object.fromEntries(present) };
}

function textOf(fault: unknown, field: string): string | undefined {
  if (typeof fault !== 'object' || fault === null) return undefined;
  const value = (fault as Record<string, unknown>)[field];
  return typeof value === 'string' && value !== '' ? value : undefined;
}
