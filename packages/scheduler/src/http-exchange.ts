/** One JSON request to a scheduler, in which everything that is not a good answer becomes an error. */
import { messageOf, PoolmeterError } from '@poolmeter/domain';
import type { z } from 'zod';
import { openRequest, type TlsFiles } from './open-request.js';

export interface OutgoingRequest {
  readonly method: string;
  readonly url: URL;
  /** Empty when there is none. */
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface ExchangeTarget {
  /** What answers, for messages: `simulator scheduler`. */
  readonly name: string;
  readonly baseUrl: string;
  /** Sent as a bearer token. */
  readonly token?: string | undefined;
  /** Sent with every request; called for each, because tokens expire and signatures cover the request. */
  readonly headers?: (request: OutgoingRequest) => Promise<Readonly<Record<string, string>>>;
  readonly timeoutMs: number;
  /** A local socket to connect to instead of the host of the URL. */
  readonly socketPath?: string | undefined;
  readonly tls?: TlsFiles | undefined;
  /** Finds the scheduler's own words in the body of a failure. */
  readonly wordsOfFailure?: (body: string) => string | undefined;
}

export interface ExchangeRequest<S extends z.ZodType> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH';
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal | undefined;
  readonly answer: S;
}

/** More than the answer about 50,000 waiting jobs (Slurm writes about 2 kB for each); an endless one is cut off. */
const MAX_BODY_BYTES = 256 * 1024 * 1024;
const SHOWN_CHARACTERS = 200;

export async function exchange<S extends z.ZodType>(
  target: ExchangeTarget,
  request: ExchangeRequest<S>,
): Promise<z.output<S>> {
  const url = new URL(request.path, target.baseUrl.endsWith('/') ? target.baseUrl : `${target.baseUrl}/`);
  const deadline = AbortSignal.timeout(target.timeoutMs);
  const signal = request.signal === undefined ? deadline : AbortSignal.any([request.signal, deadline]);
  const body = request.body === undefined ? '' : JSON.stringify(request.body);
  const outgoing = { method: request.method, url, body, headers: request.headers ?? {} };
  const headers = { ...(await target.headers?.(outgoing)), ...request.headers };
  const { status, text } = await send(target, { ...outgoing, headers, signal, deadline });
  if (status < 200 || status > 299) throw statusFault(target, { status, text });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    const shown = text === '' ? 'nothing' : `"${text.slice(0, SHOWN_CHARACTERS)}"`;
    throw malformed(target, `it answered ${shown}, which is not JSON`, cause);
  }
  const parsed = request.answer.safeParse(json, { reportInput: false });
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues
    .slice(0, 5)
    .map((issue) => `${issue.path.join('.') || 'the answer'}: ${issue.message}`);
  throw malformed(target, faults.join('; '), parsed.error);
}

interface Sent extends OutgoingRequest {
  readonly signal: AbortSignal;
  readonly deadline: AbortSignal;
}

async function send(target: ExchangeTarget, sent: Sent): Promise<{ status: number; text: string }> {
  const headers: Record<string, string> = { accept: 'application/json' };
  if (target.token !== undefined) headers['authorization'] = `Bearer ${target.token}`;
  if (sent.body !== '') headers['content-type'] = 'application/json';
  Object.assign(headers, sent.headers);
  try {
    const response = await openRequest(sent.url, {
      method: sent.method,
      headers,
      body: sent.body === '' ? undefined : sent.body,
      signal: sent.signal,
      socketPath: target.socketPath,
      tls: target.tls,
    });
    return { status: response.statusCode ?? 0, text: await readLimited(target, response) };
  } catch (cause) {
    if (cause instanceof PoolmeterError) throw cause;
    if (sent.deadline.aborted) {
      throw new PoolmeterError(
        'timeout',
        `The ${target.name} at ${placeOf(target, sent.url)} did not answer within ${target.timeoutMs} ms.`,
        { retriable: true, cause },
      );
    }
    // The caller's own abort is the caller's to tell.
    if (sent.signal.aborted) throw sent.signal.reason;
    throw new PoolmeterError(
      'dependency.unavailable',
      `The ${target.name} at ${placeOf(target, sent.url)} cannot be reached: ${messageOf(cause)}.`,
      { retriable: true, cause },
    );
  }
}

function placeOf(target: ExchangeTarget, url: URL): string {
  return target.socketPath ?? url.origin;
}

async function readLimited(target: ExchangeTarget, response: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response) {
    size += chunk.byteLength;
    if (size > MAX_BODY_BYTES) throw malformed(target, `its answer is longer than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function malformed(target: ExchangeTarget, fault: string, cause?: unknown): PoolmeterError {
  return new PoolmeterError('wire.malformed', `The ${target.name} gave no usable answer: ${fault}.`, {
    retriable: true,
    cause,
  });
}

function statusFault(target: ExchangeTarget, answer: { status: number; text: string }): PoolmeterError {
  const { status, text } = answer;
  const words = target.wordsOfFailure?.(text) ?? text.slice(0, SHOWN_CHARACTERS);
  const message = `The ${target.name} answered ${status}: ${words}`;
  const details = { status };
  if (status === 401) return new PoolmeterError('unauthorized', message, { details });
  if (status === 403) return new PoolmeterError('forbidden', message, { details });
  if (status === 404) return new PoolmeterError('not_found', message, { details });
  if (status === 409) return new PoolmeterError('input.conflict', message, { details });
  // A redirect is not followed: what stands elsewhere was not configured.
  if (status >= 500 || status === 429 || status < 400) {
    return new PoolmeterError('dependency.unavailable', message, { retriable: true, details });
  }
  return new PoolmeterError('dependency.refused', message, { details });
}
