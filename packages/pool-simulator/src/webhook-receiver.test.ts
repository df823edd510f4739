/** The webhook adapter against a small receiver, written as an operator would: it checks signatures and keeps keys. */
import { instantFromMs, isPoolmeterError, ManualClock, parseInstant } from '@poolmeter/domain';
import {
  createScheduler,
  heldShareToJson,
  isWebhookSignatureGood,
  observationToJson,
  type Scheduler,
} from '@poolmeter/scheduler';
import { schedulerContract } from '@poolmeter/scheduler/contract';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { actionSchema } from './action-journal.js';
import { createPoolScheduler } from './pool-scheduler.js';
import { createSimulatedPool } from './simulated-pool.js';

const start = parseInstant('2026-03-10T09:00:00Z');
const SECRET = 'a-secret-of-some-length';
const servers: Server[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

interface Receiver {
  readonly url: string;
  /** Requests as they came: method, path, key, status. */
  readonly seen: string[];
  /** Statuses to answer with before anything is done. */
  readonly failures: number[];
}

async function receive(pool: Scheduler, nowMs: () => number): Promise<Receiver> {
  const seen: string[] = [];
  const failures: number[] = [];
  const handle = async (request: IncomingMessage): Promise<[number, unknown]> => {
    let body = '';
    for await (const chunk of request as AsyncIterable<Buffer>) body += chunk.toString('utf8');
    const header = (name: string) => String(request.headers[name] ?? '');
    const key = header('idempotency-key');
    const path = request.url ?? '';
    const signed = {
      method: request.method ?? '',
      path,
      body,
      idempotencyKey: key,
      timestamp: header('x-poolmeter-timestamp'),
    };
    const signature = header('x-poolmeter-signature');
    if (!isWebhookSignatureGood(signed, { secret: SECRET, signature, nowMs: nowMs() })) return [401, {}];
    const failure = failures.shift();
    if (failure !== undefined) return [failure, {}];
    if (path === '/hook/state') return [200, observationToJson(await pool.observe())];
    if (path.startsWith('/hook/accounting?')) {
      const since = parseInstant(new URL(path, 'http://x').searchParams.get('since') ?? '');
      return [200, { data: (await pool.accounting(since)).map(heldShareToJson) }];
    }
    const told = JSON.parse(body) as Record<string, unknown>;
    const { kind, node, count, gpu_model: gpuModel } = told;
    const action = actionSchema.parse(kind === 'add' ? { kind, count, gpuModel } : { kind, node });
    return [200, await pool.act(action, { idempotencyKey: key, reason: String(told['reason']) })];
  };
  const server = createServer((request, response) => {
    handle(request)
      .catch((fault: unknown): [number, unknown] => [
        isPoolmeterError(fault) && fault.code === 'input.conflict' ? 409 : 500,
        { detail: String(fault) },
      ])
      .then(([status, answer]) => {
        seen.push(`${request.method ?? ''} ${request.url ?? ''} ${status}`);
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
      })
      .catch(() => response.destroy());
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, seen, failures };
}

const can = ['cordon', 'uncordon', 'drain', 'remove', 'add', 'power_up', 'power_down', 'accounting'];
const lease = {
  leaseId: 'lease-1',
  customerId: 'acme',
  node: 'gpu-01',
  gpuIndex: 0,
  startsAt: instantFromMs(start + 1_000),
  endsAt: instantFromMs(start + 50_000_000),
};
const waiting = {
  jobId: 'big',
  customerId: 'globex',
  submittedAt: instantFromMs(start + 2_000),
  durationMs: 3_600_000,
  gpus: 8,
  gpuModel: 'NVIDIA GB200',
};

async function setUp(settings: Readonly<Record<string, unknown>> = {}) {
  const pool = createSimulatedPool({
    seed: 2,
    startAt: start,
    scenario: { leases: [lease], submissions: [waiting] },
  });
  pool.advanceTo(instantFromMs(start + 60_000));
  // Its pauses are not waited for: every sleep is over at once.
  const clock = new ManualClock(start);
  const instantly = { now: () => clock.now(), sleep: () => Promise.resolve() };
  const receiver = await receive(createPoolScheduler(pool), () => clock.now());
  const scheduler = createScheduler(
    { kind: 'webhook', url: receiver.url, secret: SECRET, can, ...settings },
    { id: 'main', providerId: 'north', nodePatterns: ['*'], clock: instantly },
  );
  return { pool, receiver, scheduler };
}

describe('the scheduler contract over a webhook', () => {
  it.each(schedulerContract.map((one) => [one.name, one] as const))('%s', async (_name, contractCase) => {
    const { pool, scheduler } = await setUp();
    await contractCase.run({
      scheduler,
      idleNode: 'gpu-05',
      busyNode: 'gpu-01',
      beginning: start,
      pass: (ms) => {
        pool.advanceTo(instantFromMs(pool.now() + ms));
        return Promise.resolve();
      },
    });
  });
});

const cordon = { kind: 'cordon', node: 'gpu-05' } as const;

describe('a webhook', () => {
  it('is asked again after failures, under the same key, and at most three times', async () => {
    const { receiver, scheduler } = await setUp();
    receiver.failures.push(503, 429);
    expect((await scheduler.act(cordon, { idempotencyKey: 'k-1', reason: 'r' })).ok).toBe(true);
    expect(receiver.seen).toEqual([
      'POST /hook/actions 503',
      'POST /hook/actions 429',
      'POST /hook/actions 200',
    ]);
    receiver.failures.push(500, 500, 500);
    await expect(scheduler.observe()).rejects.toMatchObject({ code: 'dependency.unavailable' });
    expect(receiver.seen.slice(3)).toEqual(Array<string>(3).fill('GET /hook/state 500'));
  });

  it('is not asked again when it says no', async () => {
    const { receiver, scheduler } = await setUp();
    receiver.failures.push(403);
    await expect(scheduler.observe()).rejects.toMatchObject({ code: 'forbidden' });
    expect(receiver.seen).toHaveLength(1);
  });

  it('with another secret is refused', async () => {
    const { scheduler } = await setUp({ secret: 'another-secret-here' });
    await expect(scheduler.observe()).rejects.toMatchObject({ code: 'unauthorized' });
  });

  it('is not asked for what it was not configured for', async () => {
    const { receiver, scheduler } = await setUp({ can: ['cordon'] });
    const drained = await scheduler.act(
      { kind: 'drain', node: 'gpu-05' },
      { idempotencyKey: 'k', reason: '' },
    );
    expect(drained).toMatchObject({ ok: false, reason: 'unsupported' });
    await expect(scheduler.accounting(start)).rejects.toMatchObject({ code: 'dependency.refused' });
    expect(receiver.seen).toEqual([]);
  });

  it('without a secret cannot be configured', () => {
    const pool = { id: 'main', providerId: 'north', nodePatterns: ['*'] };
    expect(() => createScheduler({ kind: 'webhook', url: 'http://127.0.0.1:1' }, pool)).toThrow(
      /secret_file/,
    );
  });
});

describe('a signature', () => {
  const request = { method: 'POST', path: '/a', body: '{}', idempotencyKey: 'k', timestamp: '1000' };
  // printf '1000\nPOST\n/a\nk\n{}' | openssl dgst -sha256 -hmac a-secret-of-some-length
  const signature = 'v1=ade707b39462b24947b6e97b8822dc6c31834570840d61b1e055ba1754a175ef';
  const check = (changes: object, nowMs = 1_000_000) =>
    isWebhookSignatureGood({ ...request, ...changes }, { secret: SECRET, signature, nowMs });

  it('is the one that openssl computes', () => expect(check({})).toBe(true));

  it.each([
    ['another body', { body: '{ }' }],
    ['another path', { path: '/b' }],
    ['another method', { method: 'GET' }],
    ['another key', { idempotencyKey: 'l' }],
    ['another time', { timestamp: '1001' }],
    ['a time that is none', { timestamp: '1e3' }],
  ])('does not fit %s', (_what, changes) => expect(check(changes)).toBe(false));

  it('is too old after five minutes', () => {
    expect([check({}, 1_300_000), check({}, 1_301_000)]).toEqual([true, false]);
  });
});
