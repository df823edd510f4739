/** One JSON request to a scheduler, in which everything that is not a good answer becomes an error. */
import { messageOf, PoolmeterError } from '@poolmeter/domain';
import type { z } from 'zod';

export interface ExchangeTarget {
  /** What answers, for messages: `simulator scheduler`. */
  readonly name: string;
  readonly baseUrl: string;
  readonly token: string | undefined;
  readonly timeoutMs: number;
}

export interface ExchangeRequest<S extends z.ZodType> {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal | undefined;
  readonly answer: S;
}

/** More than the largest pool's answer; an endless one is cut off. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;
const SHOWN_CHARACTERS = 200;

export async function exchange<S extends z.ZodType>(
  target: ExchangeTarget,
  request: ExchangeRequest<S>,
): Promise<z.output<S>> {
  const url = new URL(request.path, target.baseUrl.endsWith('/') ? target.baseUrl : `${target.baseUrl}/`);
  const deadline = AbortSignal.timeout(target.timeoutMs);
  const signal = request.signal === undefined ? deadline : AbortSignal.any([request.signal, deadline]);
  const { status, text } = await send(target, { ...request, url, signal, deadline });
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

interface Sent {
  readonly method: string;
  readonly url: URL;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly deadline: AbortSignal;
}

async function send(target: ExchangeTarget, sent: Sent): Promise<{ status: number; text: string }> {
  const headers: Record<string, string> = { accept: 'application/json', ...sent.headers };
  if (target.token !== undefined) headers['authorization'] = `Bearer ${target.token}`;
  if (sent.body !== undefined) headers['content-type'] = 'application/json';
  const body = sent.body === undefined ? {} : { body: JSON.stringify(sent.body) };
  try {
    const response = await fetch(sent.url, {
      method: sent.method,
      headers,
      ...body,
      signal: sent.signal,
      redirect: 'error',
    });
    return { status: response.status, text: await readLimited(target, response) };
  } catch (cause) {
    if (cause instanceof PoolmeterError) throw cause;
    if (sent.deadline.aborted) {
      throw new PoolmeterError(
        'timeout',
        `The ${target.name} at ${sent.url.origin} did not answer within ${target.timeoutMs} ms.`,
        { retriable: true, cause },
      );
    }
    // The caller's own abort is the caller's to tell.
    if (sent.signal.aborted) throw cause;
    const reason = cause instanceof Error && cause.cause !== undefined ? cause.cause : cause;
    throw new PoolmeterError(
      'dependency.unavailable',
      `The ${target.name} at ${sent.url.origin} cannot be reached: ${messageOf(reason)}.`,
      { retriable: true, cause },
    );
  }
}

async function readLimited(target: ExchangeTarget, response: Response): Promise<string> {
  if (response.body === null) return '';
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
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
  const message = `The ${target.name} answered ${status}: ${text.slice(0, SHOWN_CHARACTERS)}`;
  const details = { status };
  if (status === 401) return new PoolmeterError('unauthorized', message, { details });
  if (status === 403) return new PoolmeterError('forbidden', message, { details });
  if (status === 404) return new PoolmeterError('not_found', message, { details });
  if (status === 409) return new PoolmeterError('input.conflict', message, { details });
  if (status >= 500 || status === 429) {
    return new PoolmeterError('dependency.unavailable', message, { retriable: true, details });
  }
  return new PoolmeterError('dependency.refused', message, { details });
}
