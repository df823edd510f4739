/** The pool API: GPUs, nodes, boards and the data of their panels. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { createRouter, type ApiEnv } from '@poolmeter/http-api';
import { parseBoards } from './board.js';
import { addBoardRoutes } from './board-routes.js';
import { addGpuRoutes } from './gpu-routes.js';
import { addNodeRoutes } from './node-routes.js';
import type { PoolRoutesDeps } from './pool-routes-deps.js';
import { addQueryRoutes } from './query-routes.js';
import { addSampleRoutes } from './sample-routes.js';

/** `/v1/gpus`, `/v1/nodes`, `/v1/boards` and `/v1/queries`. Throws when a board is not a dashboard. */
export function poolRoutes(deps: PoolRoutesDeps): OpenAPIHono<ApiEnv> {
  const router = createRouter();
  const boards = parseBoards(deps.boards);
  addGpuRoutes(router, deps);
  addSampleRoutes(router, deps);
  addNodeRoutes(router, deps);
  addBoardRoutes(router, { ...deps, boards });
  addQueryRoutes(router, { ...deps, boards });
  return router;
}
