import { instantFromMs, isPoolmeterError, ManualClock, parseInstant } from '@poolmeter/domain';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createScheduler } from './create-scheduler.js';
import type { SchedulerObservation } from './scheduler.js';
import { createSimulatorScheduler } from './simulator-scheduler.js';
import { observationToJson } from './simulator-wire.js';

const servers: Server[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

/** A scheduler that answers every request like this. */
async function answering(
  answer: (response: ServerResponse, request: IncomingMessage) => void,
): Promise<string> {
  const server = createServer((request, response) => answer(response, request));
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const json = (body: unknown) => (response: ServerResponse) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
};

const noon = parseInstant('2026-03-01T12:00:00Z');

const good: SchedulerObservation = {
  observedAt: noon,
  nodes: [
    {
      node: 'gpu-01',
      state: 'ready',
      reason: '',
      since: instantFromMs(noon - 1000),
      gpus: [{ gpuUuid: 'GPU-1', gpuIndex: 0, gpuModel: 'NVIDIA L40S', leaseIds: ['l-1'] }],
    },
  ],
  pending: [],
  held: [
    {
      leaseId: 'l-1',
      customerId: 'acme',
      project: '',
      providerId: 'north',
      pool: 'main',
      node: 'gpu-01',
      gpuUuid: 'GPU-1',
      gpuInstance: '',
      gpuIndex: 0,
      gpuModel: 'NVIDIA L40S',
      share: { numerator: 1n, denominator: 1n },
      pricingMode: 'on_demand',
      startedAt: instantFromMs(noon - 500),
      endedAt: undefined,
    },
  ],
};

const goodJson = observationToJson(good);
const held = goodJson.held[0]!;

describe('an observation over HTTP', () => {
  it('is what the scheduler said', async () => {
    const url = await answering(json(goodJson));
    expect(await createSimulatorScheduler({ url }).observe()).toEqual(good);
  });

  it('asks with the token and under the path of the base URL', async () => {
    let seen: string | undefined;
    const url = await answering((response, request) => {
      seen = `${request.url ?? ''} ${request.headers.authorization ?? ''}`;
      json(goodJson)(response);
    });
    await createSimulatorScheduler({ url: `${url}/pool`, token: 'secret' }).observe();
    expect(seen).toBe('/pool/v1/observation Bearer secret');
  });
});

/** Each of these once meant "nothing waits, nothing runs" to somebody's autoscaler. */
const badAnswers: readonly [string, (response: ServerResponse) => void, string][] = [
  [
    'status 500 with JSON that looks good',
    (r) => r.writeHead(500).end(JSON.stringify(goodJson)),
    'dependency.unavailable',
  ],
  ['status 503', (r) => r.writeHead(503).end('busy'), 'dependency.unavailable'],
  ['status 429', (r) => r.writeHead(429).end(), 'dependency.unavailable'],
  ['status 401', (r) => r.writeHead(401).end(), 'unauthorized'],
  ['status 404', (r) => r.writeHead(404).end('not found'), 'not_found'],
  ['status 204 and no body', (r) => r.writeHead(204).end(), 'wire.malformed'],
  ['an empty body', (r) => r.writeHead(200).end(), 'wire.malformed'],
  ['an HTML page', (r) => r.writeHead(200).end('<html>welcome</html>'), 'wire.malformed'],
  ['half of the JSON', (r) => r.writeHead(200).end(JSON.stringify(goodJson).slice(0, 90)), 'wire.malformed'],
  ['null', json(null), 'wire.malformed'],
  ['an empty object', json({}), 'wire.malformed'],
  ['an empty list', json([]), 'wire.malformed'],
  ['no nodes at all', json({ ...goodJson, nodes: [], held: [] }), 'wire.malformed'],
  ['no list of waiting work', json({ ...goodJson, pending: undefined }), 'wire.malformed'],
  ['null for the waiting work', json({ ...goodJson, pending: null }), 'wire.malformed'],
  [
    'a node state nobody knows',
    json({ ...goodJson, nodes: [{ ...goodJson.nodes[0], state: 'fine' }] }),
    'wire.malformed',
  ],
  ['a share of 0', json({ ...goodJson, held: [{ ...held, share: '0' }] }), 'wire.malformed'],
  ['a share as a float', json({ ...goodJson, held: [{ ...held, share: 0.142857 }] }), 'wire.malformed'],
  ['a lease twice', json({ ...goodJson, held: [held, held] }), 'wire.malformed'],
  ['a GPU held twice', json({ ...goodJson, held: [held, { ...held, lease_id: 'l-2' }] }), 'wire.malformed'],
  ['a lease on a GPU that nobody holds', json({ ...goodJson, held: [] }), 'wire.malformed'],
  ['a node twice', json({ ...goodJson, nodes: [goodJson.nodes[0], goodJson.nodes[0]] }), 'wire.malformed'],
  ['a redirect', (r) => r.writeHead(302, { location: '/elsewhere' }).end(), 'dependency.unavailable'],
  ['a connection that is cut', (r) => r.destroy(), 'dependency.unavailable'],
  [
    'a body that is cut',
    (r) => {
      r.writeHead(200, { 'content-length': '5000' });
      r.write('{"observed_at":');
      setTimeout(() => r.destroy(), 20);
    },
    'dependency.unavailable',
  ],
];

describe('a bad answer', () => {
  it.each(badAnswers)('%s makes observe reject', async (_what, answer, code) => {
    const scheduler = createSimulatorScheduler({ url: await answering(answer) });
    await expect(scheduler.observe()).rejects.toMatchObject({ name: 'PoolmeterError', code });
  });

  it.each(badAnswers.filter(([, , code]) => code !== 'wire.malformed'))(
    '%s makes accounting and act reject',
    async (_what, answer, code) => {
      const scheduler = createSimulatorScheduler({ url: await answering(answer) });
      await expect(scheduler.accounting(noon)).rejects.toMatchObject({ code });
      const acted = scheduler.act({ kind: 'drain', node: 'n' }, { idempotencyKey: 'k', reason: '' });
      await expect(acted).rejects.toMatchObject({ code });
    },
  );

  it.each([
    ['an empty object', {}],
    ['a success without nodes', { ok: true }],
    ['a refusal for no known reason', { ok: false, reason: 'mood', detail: '' }],
  ])('%s is no outcome of an action', async (_what, body) => {
    const scheduler = createSimulatorScheduler({ url: await answering(json(body)) });
    await expect(
      scheduler.act({ kind: 'drain', node: 'n' }, { idempotencyKey: 'k', reason: '' }),
    ).rejects.toMatchObject({ code: 'wire.malformed' });
  });

  it('that never comes ends with a timeout', async () => {
    const url = await answering(() => undefined);
    const fault = await createSimulatorScheduler({ url, timeoutMs: 60 })
      .observe()
      .catch((thrown: unknown) => thrown);
    expect(isPoolmeterError(fault) && [fault.code, fault.retriable]).toEqual(['timeout', true]);
  });

  it('of a scheduler that is not there says so', async () => {
    const url = await answering(() => undefined);
    servers.splice(0).forEach((server) => server.close());
    await expect(createSimulatorScheduler({ url }).observe()).rejects.toMatchObject({
      code: 'dependency.unavailable',
      retriable: true,
    });
  });

  it('is not waited for when the caller gives up', async () => {
    const url = await answering(() => undefined);
    const giveUp = new AbortController();
    const asked = createSimulatorScheduler({ url }).observe(giveUp.signal);
    giveUp.abort(new Error('stopping'));
    await expect(asked).rejects.toThrow('stopping');
  });
});

describe('the adapter by configuration', () => {
  const pool = { id: 'main', providerId: 'north', nodePatterns: ['*'] };

  it('is the one of its kind', () => {
    expect(createScheduler({ kind: 'simulator', url: 'http://127.0.0.1:1' }, pool).kind).toBe('simulator');
  });

  it.each([
    ['an unknown kind', { kind: 'abacus', url: 'http://127.0.0.1:1' }, /Kinds that exist: simulator/],
    ['no URL', { kind: 'simulator' }, /url/],
    ['a URL of another protocol', { kind: 'simulator', url: 'ftp://x' }, /http or https/],
    ['a key that means nothing', { kind: 'simulator', url: 'http://x', retries: 3 }, /retries/],
    ['nothing', undefined, /cannot be used/],
  ])('%s is refused', (_what, config, message) => {
    expect(() => createScheduler(config, pool)).toThrow(message);
  });
});

it('takes time from nowhere but its answers', async () => {
  // The adapter has no clock: an observation carries the scheduler's own instant, virtual or not.
  const virtual = new ManualClock(parseInstant('2031-01-01T00:00:00Z'));
  const url = await answering(json(observationToJson({ ...good, observedAt: virtual.now() })));
  expect((await createSimulatorScheduler({ url }).observe()).observedAt).toBe(virtual.now());
});
