import { instantFromMs, ManualClock, parseInstant, systemClock } from '@poolmeter/domain';
import { createSimulatorScheduler } from '@poolmeter/scheduler';
import { schedulerContract } from '@poolmeter/scheduler/contract';
import { createLogger } from '@poolmeter/service';
import { parseMetrics } from 'dcgm-exporter-client';
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { createPoolScheduler } from './pool-scheduler.js';
import type { Scenario } from './scenario.js';
import { servePool, type ServedPool, type ServePoolOptions } from './serve-pool.js';
import { createSimulatedPool } from './simulated-pool.js';

const folder = mkdtempSync(join(tmpdir(), 'serve-pool-'));
afterAll(() => rmSync(folder, { recursive: true }));

const start = parseInstant('2026-03-10T09:00:00Z');
const at = (time: string) => parseInstant(`2026-03-10T${time}Z`);
const logger = createLogger({ service: 'test', level: 'silent' });
const running: ServedPool[] = [];
let folders = 0;

afterEach(async () => {
  for (const served of running.splice(0)) await served.stop();
});

async function serve(scenario: Scenario, options: Partial<ServePoolOptions> = {}) {
  folders += 1;
  const clock = new ManualClock(start);
  const pool = createSimulatedPool({ seed: 2, startAt: start, scenario });
  const served = servePool({ pool, clock, logger, kernelLogDir: join(folder, String(folders)), ...options });
  running.push(served);
  await served.start();
  const urlOf = (node: string) => served.exporters().find((one) => one.node === node)!.url;
  const logOf = (node: string) =>
    readFileSync(served.exporters().find((one) => one.node === node)!.kernelLogFile, 'utf8');
  const moveTo = async (time: string) => {
    clock.set(at(time));
    await served.tick();
  };
  return { clock, pool, served, urlOf, logOf, moveTo };
}

const broken: Scenario = {
  faults: [
    { kind: 'exporter_hang', node: 'gpu-01', at: at('10:00:00'), healthyAt: at('10:10:00') },
    { kind: 'exporter_error', node: 'gpu-02', at: at('10:00:00'), healthyAt: at('10:10:00') },
    {
      kind: 'xid_79',
      node: 'gpu-03',
      gpuIndex: 4,
      at: at('10:00:00.250'),
      healthyAt: at('10:08:00'),
      recovery: 'node_reboot',
    },
  ],
};

describe('a served exporter', () => {
  it('serves its node on a port of its own', async () => {
    const { urlOf, served, pool } = await serve({});
    expect(served.exporters().map((one) => one.node)).toEqual(pool.nodes().map((one) => one.node));
    const response = await fetch(urlOf('gpu-04'));
    expect(response.headers.get('content-type')).toMatch(/^text\/plain/);
    const parsed = parseMetrics(await response.text());
    expect(parsed.faultCount).toBe(0);
    expect(new Set(parsed.readings.map((one) => one.hostname))).toEqual(new Set(['gpu-04']));
    const health = await fetch(urlOf('gpu-04').replace('/metrics', '/health'));
    expect([health.status, await health.text()]).toEqual([200, 'OK']);
    expect((await fetch(urlOf('gpu-04').replace('/metrics', '/nothing'))).status).toBe(404);
  });

  it('hangs, fails and vanishes when the pool says so, and comes back', async () => {
    const { urlOf, moveTo } = await serve(broken);
    await moveTo('10:06:00');
    await expect(fetch(urlOf('gpu-01'), { signal: AbortSignal.timeout(150) })).rejects.toThrow(/timeout/);
    expect((await fetch(urlOf('gpu-01').replace('/metrics', '/health'))).status).toBe(200);
    const failed = await fetch(urlOf('gpu-02'));
    expect([failed.status, (await failed.text()).length > 0]).toEqual([500, true]);
    await expect(fetch(urlOf('gpu-03'))).rejects.toThrow();
    await moveTo('10:30:00');
    for (const node of ['gpu-01', 'gpu-02', 'gpu-03']) expect((await fetch(urlOf(node))).status).toBe(200);
  });

  it('of a node that is added appears, and of one that is removed goes', async () => {
    const { served, urlOf, moveTo } = await serve({});
    const scheduler = createSimulatorScheduler({ url: served.schedulerUrl });
    const gone = urlOf('gpu-06');
    const told = { reason: 'test' };
    await scheduler.act({ kind: 'remove', node: 'gpu-06' }, { ...told, idempotencyKey: '1' });
    await scheduler.act({ kind: 'add', count: 1, gpuModel: 'NVIDIA L40S' }, { ...told, idempotencyKey: '2' });
    await moveTo('09:10:00');
    await expect(fetch(gone)).rejects.toThrow();
    const response = await fetch(urlOf('gpu-07'));
    expect(parseMetrics(await response.text()).readings).toHaveLength(8);
  });
});

describe('a kernel log file', () => {
  it('grows with the pool, line by line and each line once', async () => {
    const { logOf, moveTo, pool } = await serve(broken);
    for (const time of ['09:30:00', '10:00:00.250', '10:00:00.251', '10:00:01', '12:00:00'])
      await moveTo(time);
    expect(logOf('gpu-03')).toContain('2026-03-10T10:00:00,250000+00:00 NVRM: Xid (PCI:0000:91:00): 79');
    expect(logOf('gpu-03').split('\n').slice(0, -1)).toEqual(
      pool.kernelLines('gpu-03', start, at('12:00:00')),
    );
  });

  it('goes on after a restart where it ended, a torn line included, and catches up', async () => {
    const first = await serve(broken);
    await first.moveTo('10:05:00');
    const file = first.served.exporters().find((one) => one.node === 'gpu-03')!.kernelLogFile;
    await first.served.stop();
    running.splice(0);
    appendFileSync(file, '2026-03-10T10:07:11,0000');
    const clock = new ManualClock(at('11:00:00'));
    const pool = createSimulatedPool({ seed: 2, startAt: start, scenario: broken });
    const again = servePool({ pool, clock, logger, kernelLogDir: join(file, '..') });
    running.push(again);
    await again.start();
    expect(readFileSync(file, 'utf8').split('\n').slice(0, -1)).toEqual(
      pool.kernelLines('gpu-03', start, at('11:00:00')),
    );
  });
});

describe('a served scheduler', () => {
  it('wants its token', async () => {
    const { served } = await serve({}, { token: 'secret' });
    const url = served.schedulerUrl;
    await expect(createSimulatorScheduler({ url }).observe()).rejects.toMatchObject({ code: 'unauthorized' });
    await expect(createSimulatorScheduler({ url, token: 'wrong!' }).observe()).rejects.toMatchObject({
      code: 'unauthorized',
    });
    expect((await createSimulatorScheduler({ url, token: 'secret' }).observe()).nodes).toHaveLength(6);
  });

  it.each([
    ['no body', '', 400],
    ['half a body', '{"kind":', 400],
    ['an unknown action', '{"kind":"explode","node":"gpu-01"}', 400],
    ['an action without a node', '{"kind":"drain"}', 400],
  ])('answers %s with a reason', async (_what, body, status) => {
    const { served } = await serve({});
    const response = await fetch(`${served.schedulerUrl}/v1/actions`, {
      method: 'POST',
      headers: { 'idempotency-key': 'k' },
      body,
    });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ code: 'input.invalid' });
  });

  it('wants an idempotency key and an instant', async () => {
    const { served } = await serve({});
    const body = '{"kind":"drain","node":"gpu-01"}';
    expect((await fetch(`${served.schedulerUrl}/v1/actions`, { method: 'POST', body })).status).toBe(400);
    expect((await fetch(`${served.schedulerUrl}/v1/accounting`)).status).toBe(400);
    expect((await fetch(`${served.schedulerUrl}/v1/accounting?since=yesterday`)).status).toBe(400);
  });

  it('lives faster than the clock when told to', async () => {
    const { clock, served } = await serve({}, { speed: 60 });
    const scheduler = createSimulatorScheduler({ url: served.schedulerUrl });
    clock.advance(1_000);
    expect((await scheduler.observe()).observedAt).toBe(instantFromMs(start + 60_000));
  });

  it('stops at once and leaves nothing behind on real time', async () => {
    const pool = createSimulatedPool({ seed: 2, startAt: instantFromMs(systemClock.now() - 3_600_000) });
    const served = servePool({ pool, clock: systemClock, logger, kernelLogDir: join(folder, 'real') });
    await served.start();
    const url = served.exporters()[0]!.url;
    expect((await fetch(url)).status).toBe(200);
    const before = performance.now();
    await served.stop();
    expect(performance.now() - before).toBeLessThan(2_000);
    await expect(fetch(url)).rejects.toThrow();
  });
});

/** One busy node, five idle ones, and a job that no node has room for. */
const contractScenario: Scenario = {
  leases: [
    {
      leaseId: 'lease-1',
      customerId: 'acme',
      node: 'gpu-01',
      gpuIndex: 0,
      startsAt: at('09:00:01'),
      endsAt: at('23:00:00'),
    },
  ],
  submissions: [
    {
      jobId: 'big',
      customerId: 'globex',
      submittedAt: at('09:00:02'),
      durationMs: 3_600_000,
      gpus: 8,
      gpuModel: 'NVIDIA GB200',
    },
  ],
};

describe('the scheduler contract in one process', () => {
  it.each(schedulerContract.map((one) => [one.name, one] as const))('%s', async (_name, contractCase) => {
    const pool = createSimulatedPool({ seed: 2, startAt: start, scenario: contractScenario });
    pool.advanceTo(at('09:01:00'));
    await contractCase.run({
      scheduler: createPoolScheduler(pool),
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

describe('the scheduler contract over HTTP', () => {
  it.each(schedulerContract.map((one) => [one.name, one] as const))('%s', async (_name, contractCase) => {
    const { clock, served, moveTo } = await serve(contractScenario);
    await moveTo('09:01:00');
    await contractCase.run({
      scheduler: createSimulatorScheduler({ url: served.schedulerUrl }),
      idleNode: 'gpu-05',
      busyNode: 'gpu-01',
      beginning: start,
      pass: async (ms) => {
        clock.advance(ms);
        await served.tick();
      },
    });
  });
});
