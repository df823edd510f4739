import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { instantFromMs, ManualClock } from '@poolmeter/domain';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTokenSource } from './fetch-token.js';

let answers: { status: number; body: unknown }[] = [];
let asked = 0;
const server = createServer((_request, response) => {
  const { status, body } = answers[Math.min(asked, answers.length - 1)] ?? { status: 500, body: {} };
  asked += 1;
  response.writeHead(status).end(JSON.stringify(body));
});
beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
afterAll(() => new Promise((resolve) => server.close(resolve)));
beforeEach(() => {
  asked = 0;
});

const clock = new ManualClock(instantFromMs(1_000_000));
const createSource = () => {
  const { port } = server.address() as AddressInfo;
  const tokenUrl = `http://127.0.0.1:${port}/token`;
  return createTokenSource({ tokenUrl, clientId: 'agent', clientSecret: 'secret', clock });
};

describe('access tokens', () => {
  it('are kept until shortly before their end, and asked for once by all who wait', async () => {
    answers = ['a', 'b'].map((token) => ({ status: 200, body: { access_token: token, expires_in: 100 } }));
    const source = createSource();
    expect(await Promise.all([source(), source(), source()])).toEqual(['a', 'a', 'a']);
    clock.advance(69_999);
    expect(await source()).toBe('a');
    clock.advance(1);
    expect(await source()).toBe('b');
    expect(asked).toBe(2);
  });

  it.each([
    ['a wrong secret', { status: 401, body: {} }, 'dependency.refused', false],
    ['an answer without a token', { status: 200, body: { token: 'x' } }, 'dependency.refused', false],
    ['an endpoint in trouble', { status: 503, body: {} }, 'dependency.unavailable', true],
    ['an endpoint that is asked too often', { status: 429, body: {} }, 'dependency.unavailable', true],
  ])('tells %s, and is asked again afterwards', async (_case, answer, code, retriable) => {
    answers = [answer, { status: 200, body: { access_token: 'good', expires_in: 100 } }];
    const source = createSource();
    await expect(source()).rejects.toMatchObject({ code, retriable });
    expect(await source()).toBe('good');
  });
});
