/** What operators ask a process: is it alive, can it do its work, and what does it count. */
import { messageOf, PoolmeterError } from '@poolmeter/domain';
import { Hono } from 'hono';
import { openHttpListener, type HttpListener } from './http-listener.js';
import type { Component } from './lifecycle.js';
import type { Logger } from './logger.js';
import type { Telemetry } from './telemetry.js';

/** One dependency that the process cannot work without. `check` rejects with a sentence that says what is wrong. */
export interface ReadinessCheck {
  readonly name: string;
  check(): Promise<void>;
}

export interface OpsRoutesOptions {
  readonly telemetry: Telemetry;
  readonly readiness: readonly ReadinessCheck[];
  readonly logger: Logger;
  /** How long one check may take, in milliseconds; 3 s when absent. A hanging dependency is not a ready one. */
  readonly checkLimitMs?: number;
}

export interface OpsServerOptions extends OpsRoutesOptions {
  /** 127.0.0.1 when absent: metrics and health are not for strangers. */
  readonly host?: string;
  readonly port: number;
  readonly portSetting?: string;
}

interface CheckResult {
  readonly name: string;
  readonly status: 'ok' | 'failed';
  readonly took_ms: number;
  readonly message?: string;
}

/** `/healthz`, `/readyz` and `/metrics` as routes, for a server that carries other routes too. */
export function createOpsRoutes(options: OpsRoutesOptions): Hono {
  const routes = new Hono();
  routes.get('/healthz', (c) => c.json({ status: 'ok', uptime_s: Math.round(process.uptime()) }));
  routes.get('/readyz', async (c) => {
    const checks = await Promise.all(
      options.readiness.map((one) => runCheck(one, options.checkLimitMs ?? 3_000)),
    );
    const failed = checks.filter((one) => one.status === 'failed');
    if (failed.length === 0) return c.json({ status: 'ready', checks });
    options.logger.warn({ checks: failed }, 'Not ready.');
    return c.json(notReady(checks, failed), 503, { 'content-type': 'application/problem+json' });
  });
  routes.get('/metrics', async (c) => {
    try {
      const text = await options.telemetry.metricsText();
      return c.body(text, 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
    } catch (fault) {
      options.logger.error({ err: fault }, 'The metrics could not be read.');
      const body = { type: 'about:blank', title: 'Metrics unavailable', status: 500, code: 'internal' };
      return c.json({ ...body, detail: messageOf(fault) }, 500, {
        'content-type': 'application/problem+json',
      });
    }
  });
  return routes;
}

/** The ops server of one role, as a component. */
export function createOpsServer(options: OpsServerOptions): Component & { readonly url: string } {
  const routes = createOpsRoutes(options);
  let listener: HttpListener | undefined;
  return {
    name: 'ops server',
    get url() {
      if (listener === undefined) throw new Error('The ops server has no address before it is started.');
      return listener.url;
    },
    async start() {
      listener = await openHttpListener({
        name: 'The ops server',
        host: options.host ?? '127.0.0.1',
        port: options.port,
        fetch: (request) => routes.fetch(request),
        ...(options.portSetting === undefined ? {} : { portSetting: options.portSetting }),
      });
    },
    async stop() {
      await listener?.close();
    },
  };
}

function notReady(checks: readonly CheckResult[], failed: readonly CheckResult[]): Record<string, unknown> {
  const sentences = failed.map((one) => `${one.name}: ${one.message ?? 'failed'}`).join(' ');
  return {
    type: 'about:blank',
    title: 'Not ready',
    status: 503,
    code: 'dependency.unavailable',
    detail: sentences,
    checks,
  };
}

async function runCheck(readiness: ReadinessCheck, limitMs: number): Promise<CheckResult> {
  const from = performance.now();
  const took = () => Math.round(performance.now() - from);
  let timer: NodeJS.Timeout | undefined;
  try {
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(
        () => reject(new PoolmeterError('timeout', `no answer within ${limitMs} ms.`, { retriable: true })),
        limitMs,
      );
    });
    await Promise.race([readiness.check(), late]);
    return { name: readiness.name, status: 'ok', took_ms: took() };
  } catch (fault) {
    return { name: readiness.name, status: 'failed', took_ms: took(), message: messageOf(fault) };
  } finally {
    clearTimeout(timer);
  }
}
