/** The same POST twice is done once: the first answer is kept under the caller's `Idempotency-Key` and given again. */
import { createHash } from 'node:crypto';
import { PoolmeterError, type Clock } from '@poolmeter/domain';
import { createMiddleware } from 'hono/factory';
import type { Context, MiddlewareHandler } from 'hono';
import type { ApiEnv } from './api-env.js';
import { inputFault } from './problem.js';

/** An answer as it left, so that it can leave again byte for byte. */
export interface StoredAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

export interface KeyedRequest {
  readonly tokenId: string;
  readonly key: string;
  /** SHA-256 of method, address, content type and body. */
  readonly fingerprint: Uint8Array;
}

/** `mine`: do the work, then `keep` or `release`; `busy`: another request with this key is in hand. */
export type KeyClaim =
  | { readonly kind: 'mine' }
  | { readonly kind: 'busy' }
  | { readonly kind: 'different' }
  | { readonly kind: 'answered'; readonly answer: StoredAnswer };

export interface IdempotencyStore {
  /** Atomic: of any number of concurrent claims of one key, exactly one is `mine`. */
  claim(request: KeyedRequest): Promise<KeyClaim>;
  keep(request: KeyedRequest, answer: StoredAnswer): Promise<void>;
  /** Gives the key back because nothing was created. */
  release(request: KeyedRequest): Promise<void>;
}

export interface IdempotencyOptions {
  readonly store: IdempotencyStore;
  readonly clock: Clock;
  /** How long a repeat waits for the request in hand, in milliseconds, before it is told to come back; 2 s when absent. */
  readonly waitMs?: number;
}

const KEY = /^[\x21-\x7e]{1,255}$/;
const KEPT_HEADERS = ['content-type', 'location', 'etag'];
const POLL_MS = 50;

/**
 * For every POST with an `Idempotency-Key`. Only successful answers are kept: a refused request created nothing, so
 * its key may be used again once the input is mended.
 */
export function idempotent(options: IdempotencyOptions): MiddlewareHandler<ApiEnv> {
  return createMiddleware<ApiEnv>(async (c, next) => {
    const key = c.req.header('idempotency-key');
    if (c.req.method !== 'POST' || key === undefined) {
      await next();
      return undefined;
    }
    if (!KEY.test(key)) {
      throw inputFault([
        { path: 'header.idempotency-key', message: 'use 1 to 255 printable ASCII characters' },
      ]);
    }
    const request: KeyedRequest = {
      tokenId: c.get('principal').tokenId,
      key,
      fingerprint: await fingerprintOf(c),
    };
    const claim = await claimOrWait(request, options);
    if (claim.kind === 'answered') return replay(claim.answer);
    await next();
    // The work is done or refused by now, and its answer is true whether or not it can be remembered.
    await settle(c, request, options.store).catch((fault: unknown) => {
      c.get('logger').error({ err: fault, key }, 'The answer to a keyed request could not be kept.');
    });
    return undefined;
  });
}

async function settle(c: Context<ApiEnv>, request: KeyedRequest, store: IdempotencyStore): Promise<void> {
  if (c.res.status < 200 || c.res.status >= 300) {
    await store.release(request);
    return;
  }
  const body = new Uint8Array(await c.res.clone().arrayBuffer());
  const headers = KEPT_HEADERS.map((name) => [name, c.res.headers.get(name)]).filter(
    ([, value]) => value !== null,
  );
  await store.keep(request, {
    status: c.res.status,
    headers: Object.fromEntries(headers) as Record<string, string>,
    body,
  });
}

async function claimOrWait(
  request: KeyedRequest,
  options: IdempotencyOptions,
): Promise<Extract<KeyClaim, { kind: 'mine' | 'answered' }>> {
  const giveUpAt = options.clock.now() + (options.waitMs ?? 2_000);
  for (;;) {
    const claim = await options.store.claim(request);
    if (claim.kind === 'mine' || claim.kind === 'answered') return claim;
    if (claim.kind === 'different') {
      throw new PoolmeterError(
        'input.conflict',
        'This Idempotency-Key was used for another request: use a new key for a new request.',
        { details: { key: request.key } },
      );
    }
    if (options.clock.now() >= giveUpAt) {
      throw new PoolmeterError(
        'input.conflict',
        'The first request with this Idempotency-Key is still in hand: repeat it.',
        {
          retriable: true,
          details: { retryAfterS: 1 },
        },
      );
    }
    await options.clock.sleep(POLL_MS);
  }
}

function replay(answer: StoredAnswer): Response {
  const body = answer.status === 204 ? null : new Uint8Array(answer.body);
  return new Response(body, {
    status: answer.status,
    headers: { ...answer.headers, 'idempotency-replayed': 'true' },
  });
}

async function fingerprintOf(c: Context): Promise<Uint8Array> {
  const url = new URL(c.req.url);
  const body = new Uint8Array(await c.req.arrayBuffer());
  return createHash('sha256')
    .update(`${c.req.method} ${url.pathname}${url.search}\n${c.req.header('content-type') ?? ''}\n`)
    .update(body)
    .digest();
}
