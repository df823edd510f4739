/** How a person's browser gets in: a one-time link from the terminal, or a token typed into a form. */
import { PoolmeterError, type Clock } from '@poolmeter/domain';
import { Hono, type Context } from 'hono';
import { deleteCookie, getCookie, setCookie } from 'hono/cookie';
import type { Kysely } from 'kysely';
import type { AccessDatabase } from './access-database.js';
import type { ApiEnv } from './api-env.js';
import type { TokenVerifier } from './principal.js';
import { hashOfSecret, newSecret } from './token-store.js';

export const SESSION_COOKIE = 'poolmeter_session';

export interface SignInOptions {
  readonly db: Kysely<AccessDatabase>;
  readonly clock: Clock;
  readonly tokens: TokenVerifier;
  /** How long a link is good, in milliseconds; 15 minutes when absent. */
  readonly codeMs?: number;
  /** How long a browser stays signed in, in milliseconds; 7 days when absent. */
  readonly sessionMs?: number;
  /** True where the console is served over https only: then the cookie never travels without it. */
  readonly secureCookie?: boolean;
}

export interface SignIn {
  /** A path with a code that works once, such as `/sign-in?code=pmc_…`; it signs in as this token. */
  createLink(tokenId: string): Promise<string>;
  /** The session that a code or a token gives; undefined when it is unknown, used, expired or revoked. */
  redeemCode(code: string): Promise<string | undefined>;
  redeemToken(token: string): Promise<string | undefined>;
  endSession(session: string): Promise<void>;
  /** `GET` and `POST /sign-in`, `POST /sign-out`. */
  readonly routes: Hono<ApiEnv>;
}

const CODE_MS = 15 * 60_000;
const SESSION_MS = 7 * 86_400_000;

export function createSignIn(options: SignInOptions): SignIn {
  const { db, clock } = options;
  const actions = {
    async createLink(tokenId: string) {
      const code = newSecret('pmc_');
      const expiresAt = new Date(clock.now() + (options.codeMs ?? CODE_MS));
      await db
        .insertInto('access.sign_in_codes')
        .values({ code_hash: hashOfSecret(code), token_id: tokenId, expires_at: expiresAt, used_at: null })
        .execute();
      return `/sign-in?code=${code}`;
    },
    async redeemCode(code: string) {
      const now = new Date(clock.now());
      // One statement, so that two browsers with the same link cannot both win.
      const used = await db
        .updateTable('access.sign_in_codes')
        .set({ used_at: now })
        .where('code_hash', '=', hashOfSecret(code))
        .where('used_at', 'is', null)
        .where('expires_at', '>', now)
        .returning('token_id')
        .executeTakeFirst();
      return used === undefined ? undefined : openSession(options, used.token_id);
    },
    async redeemToken(token: string) {
      const principal = await options.tokens.verify(token);
      return principal === undefined ? undefined : openSession(options, principal.tokenId);
    },
    async endSession(session: string) {
      await db.deleteFrom('access.sessions').where('session_hash', '=', hashOfSecret(session)).execute();
    },
  };
  return { ...actions, routes: signInRoutes(actions, options) };
}

async function openSession(options: SignInOptions, tokenId: string): Promise<string> {
  const session = newSecret('pms_');
  const now = options.clock.now();
  await options.db.deleteFrom('access.sessions').where('expires_at', '<=', new Date(now)).execute();
  await options.db
    .insertInto('access.sessions')
    .values({
      session_hash: hashOfSecret(session),
      token_id: tokenId,
      created_at: new Date(now),
      expires_at: new Date(now + (options.sessionMs ?? SESSION_MS)),
    })
    .execute();
  return session;
}

type SignInActions = Omit<SignIn, 'routes'>;

function signInRoutes(actions: SignInActions, options: SignInOptions): Hono<ApiEnv> {
  const routes = new Hono<ApiEnv>();
  routes.get('/sign-in', async (c) => {
    const code = c.req.query('code');
    if (code === undefined) return c.html(formPage(''));
    const session = await actions.redeemCode(code);
    return session === undefined
      ? c.html(formPage('This link was used or is too old.'), 401)
      : enter(c, session, options);
  });
  routes.post('/sign-in', async (c) => {
    const { token } = await c.req.parseBody();
    const session = typeof token === 'string' ? await actions.redeemToken(token.trim()) : undefined;
    return session === undefined
      ? c.html(formPage('This token is unknown or revoked.'), 401)
      : enter(c, session, options);
  });
  routes.post('/sign-out', async (c) => {
    refuseOtherSites(c);
    const session = getCookie(c, SESSION_COOKIE);
    if (session !== undefined) await actions.endSession(session);
    deleteCookie(c, SESSION_COOKIE, { path: '/' });
    return c.html(formPage('Signed out.'));
  });
  return routes;
}

/** A page that goes on by itself. A redirect would lose the strict cookie when the link was clicked on another site. */
function enter(c: Context, session: string, options: SignInOptions): Response {
  setCookie(c, SESSION_COOKIE, session, {
    path: '/',
    httpOnly: true,
    sameSite: 'Strict',
    secure: options.secureCookie ?? false,
    maxAge: Math.floor((options.sessionMs ?? SESSION_MS) / 1_000),
  });
  c.header('cache-control', 'no-store');
  c.header('refresh', '0; url=/');
  return c.body('<!doctype html><title>poolmeter</title><p>Signed in. <a href="/">Go on</a></p>', 200, {
    'content-type': 'text/html; charset=utf-8',
  });
}

function formPage(note: string): string {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>poolmeter: sign in</title>
<body style="font:16px system-ui;max-width:30rem;margin:15vh auto;padding:0 1rem">
<h1 style="font-size:1.3rem">Sign in to poolmeter</h1><p role="status">${note}</p>
<form method="post" action="/sign-in"><label>API token <input name="token" type="password" required
 autocomplete="current-password" style="width:100%;font:inherit"></label> <button style="font:inherit">Sign in</button></form>
<p><small>poolmeter prints a one-time link when it starts; <code>poolmeter tokens create</code> makes a token.</small></p></html>`;
}

/** A cookie is sent by the browser on its own, so a change is accepted only from our own pages. */
export function refuseOtherSites(c: Context): void {
  const origin = c.req.header('origin');
  const host = c.req.header('host') ?? new URL(c.req.url).host;
  if (origin === undefined || (URL.canParse(origin) && new URL(origin).host === host)) return;
  throw new PoolmeterError('forbidden', 'This request comes from another site.');
}
