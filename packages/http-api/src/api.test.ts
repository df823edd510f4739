import { createRoute, z } from '@hono/zod-openapi';
import { instantFromMs, ManualClock, Money, PoolmeterError } from '@poolmeter/domain';
import { createLogger, createTelemetry } from '@poolmeter/service';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  anyPrincipal,
  answerList,
  createApi,
  createApiServer,
  createRateLimit,
  createRouter,
  etagOf,
  instantInput,
  listQuery,
  listResponses,
  moneyInput,
  operatorOnly,
  pageOf,
  requireIfMatch,
  requireScope,
  setEtag,
  visibleRows,
  type ApiOptions,
  type Principal,
} from './index.js';
import { codeMeanings } from './problem.js';
import { errorCodes } from '@poolmeter/domain';

const callers: Record<string, Principal> = {
  pm_admin: { tokenId: 'tok_admin', binding: { kind: 'operator' }, scopes: ['*'] },
  pm_reader: { tokenId: 'tok_reader', binding: { kind: 'operator' }, scopes: ['things:read'] },
  pm_acme: { tokenId: 'tok_acme', binding: { kind: 'customer', id: 'acme' }, scopes: ['*'] },
  pm_north: { tokenId: 'tok_north', binding: { kind: 'provider', id: 'north' }, scopes: ['*'] },
};

const thing = z.object({ id: z.string(), customer_id: z.string() }).openapi('Thing');
const things = [
  { id: 'a', customer_id: 'acme' },
  { id: 'b', customer_id: '=HYPERLINK("http://evil")' },
  { id: 'c', customer_id: 'acme' },
];
let version = 1;

const newThing = z.strictObject({
  name: z.string().min(1),
  price: moneyInput,
  from: instantInput.optional(),
});
const text = {
  description: 'x',
  content: { 'application/json': { schema: z.object({ seen: z.unknown() }) } },
};

function thingRoutes() {
  const router = createRouter();
  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/things',
      summary: 'All things',
      middleware: [requireScope('things:read')],
      request: { query: listQuery.extend({ colour: z.string().optional() }) },
      responses: listResponses(thing),
    }),
    (c) => {
      const only = visibleRows(c.get('principal'), { customer: 'customer_id' });
      const rows = things.filter((one) => only === undefined || one[only.column] === only.id);
      const { limit } = c.req.valid('query');
      return answerList(
        c,
        pageOf(rows.slice(0, limit + 1), limit, (last) => `after-${last.id}`),
      );
    },
  );
  router.openapi(
    createRoute({
      method: 'post',
      path: '/v1/things',
      middleware: [requireScope('things:write'), operatorOnly()],
      request: { body: { content: { 'application/json': { schema: newThing } } } },
      responses: { 201: text },
    }),
    (c) => {
      const { name, price, from } = c.req.valid('json');
      return c.json({ seen: { name, price: price.toString(), from } }, 201);
    },
  );
  router.openapi(
    createRoute({
      method: 'put',
      path: '/v1/things/{id}',
      middleware: [requireScope('things:write')],
      request: { params: z.object({ id: z.string().regex(/^[a-z]$/, 'one letter') }) },
      responses: { 200: text, 304: { description: 'Unchanged.' } },
    }),
    (c) => {
      requireIfMatch(c, etagOf({ version }));
      version += 1;
      return c.json({ seen: version }, 200);
    },
  );
  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/things/{id}',
      middleware: [anyPrincipal()],
      responses: { 200: text, 304: { description: 'Unchanged.' } },
    }),
    (c) => (setEtag(c, etagOf({ version })).notModified ? c.body(null, 304) : c.json({ seen: version }, 200)),
  );
  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/failures/{kind}',
      middleware: [anyPrincipal()],
      responses: { 200: text },
    }),
    (c) => {
      if (c.req.param('kind') === 'defect') throw new TypeError('secret internals');
      throw new PoolmeterError('dependency.unavailable', 'PostgreSQL at db.internal is away.', {
        retriable: true,
        details: { host: 'db.internal' },
      });
    },
  );
  router.openapi(
    createRoute({
      method: 'get',
      path: '/v1/overlap',
      middleware: [anyPrincipal()],
      responses: { 200: text },
    }),
    () => {
      throw new PoolmeterError('lease.overlap', 'Lease l-1 holds it.', {
        details: { lease_id: 'l-1', gpu_ms: 5n },
      });
    },
  );
  return router;
}

function build(changes: Partial<ApiOptions> = {}) {
  const lines: string[] = [];
  const logger = createLogger({ service: 'api', destination: { write: (line) => void lines.push(line) } });
  const clock = new ManualClock(instantFromMs(0));
  const tokens = { verify: (token: string) => Promise.resolve(callers[token]) };
  const api = createApi({ logger, clock, tokens, ...changes });
  api.route('/', thingRoutes());
  const call = async (path: string, init: RequestInit = {}, token = 'pm_admin') => {
    const headers = new Headers(init.headers);
    if (token !== '') headers.set('authorization', `Bearer ${token}`);
    return api.request(path, { ...init, headers });
  };
  const post = (path: string, body: unknown, headers: Record<string, string> = {}, token?: string) =>
    call(
      path,
      {
        method: 'POST',
        body: typeof body === 'string' ? body : JSON.stringify(body),
        headers: { 'content-type': 'application/json', ...headers },
      },
      token,
    );
  const entries = () => lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  return { api, call, post, clock, lines, entries };
}

interface Problem {
  type: string;
  status: number;
  code: string;
  detail: string;
  request_id: string;
  errors?: { path: string; message: string }[];
  details?: Record<string, unknown>;
}

async function problemOf(answer: Response): Promise<Problem> {
  expect(answer.headers.get('content-type')).toBe('application/problem+json');
  const problem = (await answer.json()) as Problem;
  expect(problem).toMatchObject({
    type: `/docs#${problem.code}`,
    title: expect.any(String) as string,
    status: answer.status,
    instance: expect.stringMatching(/^\//) as string,
    request_id: answer.headers.get('x-request-id'),
  });
  return problem;
}

beforeEach(() => {
  version = 1;
});

describe('who may call', () => {
  it.each([
    ['no token', ''],
    ['an unknown token', 'pm_unknown'],
    ['a token with a space in it', 'pm admin'],
  ])('%s: 401, also for a path that does not exist', async (_name, token) => {
    const { call } = build();
    for (const path of ['/v1/things', '/v1/nothing']) {
      const answer = await call(path, {}, token);
      expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/);
      expect(await problemOf(answer)).toMatchObject({ status: 401, code: 'unauthorized' });
    }
  });

  it('a token without the scope: 403 that names it', async () => {
    const { call, post } = build();
    expect((await call('/v1/things', {}, 'pm_reader')).status).toBe(200);
    const problem = await problemOf(await post('/v1/things', { name: 'x' }, {}, 'pm_reader'));
    expect(problem).toMatchObject({ status: 403, code: 'forbidden', details: { scope: 'things:write' } });
  });

  it('a bound token on an operator route: 403 whatever its scopes', async () => {
    const { post } = build();
    expect((await problemOf(await post('/v1/things', {}, {}, 'pm_acme'))).status).toBe(403);
  });

  it('a customer sees only its own rows; a provider, whose column the list lacks, sees none', async () => {
    const { call } = build();
    const seen = async (token: string) =>
      ((await (await call('/v1/things', {}, token)).json()) as { data: { id: string }[] }).data;
    expect((await seen('pm_admin')).map((one) => one.id)).toEqual(['a', 'b', 'c']);
    expect((await seen('pm_acme')).map((one) => one.id)).toEqual(['a', 'c']);
    expect((await call('/v1/things', {}, 'pm_north')).status).toBe(403);
  });

  it('a /v1 route that does not say who may call it cannot be built', () => {
    const route = createRoute({ method: 'get', path: '/v1/open', responses: { 200: { description: 'x' } } });
    expect(() => createRouter().openapi(route, (c) => c.body(null))).toThrow(/does not say who may call it/);
  });
});

describe('wrong input', () => {
  it('names every fault and its place', async () => {
    const { post } = build();
    const body = {
      name: '',
      price: { amount: '1e3', currency: 'usd' },
      from: '2026-02-30T00:00:00Z',
      colour: 'red',
    };
    const problem = await problemOf(await post('/v1/things', body));
    expect(problem).toMatchObject({ status: 400, code: 'input.invalid' });
    const paths = problem.errors?.map((error) => error.path).sort();
    expect(paths).toEqual(['body', 'body.from', 'body.name', 'body.price']);
    expect(problem.errors?.find((error) => error.path === 'body.price')?.message).toContain('ISO 4217');
  });

  it('is accepted once it is right, with exact values', async () => {
    const { post } = build();
    const answer = await post('/v1/things', {
      name: 'x',
      price: { amount: '12.340', currency: 'USD' },
      from: '1970-01-01T00:00:01Z',
    });
    expect([answer.status, await answer.json()]).toEqual([
      201,
      { seen: { name: 'x', price: Money.of('12.34', 'USD').toString(), from: 1_000 } },
    ]);
  });

  it.each([
    ['broken JSON', '{"name":', 'application/json', 400, 'input.invalid'],
    ['an empty body', '', 'application/json', 400, 'input.invalid'],
    ['a form', 'name=x', 'application/x-www-form-urlencoded', 415, 'input.unsupported_type'],
    ['text without a type', '{"name":"x"}', '', 415, 'input.unsupported_type'],
  ])('%s', async (_name, body, type, status, code) => {
    const { call } = build();
    const headers = type === '' ? new Headers() : new Headers({ 'content-type': type });
    // A Blob without a type keeps fetch from adding one.
    const answer = await call('/v1/things', { method: 'POST', body: new Blob([body]), headers });
    expect(await problemOf(answer)).toMatchObject({ status, code });
  });

  it('no body at all is missing input, not an empty object that passes', async () => {
    const { call } = build();
    const problem = await problemOf(await call('/v1/things', { method: 'POST' }));
    expect(problem.errors?.map((error) => error.path)).toEqual(['body.name', 'body.price']);
  });

  it('an unknown query parameter is refused, on lists and on routes without any', async () => {
    const { call } = build();
    const list = await problemOf(await call('/v1/things?limit=5&color=red&x=1'));
    expect(list).toMatchObject({
      status: 400,
      errors: [
        { path: 'query.color', message: 'is not a parameter; this address takes limit, cursor, colour' },
        { path: 'query.x' },
      ],
    });
    expect((await problemOf(await call('/v1/things/a?x=1'))).errors?.[0]).toEqual({
      path: 'query.x',
      message: 'is not a parameter; this address takes none',
    });
    expect((await call('/v1/things?colour=red')).status).toBe(200);
  });

  it.each(['0', '1001', 'ten', '1.5', '', '-1'])('limit=%s is refused', async (limit) => {
    const { call } = build();
    expect((await problemOf(await call(`/v1/things?limit=${limit}`))).errors?.[0]?.path).toBe('query.limit');
  });

  it('a parameter given twice is refused', async () => {
    const { call } = build();
    expect((await problemOf(await call('/v1/things?limit=1&limit=2'))).errors?.[0]?.path).toBe('query.limit');
  });

  it('a wrong path parameter names itself', async () => {
    const { call } = build();
    const problem = await problemOf(await call('/v1/things/abc', { method: 'PUT' }));
    expect(problem.errors).toEqual([{ path: 'path.id', message: 'one letter' }]);
  });

  it('a query that is no object cannot be built', () => {
    const query = z.record(z.string(), z.string()).transform((all) => all);
    const route = createRoute({
      method: 'get',
      path: '/open',
      request: { query },
      responses: { 200: { description: 'x' } },
    });
    expect(() => createRouter().openapi(route, (c) => c.body(null))).toThrow(/must be a z.object/);
  });

  it.each([
    ['with its length', { 'content-length': '2000' }],
    ['without', {}],
  ])('a body that is too large, sent %s', async (_name, headers: Record<string, string>) => {
    const { call } = build({ bodyLimitBytes: 1_000 });
    const body = 'x'.repeat(2_000);
    const answer = await call('/v1/things', {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json', ...headers },
    });
    expect(await problemOf(answer)).toMatchObject({ status: 413, code: 'input.too_large' });
  });
});

describe('paths and methods', () => {
  it('an unknown path: 404', async () => {
    const { call } = build();
    expect(await problemOf(await call('/v1/nothing'))).toMatchObject({ status: 404, code: 'not_found' });
    expect(await problemOf(await call('/nothing', {}, ''))).toMatchObject({ status: 404 });
  });

  it('a method that the path does not take: 405 with Allow', async () => {
    const { call } = build();
    const answer = await call('/v1/things/a', { method: 'DELETE' });
    expect(answer.headers.get('allow')).toBe('HEAD, GET, PUT');
    expect(await problemOf(answer)).toMatchObject({ status: 405, code: 'method_not_allowed' });
  });

  it('HEAD answers like GET, without a body', async () => {
    const { call } = build();
    const answer = await call('/v1/things', { method: 'HEAD' });
    expect([answer.status, await answer.text()]).toEqual([200, '']);
  });
});

describe('failures', () => {
  it('a defect tells nobody its insides, and is logged with the request id', async () => {
    const { call, entries } = build();
    const problem = await problemOf(await call('/v1/failures/defect'));
    expect(problem).toMatchObject({ status: 500, code: 'internal' });
    expect(JSON.stringify(problem)).not.toContain('secret internals');
    const logged = entries().find((entry) => entry['level'] === 'error');
    expect(logged).toMatchObject({ request_id: problem.request_id, err: { message: 'secret internals' } });
  });

  it('a dependency that is away: 503 with Retry-After; only operators read where it is', async () => {
    const { call } = build();
    const answer = await call('/v1/failures/away');
    expect(answer.headers.get('retry-after')).toBe('5');
    expect(await problemOf(answer)).toMatchObject({
      status: 503,
      detail: 'PostgreSQL at db.internal is away.',
    });
    const toCustomer = await problemOf(await call('/v1/failures/away', {}, 'pm_acme'));
    expect(JSON.stringify(toCustomer)).not.toContain('db.internal');
  });

  it('a conflict carries its details, exact numbers as text', async () => {
    const { call } = build();
    expect(await problemOf(await call('/v1/overlap'))).toMatchObject({
      status: 409,
      code: 'lease.overlap',
      details: { lease_id: 'l-1', gpu_ms: '5' },
    });
  });

  it('every error code has a status', () => {
    expect(Object.keys(codeMeanings).sort()).toEqual([...errorCodes].sort());
  });
});

describe('lists', () => {
  it('answer a page with the way to the next one', async () => {
    const { call } = build();
    const first = await call('/v1/things?limit=2');
    expect(await first.json()).toEqual({ data: things.slice(0, 2), next_cursor: 'after-b' });
    expect(await (await call('/v1/things?limit=3')).json()).toMatchObject({ next_cursor: null });
  });

  it('answer CSV when Accept prefers it, safe for spreadsheets, with the next page in Link', async () => {
    const { call } = build();
    const answer = await call('/v1/things?limit=2', { headers: { accept: 'text/csv' } });
    expect(answer.headers.get('content-type')).toBe('text/csv; charset=utf-8; header=present');
    expect(answer.headers.get('vary')).toBe('accept');
    expect(answer.headers.get('link')).toBe('</v1/things?limit=2&cursor=after-b>; rel="next"');
    expect(await answer.text()).toBe('id,customer_id\r\na,acme\r\nb,"\'=HYPERLINK(""http://evil"")"\r\n');
  });
});

describe('ETag and If-Match', () => {
  it('an update needs the version that was read', async () => {
    const { call } = build();
    const etag = (await call('/v1/things/a')).headers.get('etag')!;
    const put = (tag?: string) =>
      call('/v1/things/a', { method: 'PUT', headers: tag === undefined ? {} : { 'if-match': tag } });
    expect(await problemOf(await put())).toMatchObject({ status: 428, code: 'precondition_required' });
    expect((await put(etag)).status).toBe(200);
    expect(await problemOf(await put(etag))).toMatchObject({ status: 412, code: 'precondition_failed' });
    expect((await put('*')).status).toBe(200);
  });

  it('a version that the caller has is not sent again', async () => {
    const { call } = build();
    const etag = (await call('/v1/things/a')).headers.get('etag')!;
    const again = await call('/v1/things/a', { headers: { 'if-none-match': `"other", ${etag}` } });
    expect([again.status, await again.text()]).toEqual([304, '']);
  });
});

describe('the rate limit', () => {
  it('stops one token, not the others, and says when to come back', async () => {
    const clock = new ManualClock(instantFromMs(0));
    const { call } = build({ clock, rateLimit: createRateLimit({ burst: 2, perSecond: 0.5, clock }) });
    expect((await call('/v1/things')).status).toBe(200);
    expect((await call('/v1/things')).status).toBe(200);
    const refused = await call('/v1/things');
    expect(refused.headers.get('retry-after')).toBe('2');
    expect(await problemOf(refused)).toMatchObject({ status: 429, code: 'rate_limited' });
    expect((await call('/v1/things', {}, 'pm_reader')).status).toBe(200);
    clock.advance(2_000);
    expect((await call('/v1/things')).status).toBe(200);
    expect((await call('/v1/things')).status).toBe(429);
  });
});

describe('every request', () => {
  it('has an id: its own when that is a plain word', async () => {
    const { call } = build();
    const idOf = async (given: string) =>
      (await call('/v1/things', { headers: { 'x-request-id': given } })).headers.get('x-request-id');
    expect(await idOf('abc-1')).toBe('abc-1');
    expect(await idOf('a b"c')).toMatch(/^req_[0-9a-f]{32}$/);
  });

  it('is logged once, with who, what and how long, and without its query', async () => {
    const { call, entries } = build();
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await call('/v1/things?colour=secret', { headers: { traceparent } });
    expect(entries()).toHaveLength(1);
    expect(entries()[0]).toMatchObject({
      msg: 'request',
      method: 'GET',
      path: '/v1/things',
      status: 200,
      token_id: 'tok_admin',
      took_ms: expect.any(Number) as number,
      trace_id: '0af7651916cd43dd8448eb211c80319c',
    });
    expect(JSON.stringify(entries())).not.toMatch(/secret|pm_admin/);
  });

  it('is measured by route, never by path', async () => {
    const telemetry = createTelemetry({ service: 'api', processMetrics: false });
    const { call } = build({ telemetry });
    await call('/v1/things/a');
    await call('/v1/things/b');
    await call('/v1/no-such-thing');
    const text = await telemetry.metricsText();
    expect(text).toContain(
      'poolmeter_http_request_duration_seconds_count{method="GET",route="/v1/things/:id",status="200"} 2',
    );
    expect(text).toContain(
      'poolmeter_http_request_duration_seconds_count{method="GET",route="none",status="404"} 1',
    );
    await telemetry.shutdown();
  });

  it('gets the headers that keep browsers from guessing and framing', async () => {
    const { call } = build();
    const { headers } = await call('/v1/things');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('x-frame-options')).toBe('DENY');
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(headers.get('cache-control')).toBe('no-store');
    expect((await call('/docs')).headers.get('content-security-policy')).toContain("default-src 'self'");
    expect((await call('/v1/nothing')).headers.get('x-content-type-options')).toBe('nosniff');
  });

  it('with an Idempotency-Key is refused where none are kept, rather than done twice', async () => {
    const { post } = build();
    const problem = await problemOf(await post('/v1/things', {}, { 'idempotency-key': 'k' }));
    expect(problem.status).toBe(400);
  });
});

describe('an idempotency store that fails', () => {
  const request = { name: 'x', price: { amount: '1', currency: 'USD' } };
  const away = () =>
    Promise.reject(new PoolmeterError('dependency.unavailable', 'Away.', { retriable: true }));

  it('after the work is done changes nothing about the answer, and is logged', async () => {
    const { post, entries } = build({
      idempotency: { claim: () => Promise.resolve({ kind: 'mine' }), keep: away, release: away },
    });
    expect((await post('/v1/things', request, { 'idempotency-key': 'k' })).status).toBe(201);
    expect((await post('/v1/things', {}, { 'idempotency-key': 'k' })).status).toBe(400);
    expect(entries().filter((entry) => entry['level'] === 'error')).toHaveLength(2);
  });

  it('before it stops the request, so that it is not done twice', async () => {
    const { post } = build({ idempotency: { claim: away, keep: away, release: away } });
    expect((await post('/v1/things', request, { 'idempotency-key': 'k' })).status).toBe(503);
    expect((await post('/v1/things', request)).status).toBe(201);
  });
});

describe('the API server', () => {
  it('answers over a real connection, and logs where it came from', async () => {
    const { api, entries } = build({ bodyLimitBytes: 1_000 });
    const server = createApiServer({ api, host: '127.0.0.1', port: 0 });
    expect(() => server.url).toThrow(/no address/);
    await server.start();
    const headers = { authorization: 'Bearer pm_admin', 'content-type': 'application/json' };
    const answer = await fetch(`${server.url}/v1/things?limit=1`, { headers });
    expect(await answer.json()).toEqual({ data: things.slice(0, 1), next_cursor: 'after-a' });
    expect(entries().at(-1)).toMatchObject({ remote: '127.0.0.1', status: 200 });
    // A stream has no Content-Length, so only counting its bytes can stop it.
    const body = new Blob(['x'.repeat(5_000)]).stream();
    const large = await fetch(`${server.url}/v1/things`, {
      method: 'POST',
      headers,
      body,
      duplex: 'half',
    });
    expect(large.status).toBe(413);
    await server.stop();
    await expect(fetch(server.url)).rejects.toThrow();
  });
});

describe('the description', () => {
  it('/openapi.json is complete: routes, parameters, problems, security, access', async () => {
    const { api } = build({ publicBaseUrl: 'https://gpu.example' });
    const answer = await api.request('/openapi.json');
    const document = (await answer.json()) as {
      openapi: string;
      servers: unknown;
      paths: Record<string, Record<string, Record<string, unknown>>>;
      components: { schemas: object; securitySchemes: object };
    };
    expect(document.openapi).toBe('3.1.0');
    expect(document.servers).toEqual([{ url: 'https://gpu.example' }]);
    expect(Object.keys(document.paths).sort()).toEqual([
      '/v1/failures/{kind}',
      '/v1/overlap',
      '/v1/things',
      '/v1/things/{id}',
    ]);
    const list = document.paths['/v1/things']!['get']!;
    expect((list['parameters'] as { name: string }[]).map((one) => one.name)).toEqual([
      'limit',
      'cursor',
      'colour',
    ]);
    expect(list).toMatchObject({
      security: [{ bearer: [] }],
      'x-access': ['things:read'],
      responses: {
        200: { content: { 'application/json': {}, 'text/csv': {} } },
        default: { content: { 'application/problem+json': {} } },
      },
    });
    expect(document.paths['/v1/things']!['post']).toMatchObject({
      'x-access': ['things:write', 'operator only'],
      requestBody: { required: true },
    });
    expect(Object.keys(document.components.schemas)).toEqual(
      expect.arrayContaining(['Thing', 'Problem', 'Money']),
    );
    expect(document.components.securitySchemes).toEqual({ bearer: { type: 'http', scheme: 'bearer' } });
  });

  it('/docs shows every operation and error code, and fetches nothing', async () => {
    const { api } = build();
    const page = await (await api.request('/docs')).text();
    expect(page).toContain('<code>/v1/things/{id}</code>');
    for (const code of errorCodes) expect(page).toContain(`id="${code}"`);
    expect(page).not.toMatch(/<script|src=|https?:\/\//);
  });
});
