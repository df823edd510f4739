/** Errors as RFC 9457 problem documents. This is the only place where an error code meets an HTTP status. */
import { z } from '@hono/zod-openapi';
import { isPoolmeterError, PoolmeterError, type ErrorCode } from '@poolmeter/domain';
import type { Context, ErrorHandler } from 'hono';
import { HTTPException } from 'hono/http-exception';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { ApiEnv } from './api-env.js';

interface CodeMeaning {
  readonly status: ContentfulStatusCode;
  readonly title: string;
}

const ours = (status: 500 | 502 | 503 | 504, title: string): CodeMeaning => ({ status, title });

/** Every code that can leave the API, with its status and its title; `/docs` lists them. */
export const codeMeanings: Readonly<Record<ErrorCode, CodeMeaning>> = {
  'config.invalid': ours(500, 'Wrong configuration'),
  'input.invalid': { status: 400, title: 'Wrong input' },
  'input.conflict': { status: 409, title: 'Conflict with what is already there' },
  'input.too_large': { status: 413, title: 'Too large' },
  'input.unsupported_type': { status: 415, title: 'Unsupported media type' },
  not_found: { status: 404, title: 'Not found' },
  unauthorized: { status: 401, title: 'No valid token' },
  forbidden: { status: 403, title: 'Not allowed' },
  method_not_allowed: { status: 405, title: 'Method not allowed' },
  rate_limited: { status: 429, title: 'Too many requests' },
  precondition_failed: { status: 412, title: 'Changed in the meantime' },
  precondition_required: { status: 428, title: 'If-Match is required' },
  'dependency.unavailable': ours(503, 'A dependency does not answer'),
  'dependency.refused': ours(502, 'A dependency refused'),
  'storage.full': ours(503, 'Storage is full'),
  'storage.read_only': ours(503, 'Storage is read-only'),
  'storage.corrupt': ours(500, 'Storage is damaged'),
  'storage.locked': ours(503, 'Storage is locked'),
  'port.in_use': ours(500, 'Port in use'),
  'wire.malformed': { status: 400, title: 'Malformed message' },
  'wire.unknown_schema': { status: 400, title: 'Unknown message schema' },
  'scrape.failed': ours(502, 'Scrape failed'),
  'scrape.timeout': ours(504, 'Scrape timed out'),
  'scrape.unparsable': ours(502, 'Scrape cannot be read'),
  'bus.rejected': ours(503, 'The event bus refused'),
  'bus.closed': ours(503, 'The event bus is closed'),
  'price.missing': { status: 422, title: 'A price is missing' },
  'lease.overlap': { status: 409, title: 'The GPU is leased already' },
  'lease.unknown': { status: 404, title: 'Unknown lease' },
  'invoice.state': { status: 409, title: 'Not possible in this state of the invoice' },
  'invoice.held': { status: 409, title: 'The invoice is held' },
  'ledger.unbalanced': ours(500, 'The ledger does not balance'),
  'decision.refused': { status: 409, title: 'The decision was refused' },
  timeout: ours(504, 'Timed out'),
  internal: ours(500, 'Something failed on our side'),
};

/** One fault of the input and where it is: `body.items.0.share`, `query.limit`. */
export interface InputFault {
  readonly path: string;
  readonly message: string;
}

/** The problem document, for `responses` of a route. */
export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.string(),
    detail: z.string(),
    instance: z.string(),
    request_id: z.string(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
    details: z.record(z.string(), z.unknown()).optional(),
  })
  .openapi('Problem');

/** Wrong input with every fault and its place. */
export function inputFault(faults: readonly InputFault[]): PoolmeterError {
  const list = faults.map((fault) => (fault.path === '' ? fault.message : `${fault.path}: ${fault.message}`));
  return new PoolmeterError('input.invalid', `${list.join('; ')}.`.replace(/\.+$/, '.'), {
    details: { errors: faults },
  });
}

/** Input faults of a zod error; `where` is the part of the request that was checked. */
export function faultsOfZod(error: z.core.$ZodError, where: string): InputFault[] {
  return error.issues.map((issue) => ({
    path: [where, ...issue.path.map(String)].join('.'),
    message: issue.message,
  }));
}

/** Maps whatever was thrown to a problem document, and logs what is our fault. */
export const answerError: ErrorHandler<ApiEnv> = (thrown, c) => {
  const error = asPoolmeterError(thrown);
  const { status } = codeMeanings[error.code];
  if (status >= 500) c.get('logger').error({ err: thrown, code: error.code }, 'A request failed.');
  return problemResponse(c, error);
};

/** The response for one error. What is our fault is told in full to operators only: it may name hosts and files. */
export function problemResponse(c: Context<ApiEnv>, error: PoolmeterError): Response {
  const { status, title } = codeMeanings[error.code];
  const principal = c.get('principal') as ApiEnv['Variables']['principal'] | undefined;
  const open = status < 500 || (principal?.binding.kind === 'operator' && error.code !== 'internal');
  const { errors, retryAfterS, allow, ...details } = error.details;
  const body = {
    type: `/docs#${error.code}`,
    title,
    status,
    code: error.code,
    detail: open
      ? error.message
      : `${title}. Try again later, or report the request id ${c.get('requestId')}.`,
    instance: c.req.path,
    request_id: c.get('requestId'),
    ...(errors === undefined ? {} : { errors }),
    ...(open && Object.keys(details).length > 0 ? { details } : {}),
  };
  const headers = new Headers({ 'content-type': 'application/problem+json' });
  if (status === 401) headers.set('www-authenticate', 'Bearer realm="poolmeter"');
  if (typeof allow === 'string') headers.set('allow', allow);
  if (typeof retryAfterS === 'number') headers.set('retry-after', String(retryAfterS));
  else if (error.retriable && status === 503) headers.set('retry-after', '5');
  return new Response(JSON.stringify(body, bigintAsText), { status, headers });
}

function bigintAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}

function asPoolmeterError(thrown: unknown): PoolmeterError {
  if (isPoolmeterError(thrown)) return thrown;
  if (thrown instanceof HTTPException) return ofHttpException(thrown);
  return new PoolmeterError('internal', 'Something failed on our side.', { cause: thrown });
}

/** What Hono's own middleware throws: bodies that are no JSON, of an undeclared type, or too large. */
function ofHttpException(thrown: HTTPException): PoolmeterError {
  switch (thrown.status) {
    case 400:
      return inputFault([{ path: 'body', message: thrown.message }]);
    case 413:
      return new PoolmeterError('input.too_large', 'The body is larger than this server accepts.');
    case 415:
      return new PoolmeterError(
        'input.unsupported_type',
        'The Content-Type is not one that this address reads.',
      );
    default:
      return new PoolmeterError('internal', thrown.message, { cause: thrown });
  }
}
