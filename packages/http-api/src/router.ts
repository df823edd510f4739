/** Routers with the conventions built in: what a route does not declare is refused, and who may call it is stated. */
import { OpenAPIHono, z, type Hook, type RouteConfig } from '@hono/zod-openapi';
import { createMiddleware } from 'hono/factory';
import type { MiddlewareHandler } from 'hono';
import type { ApiEnv } from './api-env.js';
import type { AccessRule } from './access-rule.js';
import { faultsOfZod, inputFault, problemSchema } from './problem.js';

/**
 * A router for one app's routes. Each `/v1` route must carry an access rule (`requireScope`, `operatorOnly` or
 * `anyPrincipal`) as middleware; query parameters that it does not declare are refused; bodies are required unless it
 * says `required: false`.
 */
export function createRouter(): OpenAPIHono<ApiEnv> {
  const router = new OpenAPIHono<ApiEnv>({ defaultHook: refuseWrongInput });
  const register = router.openapi;
  const guarded = (route: RouteConfig, ...rest: unknown[]): unknown =>
    (register as (...all: unknown[]) => unknown)(withConventions(route), ...rest);
  router.openapi = guarded as typeof router.openapi;
  return router;
}

const WHERE: Readonly<Record<string, string>> = { json: 'body', form: 'body', param: 'path' };

const refuseWrongInput: Hook<unknown, ApiEnv, string, undefined> = (result) => {
  if (result.success) return undefined;
  throw inputFault(faultsOfZod(result.error, WHERE[result.target] ?? result.target));
};

function withConventions(route: RouteConfig): RouteConfig {
  const given = route.middleware === undefined ? [] : [route.middleware].flat();
  const rules = given.filter(isAccessRule).map((rule) => rule.accessRule);
  const isPrivate = route.path.startsWith('/v1/');
  if (isPrivate && rules.length === 0) {
    throw new Error(
      `${route.method} ${route.path} does not say who may call it: add requireScope, operatorOnly or anyPrincipal.`,
    );
  }
  const body = route.request?.body;
  return {
    ...route,
    ...(body === undefined ? {} : { request: { ...route.request, body: { required: true, ...body } } }),
    ...(isPrivate ? { security: [{ bearer: [] }], 'x-access': rules } : {}),
    responses: { ...route.responses, default: route.responses.default ?? problemResponses.default },
    middleware: [...given, refuseUnknownQuery(route)] as MiddlewareHandler[],
  };
}

/** The `default` response of every route. */
export const problemResponses = {
  default: {
    description: 'A problem document; `code` is stable.',
    content: { 'application/problem+json': { schema: problemSchema } },
  },
} as const;

function isAccessRule(middleware: unknown): middleware is AccessRule {
  return typeof middleware === 'function' && 'accessRule' in middleware;
}

function refuseUnknownQuery(route: RouteConfig): MiddlewareHandler<ApiEnv> {
  const known = queryNames(route);
  return createMiddleware<ApiEnv>(async (c, next) => {
    const unknown = Object.keys(c.req.queries()).filter((name) => !known.includes(name));
    if (unknown.length > 0) {
      const hint = known.length === 0 ? 'this address takes none' : `this address takes ${known.join(', ')}`;
      throw inputFault(
        unknown.map((name) => ({ path: `query.${name}`, message: `is not a parameter; ${hint}` })),
      );
    }
    await next();
  });
}

function queryNames(route: RouteConfig): string[] {
  let query: unknown = route.request?.query;
  if (query === undefined) return [];
  while (query instanceof z.ZodPipe) query = query.in;
  if (!(query instanceof z.ZodObject)) {
    throw new Error(
      `The query of ${route.method} ${route.path} must be a z.object, so that unknown parameters are refused.`,
    );
  }
  return Object.keys(query.shape);
}
