/** The autoscaler's routes, for the API to mount. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { createRouter, type ApiEnv } from '@poolmeter/http-api';
import { addDecisionRoutes } from './decision-routes.js';
import { addKillSwitchRoutes } from './kill-switch-routes.js';
import { addPoolRoutes } from './pool-routes.js';
import type { AutoscalerRoutesDeps } from './routes-deps.js';

export function autoscalerRoutes(deps: AutoscalerRoutesDeps): OpenAPIHono<ApiEnv> {
  const router = createRouter();
  addDecisionRoutes(router, deps);
  addPoolRoutes(router, deps);
  addKillSwitchRoutes(router, deps);
  return router;
}
