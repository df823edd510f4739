/** What happens around every request: its id, its line in the log, its measured time, and the headers browsers need. */
import type { Histogram } from '@opentelemetry/api';
import type { Clock, IdSource } from '@poolmeter/domain';
import type { Logger, Telemetry } from '@poolmeter/service';
import { createMiddleware } from 'hono/factory';
import type { Context, MiddlewareHandler } from 'hono';
import { matchedRoutes } from 'hono/route';
import type { ApiEnv } from './api-env.js';

export interface RequestContextOptions {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly ids: IdSource;
  readonly telemetry?: Pick<Telemetry, 'meter'>;
}

const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/;
const TRACE_PARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** Gives each request an id (the caller's `X-Request-Id` when it is a plain word), logs and measures its answer. */
export function requestContext(options: RequestContextOptions): MiddlewareHandler<ApiEnv> {
  const durations = options.telemetry?.meter.createHistogram('poolmeter.http.request.duration', {
    description: 'Time to answer a request, by route and status.',
    unit: 's',
    advice: { explicitBucketBoundaries: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] },
  });
  return createMiddleware<ApiEnv>(async (c, next) => {
    const given = c.req.header('x-request-id');
    const requestId = given !== undefined && REQUEST_ID.test(given) ? given : options.ids.next('req');
    const traceId = TRACE_PARENT.exec(c.req.header('traceparent') ?? '')?.[1];
    c.set('requestId', requestId);
    c.set(
      'logger',
      options.logger.child({
        request_id: requestId,
        ...(traceId === undefined ? {} : { trace_id: traceId }),
      }),
    );
    const from = performance.now();
    await next();
    c.res.headers.set('x-request-id', requestId);
    setSecurityHeaders(c);
    record(c, performance.now() - from, durations);
  });
}

function record(c: Context<ApiEnv>, tookMs: number, durations: Histogram | undefined): void {
  const { method } = c.req;
  const { status } = c.res;
  // The query is left out: it may carry a sign-in code.
  const fields = {
    method,
    path: c.req.path,
    status,
    took_ms: Math.round(tookMs * 10) / 10,
    remote: remoteAddress(c),
  };
  c.get('logger').info(fields, 'request');
  durations?.record(tookMs / 1_000, { method: knownMethod(method), route: routeOf(c), status });
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

/** A method is the caller's word; as a label it must not take any value. */
function knownMethod(method: string): string {
  return METHODS.includes(method) ? method : 'other';
}

/** The pattern of the route that answered, never the path itself: paths hold ids and are without number. */
function routeOf(c: Context): string {
  return matchedRoutes(c).findLast((route) => route.method !== 'ALL')?.path ?? 'none';
}

function remoteAddress(c: Context): string | undefined {
  const bindings = c.env as { incoming?: { socket?: { remoteAddress?: string } } } | undefined;
  return bindings?.incoming?.socket?.remoteAddress;
}

const PAGE_POLICY =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const DATA_POLICY = "default-src 'none'; frame-ancestors 'none'";

function setSecurityHeaders(c: Context): void {
  const { headers } = c.res;
  const isPage = headers.get('content-type')?.startsWith('text/html') === true;
  const wanted: Record<string, string> = {
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'content-security-policy': isPage ? PAGE_POLICY : DATA_POLICY,
    ...(c.req.path.startsWith('/v1/') ? { 'cache-control': 'no-store' } : {}),
  };
  for (const [name, value] of Object.entries(wanted)) if (!headers.has(name)) headers.set(name, value);
}
