/**
 * The closed set of error codes. A code is what tests, metrics labels, problem+json bodies and exit codes agree on;
 * the message is for people and may change.
 */
export const errorCodes = [
  'config.invalid',
  'input.invalid',
  'input.conflict',
  'input.too_large',
  'input.unsupported_type',
  'not_found',
  'unauthorized',
  'forbidden',
  'method_not_allowed',
  'rate_limited',
  'precondition_failed',
  'precondition_required',
  'dependency.unavailable',
  'dependency.refused',
  'storage.full',
  'storage.read_only',
  'storage.corrupt',
  'storage.locked',
  'port.in_use',
  'wire.malformed',
  'wire.unknown_schema',
  'scrape.failed',
  'scrape.timeout',
  'scrape.unparsable',
  'bus.rejected',
  'bus.closed',
  'price.missing',
  'lease.overlap',
  'lease.unknown',
  'invoice.state',
  'invoice.held',
  'ledger.unbalanced',
  'decision.refused',
  'timeout',
  'internal',
] as const;

export type ErrorCode = (typeof errorCodes)[number];

export interface PoolmeterErrorOptions {
  /** True when the same call may succeed later without a change. */
  readonly retriable?: boolean;
  /** Values that help a person or a program: paths, ids, limits. Never secrets. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** An operating failure: one sentence that says what to do, and a stable code. */
export class PoolmeterError extends Error {
  override readonly name = 'PoolmeterError';
  readonly code: ErrorCode;
  readonly retriable: boolean;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: PoolmeterErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retriable = options.retriable ?? false;
    this.details = options.details ?? {};
  }
}

export function isPoolmeterError(value: unknown): value is PoolmeterError {
  return value instanceof PoolmeterError;
}

/** A broken invariant is a defect of ours, not of the input: the process should not go on with it. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) {
    throw new Error(`Invariant broken: ${message}`);
  }
}

/** The message of anything that was thrown, for logs and wrapped errors. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
