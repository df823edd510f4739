/** Puts the conventions around the routes of all apps: one origin, one error form, one way in. */
import { OpenAPIHono } from '@hono/zod-openapi';
import { createIdSource, PoolmeterError, type Clock, type IdSource } from '@poolmeter/domain';
import {
  openHttpListener,
  type Component,
  type HttpListener,
  type Logger,
  type Telemetry,
} from '@poolmeter/service';
import type { NotFoundHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { createMiddleware } from 'hono/factory';
import type { ApiEnv } from './api-env.js';
import { authenticate } from './authenticate.js';
import { docsPage } from './docs-page.js';
import { idempotent, type IdempotencyStore } from './idempotency.js';
import type { TokenVerifier } from './principal.js';
import { answerError, problemResponse } from './problem.js';
import type { RateLimit } from './rate-limit.js';
import { requestContext } from './request-context.js';

export interface ApiOptions {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly tokens: TokenVerifier;
  /** Where answers to keyed POSTs are kept; without it an `Idempotency-Key` is refused, never ignored. */
  readonly idempotency?: IdempotencyStore;
  readonly rateLimit?: RateLimit;
  readonly telemetry?: Pick<Telemetry, 'meter'>;
  /** How the outside reaches this server, for `servers` of the OpenAPI document. */
  readonly publicBaseUrl?: string;
  /** The largest body, in bytes; 10 MiB when absent. */
  readonly bodyLimitBytes?: number;
  readonly ids?: IdSource;
  /** The version in the OpenAPI document; `0.1.0` when absent. */
  readonly version?: string;
}

/**
 * An API without routes yet: mount each app's router with `api.route('/', router)`. Under `/v1` every request needs a
 * valid token. `/openapi.json` and `/docs` describe whatever is mounted.
 */
export function createApi(options: ApiOptions): OpenAPIHono<ApiEnv> {
  const api = new OpenAPIHono<ApiEnv>();
  const { logger, clock, telemetry } = options;
  const ids = options.ids ?? createIdSource(clock);
  api.onError(answerError);
  api.notFound(refuseUnknown(api));
  api.use(requestContext({ logger, clock, ids, ...(telemetry === undefined ? {} : { telemetry }) }));
  api.use(limitBody(options.bodyLimitBytes ?? 10 * 1024 * 1024));
  api.use('/v1/*', authenticate(options.tokens));
  api.use('/v1/*', limitRate(options.rateLimit));
  api.use('/v1/*', keyed(options));
  api.openAPIRegistry.registerComponent('securitySchemes', 'bearer', { type: 'http', scheme: 'bearer' });
  api.get('/openapi.json', (c) => c.json(documentOf(api, options)));
  api.get('/docs', (c) => c.html(docsPage(documentOf(api, options))));
  return api;
}

function documentOf(api: OpenAPIHono<ApiEnv>, options: ApiOptions) {
  return api.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'poolmeter',
      version: options.version ?? '0.1.0',
      description:
        'Observability and billing of a GPU pool. Instants are RFC 3339 UTC, ranges end-exclusive.',
      license: { name: 'Apache-2.0' },
    },
    ...(options.publicBaseUrl === undefined ? {} : { servers: [{ url: options.publicBaseUrl }] }),
  });
}

function limitBody(maxSize: number) {
  return bodyLimit({
    maxSize,
    onError: () => {
      throw new PoolmeterError(
        'input.too_large',
        `The body is larger than ${maxSize} bytes: send it in parts.`,
        {
          details: { limit_bytes: maxSize },
        },
      );
    },
  });
}

function limitRate(rateLimit: RateLimit | undefined) {
  return createMiddleware<ApiEnv>(async (c, next) => {
    rateLimit?.take(c.get('principal').tokenId);
    await next();
  });
}

function keyed(options: ApiOptions) {
  if (options.idempotency !== undefined)
    return idempotent({ store: options.idempotency, clock: options.clock });
  return createMiddleware<ApiEnv>(async (c, next) => {
    if (c.req.header('idempotency-key') !== undefined) {
      throw new PoolmeterError(
        'input.invalid',
        'This server keeps no idempotency keys: send the request without one.',
      );
    }
    await next();
  });
}

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

/** 405 with `Allow` for a known path, 404 otherwise. */
function refuseUnknown(api: OpenAPIHono<ApiEnv>): NotFoundHandler<ApiEnv> {
  return (c) => {
    const allowed = METHODS.filter((method) =>
      api.router.match(method, c.req.path)[0].some(([[, route]]) => route.method !== 'ALL'),
    );
    if (allowed.length === 0) {
      return problemResponse(
        c,
        new PoolmeterError('not_found', `There is nothing at ${c.req.path}; /docs lists what is.`),
      );
    }
    const allow = (allowed as readonly string[]).includes('GET') ? ['HEAD', ...allowed] : [...allowed];
    const error = new PoolmeterError(
      'method_not_allowed',
      `${c.req.path} takes ${allow.join(', ')}, not ${c.req.method}.`,
      {
        details: { allow: allow.join(', ') },
      },
    );
    return problemResponse(c, error);
  };
}

export interface ApiServerOptions {
  readonly api: OpenAPIHono<ApiEnv>;
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** How a person chooses another port: `--port`, `POOLMETER_API_PORT`. */
  readonly portSetting?: string;
}

/** The API as a component that listens; `stop` lets requests in hand finish. */
export function createApiServer(options: ApiServerOptions): Component & { readonly url: string } {
  let listener: HttpListener | undefined;
  return {
    name: 'API server',
    get url() {
      if (listener === undefined) throw new Error('The API server has no address before it is started.');
      return listener.url;
    },
    async start() {
      listener = await openHttpListener({
        name: 'The API',
        host: options.host,
        port: options.port,
        fetch: (request, env) => options.api.fetch(request, env),
        ...(options.portSetting === undefined ? {} : { portSetting: options.portSetting }),
      });
    },
    async stop() {
      await listener?.close();
    },
  };
}
