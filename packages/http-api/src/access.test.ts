import { createRoute, z } from '@hono/zod-openapi';
import { createIdSource, instantFromMs, ManualClock, PoolmeterError } from '@poolmeter/domain';
import {
  openRelationalStore,
  runMigrations,
  startEmbeddedPostgres,
  type RelationalStore,
} from '@poolmeter/relational-store';
import { createLogger } from '@poolmeter/service';
import { sql } from 'kysely';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  accessMigrations,
  accessRoutes,
  anyPrincipal,
  createApi,
  createIdempotencyStore,
  createRouter,
  createSignIn,
  createTokenStore,
  writeAudit,
  type AccessDatabase,
  type NewToken,
  type PostgresIdempotencyStore,
  type SignIn,
  type TokenStore,
} from './index.js';

const logger = createLogger({ service: 'test', level: 'silent' });
const clock = new ManualClock(instantFromMs(Date.parse('2026-03-01T00:00:00Z')));
const ids = createIdSource(clock);

let folder: string;
let server: Awaited<ReturnType<typeof startEmbeddedPostgres>>;
let store: RelationalStore<AccessDatabase>;
let tokens: TokenStore;
let keys: PostgresIdempotencyStore;
let signIn: SignIn;
let api: ReturnType<typeof createApi>;
let admin: { id: string; token: string };
let made: string[];
let gate: Promise<void> | undefined;

const asAdmin: NewToken = { name: 'admin', scopes: ['*'], binding: { kind: 'operator' } };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'poolmeter-access-'));
  server = await startEmbeddedPostgres({ dataDir: join(folder, 'pg'), logger });
  await runMigrations({ url: server.url, sets: [accessMigrations] });
  store = openRelationalStore<AccessDatabase>({
    url: server.url,
    applicationName: 'test',
    maxConnections: 8,
  });
  tokens = createTokenStore({ db: store.db, clock, ids });
  // Here waiting is real: two requests race for one key.
  keys = createIdempotencyStore({ db: store.db, clock });
  signIn = createSignIn({ db: store.db, clock, tokens });
  api = createApi({ logger, clock: waitingClock(), tokens, idempotency: keys });
  api.route('/', accessRoutes({ db: store.db, clock, ids }));
  api.route('/', signIn.routes);
  api.route('/', orderRoutes());
  admin = await tokens.create(asAdmin);
  made = [];
});

afterAll(async () => {
  await store.close();
  await server.stop();
  await rm(folder, { recursive: true });
});

/** Time that passes by itself, for the wait of a repeat. */
function waitingClock() {
  const from = performance.now();
  const now = () => instantFromMs(clock.now() + Math.round(performance.now() - from));
  return { now, sleep: (ms: number) => new Promise<void>((resolve) => void setTimeout(resolve, ms)) };
}

/** A route that creates: it counts what it made, and waits where a test wants to look in between. */
function orderRoutes() {
  const router = createRouter();
  const body = z.strictObject({ item: z.string() });
  const answer = z.object({ number: z.number(), item: z.string() });
  const route = createRoute({
    method: 'post',
    path: '/v1/orders',
    middleware: [anyPrincipal()],
    request: { body: { content: { 'application/json': { schema: body } } } },
    responses: { 201: { description: 'x', content: { 'application/json': { schema: answer } } } },
  });
  router.openapi(route, async (c) => {
    const { item } = c.req.valid('json');
    if (item === 'refused') throw new PoolmeterError('input.conflict', 'Sold out.');
    await gate;
    made.push(item);
    c.header('location', `/v1/orders/${made.length}`);
    return c.json({ number: made.length, item }, 201);
  });
  return router;
}

const call = (path: string, init: RequestInit = {}, token = admin.token) =>
  api.request(path, {
    ...init,
    headers: { authorization: `Bearer ${token}`, ...(init.headers as Record<string, string>) },
  });
const send = (path: string, body: unknown, headers: Record<string, string> = {}, token = admin.token) =>
  call(
    path,
    {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...headers },
    },
    token,
  );
const codeOf = async (answer: Response) => ((await answer.json()) as { code: string }).code;

describe('tokens', () => {
  it('let in whom they belong to, and only their hash is stored', async () => {
    const { id, token } = await tokens.create({
      name: 'acme',
      scopes: ['invoices:read'],
      binding: { kind: 'customer', id: 'acme' },
    });
    expect(token).toMatch(/^pm_[A-Za-z0-9_-]{43}$/);
    expect(await tokens.verify(token)).toEqual({
      tokenId: id,
      binding: { kind: 'customer', id: 'acme' },
      scopes: ['invoices:read'],
    });
    const { rows } = await sql`SELECT * FROM access.tokens`.execute(store.db);
    expect(JSON.stringify(rows)).not.toContain(token.slice(3));
  });

  it.each(['pm_' + 'A'.repeat(43), '', 'pm_', "pm_' OR 1=1 --"])('do not let in "%s"', async (token) => {
    expect(await tokens.verify(token)).toBeUndefined();
  });

  it('remember when they were used, to the minute', async () => {
    const { id, token } = await tokens.create(asAdmin);
    const used = async () => (await tokens.list()).find((one) => one.tokenId === id)?.lastUsedAt;
    expect(await used()).toBeUndefined();
    await tokens.verify(token);
    const first = clock.now();
    expect(await used()).toBe(first);
    clock.advance(30_000);
    await tokens.verify(token);
    expect(await used()).toBe(first);
    clock.advance(30_000);
    await tokens.verify(token);
    expect(await used()).toBe(clock.now());
  });

  it('are revoked for good', async () => {
    const { id, token } = await tokens.create(asAdmin);
    await tokens.revoke(id);
    const revokedAt = clock.now();
    clock.advance(1_000);
    await tokens.revoke(id);
    expect(await tokens.verify(token)).toBeUndefined();
    expect((await tokens.list()).find((one) => one.tokenId === id)?.revokedAt).toBe(revokedAt);
    await expect(tokens.revoke('tok_none')).rejects.toMatchObject({ code: 'not_found' });
  });

  it.each([[[]], [['invoices']], [['*', 'x:delete']]])('with the scopes %j are refused', async (scopes) => {
    await expect(tokens.create({ ...asAdmin, scopes })).rejects.toMatchObject({ code: 'input.invalid' });
  });
});

describe('/v1/tokens', () => {
  it('creates a token that works, lists it without its secret, revokes it, and records both', async () => {
    const created = await send('/v1/tokens', {
      name: 'ci',
      scopes: ['usage:read'],
      binding: { kind: 'provider', id: 'north' },
    });
    expect(created.status).toBe(201);
    const { id, token } = (await created.json()) as { id: string; token: string };
    expect(await (await call('/v1/whoami', {}, token)).json()).toEqual({
      token_id: id,
      binding: { kind: 'provider', id: 'north' },
      scopes: ['usage:read'],
    });
    expect((await call('/v1/tokens', {}, token)).status).toBe(403);
    const listed = await (await call('/v1/tokens')).text();
    expect(listed).toContain(id);
    expect(listed).not.toContain(token);
    expect((await call(`/v1/tokens/${id}`, { method: 'DELETE' })).status).toBe(204);
    expect((await call('/v1/whoami', {}, token)).status).toBe(401);
    const log = (await (await call(`/v1/audit-log?object_id=${id}`)).json()) as {
      data: { action: string; token_id: string }[];
    };
    expect(log.data.map((entry) => entry.action)).toEqual(['token.revoke', 'token.create']);
    expect(log.data[0]).toMatchObject({ token_id: admin.id, object_kind: 'token', object_id: id });
  });

  it('creates nothing, and records nothing, for wrong scopes', async () => {
    const before = (await tokens.list()).length;
    const answer = await send('/v1/tokens', { name: 'x', scopes: ['everything'] });
    expect(await answer.json()).toMatchObject({ status: 400, errors: [{ path: 'body.scopes.0' }] });
    expect((await call('/v1/tokens/tok_none', { method: 'DELETE' })).status).toBe(404);
    expect((await (await call('/v1/audit-log?object_id=tok_none')).json()) as object).toMatchObject({
      data: [],
    });
    expect((await tokens.list()).length).toBe(before);
  });
});

describe('the audit log', () => {
  const principal = { tokenId: 'tok_x', binding: { kind: 'operator' }, scopes: ['*'] } as const;

  it('is read in pages, newest first', async () => {
    for (const step of [1, 2, 3, 4, 5]) {
      await writeAudit(store.db, {
        at: clock.now(),
        principal,
        action: 'test.step',
        objectKind: 'test',
        objectId: String(step),
        details: { step, exact: 10n ** 20n },
      });
    }
    const seen: string[] = [];
    for (let cursor = ''; ;) {
      const answer = await call(`/v1/audit-log?object_kind=test&limit=2${cursor}`);
      const one = (await answer.json()) as {
        data: { object_id: string; details: object }[];
        next_cursor: string | null;
      };
      seen.push(...one.data.map((entry) => entry.object_id));
      if (seen.length === 2)
        expect(one.data[0]?.details).toEqual({ step: 5, exact: '100000000000000000000' });
      if (one.next_cursor === null) break;
      cursor = `&cursor=${one.next_cursor}`;
    }
    expect(seen).toEqual(['5', '4', '3', '2', '1']);
  });

  it.each([
    'UPDATE access.audit_log SET action = $$x$$',
    'DELETE FROM access.audit_log',
    'TRUNCATE access.audit_log',
  ])('refuses %s, even from its owner', async (statement) => {
    await expect(sql.raw(statement).execute(store.db)).rejects.toThrow(/append-only/);
  });

  it('goes with its transaction', async () => {
    const work = store.db.transaction().execute(async (trx) => {
      await writeAudit(trx, {
        at: clock.now(),
        principal,
        action: 'test.undone',
        objectKind: 'test',
        objectId: 'u',
      });
      throw new Error('undone');
    });
    await expect(work).rejects.toThrow('undone');
    expect(await (await call('/v1/audit-log?object_id=u')).json()).toMatchObject({ data: [] });
  });
});

describe('Idempotency-Key', () => {
  const order = (key: string, item: string, token = admin.token) =>
    send('/v1/orders', { item }, { 'idempotency-key': key }, token);

  it('does a request once and gives its first answer again, byte for byte', async () => {
    const first = await order('k1', 'lamp');
    const again = await order('k1', 'lamp');
    expect([first.status, again.status]).toEqual([201, 201]);
    expect(first.headers.get('idempotency-replayed')).toBeNull();
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(again.headers.get('location')).toBe(first.headers.get('location'));
    expect(again.headers.get('content-type')).toBe(first.headers.get('content-type'));
    expect(await again.text()).toBe(await first.text());
    expect(made.filter((item) => item === 'lamp')).toHaveLength(1);
  });

  it('refuses the same key for another body', async () => {
    await order('k2', 'chair');
    const other = await order('k2', 'table');
    expect([other.status, await codeOf(other)]).toEqual([409, 'input.conflict']);
    expect(made).not.toContain('table');
  });

  it('keeps the keys of two callers apart', async () => {
    const other = await tokens.create(asAdmin);
    await order('k3', 'rug');
    expect((await order('k3', 'rug', other.token)).headers.get('idempotency-replayed')).toBeNull();
    expect(made.filter((item) => item === 'rug')).toHaveLength(2);
  });

  it('does concurrent repeats once: all get the same answer', async () => {
    let open: () => void = () => undefined;
    gate = new Promise((resolve) => (open = resolve));
    const answers = Promise.all(Array.from({ length: 6 }, async () => order('k4', 'shelf')));
    setTimeout(open, 150);
    const bodies = await Promise.all((await answers).map(async (answer) => answer.text()));
    gate = undefined;
    expect(new Set(bodies).size).toBe(1);
    expect(JSON.parse(bodies[0]!)).toMatchObject({ item: 'shelf' });
    expect(made.filter((item) => item === 'shelf')).toHaveLength(1);
  });

  it('tells a repeat to come back when the first takes too long', async () => {
    let open: () => void = () => undefined;
    gate = new Promise((resolve) => (open = resolve));
    const first = order('k5', 'sofa');
    await new Promise((resolve) => setTimeout(resolve, 50));
    const early = await order('k5', 'sofa');
    expect([early.status, early.headers.get('retry-after')]).toEqual([409, '1']);
    open();
    gate = undefined;
    expect((await first).status).toBe(201);
  });

  it('gives the key back when nothing was created', async () => {
    expect((await order('k6', 'refused')).status).toBe(409);
    expect((await order('k6', 'desk')).status).toBe(201);
  });

  it('is taken over from a process that died with the request in hand', async () => {
    const request = { tokenId: 'tok_x', key: 'k7', fingerprint: Buffer.alloc(32) };
    expect(await keys.claim(request)).toEqual({ kind: 'mine' });
    expect(await keys.claim(request)).toEqual({ kind: 'busy' });
    clock.advance(60_001);
    expect(await keys.claim(request)).toEqual({ kind: 'mine' });
    await keys.keep(request, { status: 204, headers: {}, body: new Uint8Array() });
    expect(await keys.claim(request)).toMatchObject({ kind: 'answered', answer: { status: 204 } });
  });

  it('is forgotten after its time', async () => {
    const request = { tokenId: 'tok_x', key: 'k8', fingerprint: Buffer.alloc(32) };
    await keys.claim(request);
    await keys.keep(request, { status: 200, headers: {}, body: Buffer.from('x') });
    clock.advance(1_000);
    expect(await keys.forgetOlderThan(2_000)).toBeLessThan(20);
    expect(await keys.claim(request)).toMatchObject({ kind: 'answered' });
    expect(await keys.forgetOlderThan(500)).toBeGreaterThan(0);
    expect(await keys.claim(request)).toEqual({ kind: 'mine' });
  });

  it.each(['', 'a b', 'x'.repeat(256)])('"%s" is refused as a key', async (key) => {
    expect((await order(key, 'vase')).status).toBe(400);
    expect(made).not.toContain('vase');
  });
});

describe('signing in', () => {
  const cookieOf = (answer: Response) => answer.headers.get('set-cookie')?.split(';')[0] ?? '';
  const enter = async () => {
    const answer = await api.request(await signIn.createLink(admin.id));
    return { answer, cookie: cookieOf(answer) };
  };

  it('with a link works once, and sets a cookie that scripts and other sites cannot use', async () => {
    const link = await signIn.createLink(admin.id);
    const first = await api.request(link);
    expect(first.status).toBe(200);
    expect(first.headers.get('set-cookie')).toMatch(
      /^poolmeter_session=pms_[\w-]{43}; Max-Age=604800; Path=\/; HttpOnly; SameSite=Strict$/,
    );
    expect(first.headers.get('refresh')).toBe('0; url=/');
    const second = await api.request(link);
    expect([second.status, second.headers.get('set-cookie')]).toEqual([401, null]);
  });

  it('with one link in two browsers lets in one', async () => {
    const link = await signIn.createLink(admin.id);
    const answers = await Promise.all([1, 2, 3].map(async () => api.request(link)));
    expect(answers.map((answer) => answer.status).sort()).toEqual([200, 401, 401]);
  });

  it('with an old or invented link fails', async () => {
    const link = await signIn.createLink(admin.id);
    clock.advance(15 * 60_000);
    expect((await api.request(link)).status).toBe(401);
    expect((await api.request('/sign-in?code=pmc_x')).status).toBe(401);
  });

  it('gives the rights of the token until it is revoked', async () => {
    const { id } = await tokens.create({ ...asAdmin, scopes: ['usage:read'] });
    const cookie = cookieOf(await api.request(await signIn.createLink(id)));
    const whoami = () => api.request('/v1/whoami', { headers: { cookie } });
    expect(await (await whoami()).json()).toMatchObject({ token_id: id, scopes: ['usage:read'] });
    await tokens.revoke(id);
    expect((await whoami()).status).toBe(401);
  });

  it('ends after its time, and by signing out', async () => {
    const [early, late] = [await enter(), await enter()];
    const status = async (cookie: string) =>
      (await api.request('/v1/whoami', { headers: { cookie } })).status;
    expect(await status(early.cookie)).toBe(200);
    await api.request('/sign-out', { method: 'POST', headers: { cookie: early.cookie } });
    expect(await status(early.cookie)).toBe(401);
    expect(await status(late.cookie)).toBe(200);
    clock.advance(7 * 86_400_000);
    expect(await status(late.cookie)).toBe(401);
  });

  it('refuses changes that another site starts', async () => {
    const { cookie } = await enter();
    const change = (origin: string) =>
      api.request('http://console.test/v1/orders', {
        method: 'POST',
        body: '{"item":"mug"}',
        headers: { cookie, origin, host: 'console.test', 'content-type': 'application/json' },
      });
    expect((await change('http://evil.test')).status).toBe(403);
    expect((await change('null')).status).toBe(403);
    expect((await change('http://console.test')).status).toBe(201);
  });

  it('works with a token typed into the form, and not with a wrong one', async () => {
    const post = (token: string) =>
      api.request('/sign-in', { method: 'POST', body: new URLSearchParams({ token }) });
    expect(await (await api.request('/sign-in')).text()).toContain('<form method="post" action="/sign-in">');
    expect(cookieOf(await post(admin.token))).toMatch(/^poolmeter_session=pms_/);
    expect((await post('pm_wrong')).status).toBe(401);
  });

  it('a session is no API token', async () => {
    const { cookie } = await enter();
    expect((await call('/v1/whoami', {}, cookie.split('=')[1])).status).toBe(401);
  });
});
