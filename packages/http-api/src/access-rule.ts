/** Who may call a route, stated where the route is written. */
import { PoolmeterError } from '@poolmeter/domain';
import type { MiddlewareHandler } from 'hono';
import { createMiddleware } from 'hono/factory';
import type { ApiEnv } from './api-env.js';
import { covers, isScope, type Principal } from './principal.js';

/** Middleware that states who may call a route; `createRouter` refuses a `/v1` route without one. */
export type AccessRule = MiddlewareHandler<ApiEnv> & { readonly accessRule: string };

/** The token must carry this scope, such as `invoices:read`. */
export function requireScope(scope: string): AccessRule {
  if (!isScope(scope) || scope.includes('*'))
    throw new Error(`"${scope}" is not a scope: write resource:read or resource:write.`);
  return accessRule(scope, (principal) => {
    if (covers(principal.scopes, scope)) return;
    throw new PoolmeterError('forbidden', `This token lacks the scope ${scope}.`, { details: { scope } });
  });
}

/** Only tokens of the operator may call the route, whatever their scopes. */
export function operatorOnly(): AccessRule {
  return accessRule('operator only', (principal) => {
    if (principal.binding.kind === 'operator') return;
    throw new PoolmeterError('forbidden', 'Only an operator may do this; this token belongs to one account.');
  });
}

/** Every valid token may call the route. */
export function anyPrincipal(): AccessRule {
  return accessRule('any token', () => undefined);
}

function accessRule(rule: string, check: (principal: Principal) => void): AccessRule {
  const middleware = createMiddleware<ApiEnv>(async (c, next) => {
    check(c.get('principal'));
    await next();
  });
  return Object.assign(middleware, { accessRule: rule });
}
