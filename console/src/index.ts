export { consoleRoutes } from './console-routes.js';
export { poolRoutes } from './pool-routes.js';
export type { PoolRoutesDeps } from './pool-routes-deps.js';
export type { GpuHealthView, LeaseView, PoolDatabase, PoolView } from './pool-database.js';
export type { ConsoleRoutesOptions } from './console-routes.js';
