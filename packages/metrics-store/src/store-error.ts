/** Turns what ClickHouse or the network says into a PoolmeterError whose `retriable` callers may trust. */
import { ClickHouseError } from '@clickhouse/client';
import { messageOf, PoolmeterError, type ErrorCode } from '@poolmeter/domain';

/**
 * Codes of ClickHouse after which the same request may succeed later: too busy, out of memory for now, a network or
 * coordination fault, a request that was cancelled while the server stopped.
 */
const RETRIABLE = new Set([
  3, 159, 160, 198, 202, 203, 209, 210, 212, 225, 236, 241, 242, 252, 279, 285, 286, 319, 372, 373, 394, 425,
  439, 473, 517, 999,
]);
/** NOT_ENOUGH_SPACE, and file faults that a full disk shows as. */
const NO_SPACE = new Set([243]);
const FILE_FAULT = new Set([74, 75, 76, 243, 1001, 1002]);
/** Authentication and access. */
const REFUSED = new Set([164, 192, 193, 194, 291, 492, 497, 516]);
/** The data does not fit the columns: trying again does not help. */
const MALFORMED = new Set([6, 26, 27, 32, 33, 38, 41, 53, 69, 70, 72, 117, 130, 131, 190, 321, 349, 691]);

const NETWORK = /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)$/;

export interface StoreAction {
  /** What was being done, for the sentence: `insert into gpu_samples_in`, `query gpu-list`. */
  readonly action: string;
  readonly url: string;
}

export function storeError(cause: unknown, context: StoreAction): PoolmeterError {
  if (cause instanceof PoolmeterError) return cause;
  if (cause instanceof ClickHouseError) return serverFault(cause, context);
  const details = { action: context.action, url: context.url };
  const networkCode = networkCodeOf(cause);
  if (networkCode !== undefined) {
    return new PoolmeterError(
      'dependency.unavailable',
      `ClickHouse at ${context.url} could not be reached to ${context.action} (${networkCode}): check that it runs.`,
      { retriable: true, details: { ...details, networkCode }, cause },
    );
  }
  if (/timeout/i.test(messageOf(cause))) {
    return new PoolmeterError('timeout', `ClickHouse did not ${context.action} in time.`, {
      retriable: true,
      details,
      cause,
    });
  }
  return new PoolmeterError(
    'dependency.refused',
    `ClickHouse could not ${context.action}: ${messageOf(cause)}`,
    {
      details,
      cause,
    },
  );
}

/** The server, or the client's pool of sockets, closed the connection under the request. */
export function isDroppedSocket(thrown: unknown): boolean {
  return ['ECONNRESET', 'EPIPE'].includes(networkCodeOf(thrown) ?? '');
}

/** The system's code of a socket fault, wherever in the chain of causes it stands. */
function networkCodeOf(thrown: unknown): string | undefined {
  for (let fault = thrown, depth = 0; fault instanceof Error && depth < 5; fault = fault.cause, depth += 1) {
    const { code } = fault as Error & { code?: unknown };
    if (typeof code === 'string' && NETWORK.test(code)) return code;
    if (/socket hang up|other side closed|aborted/i.test(fault.message)) return 'ECONNRESET';
  }
  return undefined;
}

function serverFault(fault: ClickHouseError, context: StoreAction): PoolmeterError {
  const clickhouseCode = Number(fault.code);
  const { code, retriable } = classify(clickhouseCode, fault.message);
  const advice = code === 'storage.full' ? ' Free some space on its disk.' : '';
  return new PoolmeterError(
    code,
    `ClickHouse could not ${context.action}: ${firstLine(fault.message)}${advice}`,
    {
      retriable,
      details: { action: context.action, url: context.url, clickhouseCode, clickhouseType: fault.type },
      cause: fault,
    },
  );
}

function classify(code: number, message: string): { code: ErrorCode; retriable: boolean } {
  const noSpace = /No space left|ENOSPC|Disk quota exceeded/i.test(message);
  if (NO_SPACE.has(code) || (FILE_FAULT.has(code) && noSpace))
    return { code: 'storage.full', retriable: true };
  if (FILE_FAULT.has(code) && /Read-only file system|EROFS/i.test(message)) {
    return { code: 'storage.read_only', retriable: true };
  }
  if (RETRIABLE.has(code)) {
    return { code: code === 159 ? 'timeout' : 'dependency.unavailable', retriable: true };
  }
  if (REFUSED.has(code)) return { code: 'dependency.refused', retriable: false };
  if (MALFORMED.has(code)) return { code: 'wire.malformed', retriable: false };
  return { code: 'dependency.refused', retriable: false };
}

function firstLine(message: string): string {
  return message.split('\n', 1)[0]?.slice(0, 1_000) ?? message;
}
