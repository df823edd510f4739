import { createServer } from 'node:net';
import { PoolmeterError } from '@poolmeter/domain';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createLogger } from './logger.js';
import { createOpsServer, type ReadinessCheck } from './ops-server.js';
import { createTelemetry } from './telemetry.js';

const logger = createLogger({ service: 'test', level: 'silent' });

async function serverWith(readiness: ReadinessCheck[]) {
  const telemetry = createTelemetry({ service: 'test', processMetrics: false });
  const server = createOpsServer({ port: 0, telemetry, readiness, logger, checkLimitMs: 50 });
  await server.start();
  onTestFinished(async () => {
    await server.stop();
    await telemetry.shutdown();
  });
  return { server, telemetry };
}

const healthy: ReadinessCheck = { name: 'clickhouse', check: () => Promise.resolve() };

describe('the ops server', () => {
  it('listens on loopback only', async () => {
    const { server } = await serverWith([]);
    expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  });

  it('is alive, ready and counted', async () => {
    const { server } = await serverWith([healthy]);
    const alive = await fetch(`${server.url}/healthz`);
    expect([alive.status, await alive.json()]).toEqual([
      200,
      { status: 'ok', uptime_s: expect.any(Number) as number },
    ]);
    const ready = await fetch(`${server.url}/readyz`);
    expect([ready.status, await ready.json()]).toEqual([
      200,
      {
        status: 'ready',
        checks: [{ name: 'clickhouse', status: 'ok', took_ms: expect.any(Number) as number }],
      },
    ]);
    const metrics = await fetch(`${server.url}/metrics`);
    expect(metrics.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(await metrics.text()).toContain('poolmeter_service_info{service="test"} 1');
  });

  it('names every dependency that fails or hangs, and the healthy ones too', async () => {
    const { server } = await serverWith([
      healthy,
      { name: 'postgres', check: () => Promise.reject(new Error('PostgreSQL refuses connections.')) },
      { name: 'kafka', check: () => new Promise(() => undefined) },
    ]);
    const answer = await fetch(`${server.url}/readyz`);
    expect(answer.status).toBe(503);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(await answer.json()).toMatchObject({
      status: 503,
      code: 'dependency.unavailable',
      detail: 'postgres: PostgreSQL refuses connections. kafka: no answer within 50 ms.',
      checks: [
        { name: 'clickhouse', status: 'ok' },
        { name: 'postgres', status: 'failed' },
        { name: 'kafka', status: 'failed' },
      ],
    });
  });

  it('answers 500 when a metric cannot be read', async () => {
    const { server, telemetry } = await serverWith([]);
    telemetry.meter.createObservableGauge('broken').addCallback(() => {
      throw new Error('no disk');
    });
    expect((await fetch(`${server.url}/metrics`)).status).toBe(500);
  });

  it('has no address before it is started', () => {
    const telemetry = createTelemetry({ service: 'test', processMetrics: false });
    expect(() => createOpsServer({ port: 0, telemetry, readiness: [], logger }).url).toThrow(/no address/);
  });
});

async function startOn(host: string, port: number): Promise<PoolmeterError> {
  const telemetry = createTelemetry({ service: 'test', processMetrics: false });
  const server = createOpsServer({
    host,
    port,
    portSetting: 'POOLMETER_X_PORT',
    telemetry,
    readiness: [],
    logger,
  });
  const fault: unknown = await server.start().then(
    () => server.stop(),
    (reason: unknown) => reason,
  );
  if (!(fault instanceof PoolmeterError)) throw new Error('The server started.', { cause: fault });
  return fault;
}

describe('a port that cannot be had', () => {
  it('in use: says which, and what to do', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    onTestFinished(() => void other.close());
    const { port } = other.address() as { port: number };
    const fault = await startOn('127.0.0.1', port);
    expect(fault.code).toBe('port.in_use');
    expect(fault.message).toContain(`127.0.0.1:${port}`);
    expect(fault.message).toContain('POOLMETER_X_PORT');
  });

  it('on an address that this machine does not have', async () => {
    // RFC 5737 keeps 192.0.2.0/24 for documentation, so no machine has it.
    expect(await startOn('192.0.2.1', 0)).toMatchObject({ code: 'config.invalid' });
  });
});
