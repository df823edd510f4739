/** Finds out who is calling, before anything else runs under `/v1`. */
import { PoolmeterError } from '@poolmeter/domain';
import { getCookie } from 'hono/cookie';
import { createMiddleware } from 'hono/factory';
import type { Context, MiddlewareHandler } from 'hono';
import type { ApiEnv } from './api-env.js';
import type { Principal, TokenVerifier } from './principal.js';
import { refuseOtherSites, SESSION_COOKIE } from './sign-in.js';

const READING = ['GET', 'HEAD', 'OPTIONS'];

/** Sets `principal` from the bearer token, or from the console's session cookie when there is no such header. */
export function authenticate(tokens: TokenVerifier): MiddlewareHandler<ApiEnv> {
  return createMiddleware<ApiEnv>(async (c, next) => {
    const principal = await principalOf(c, tokens);
    if (principal === undefined) {
      throw new PoolmeterError(
        'unauthorized',
        'Send a valid API token as "Authorization: Bearer pm_…"; `poolmeter tokens create` makes one.',
      );
    }
    c.set('principal', principal);
    c.set('logger', c.get('logger').child({ token_id: principal.tokenId }));
    await next();
  });
}

async function principalOf(c: Context<ApiEnv>, tokens: TokenVerifier): Promise<Principal | undefined> {
  const header = c.req.header('authorization');
  if (header !== undefined) {
    const [, token] = /^Bearer ([\x21-\x7e]{1,4096})$/i.exec(header) ?? [];
    return token === undefined ? undefined : tokens.verify(token);
  }
  const session = getCookie(c, SESSION_COOKIE);
  if (session === undefined || tokens.verifySession === undefined) return undefined;
  if (!READING.includes(c.req.method)) refuseOtherSites(c);
  return tokens.verifySession(session);
}
