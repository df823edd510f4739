/** `/v1/nodes`: the pool by node. */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import {
  answerList,
  decodeCursor,
  encodeCursor,
  instantSchema,
  listQuery,
  listResponses,
  pageOf,
  requireScope,
  visibleRows,
  type ApiEnv,
} from '@poolmeter/http-api';
import { gpuStates, type GpuJson, type GpuState } from './gpu-shape.js';
import { nodeHealthOf } from './gpu-state.js';
import type { PoolRoutesDeps } from './pool-routes-deps.js';
import { readGpus } from './read-gpus.js';
import { rowsBy } from './rows-by.js';

const nodeSchema = z
  .object({
    node: z.string(),
    pool: z.string(),
    provider_id: z.string(),
    gpu_count: z.int(),
    last_seen_at: instantSchema.nullable().openapi({ description: 'Time of the newest sample of its GPUs.' }),
    states: z
      .object(Object.fromEntries(gpuStates.map((state) => [state, z.int()])) as Record<GpuState, z.ZodInt>)
      .openapi({ description: 'GPUs per state.' }),
    health: z
      .enum(['healthy', 'faulty', 'verifying', 'unknown'])
      .openapi({ description: 'That of its worst GPU.' }),
    scheduler_state: z.string().nullable().openapi({
      description: 'As its scheduler said last, such as cordoned or draining; null where none did.',
    }),
    demo: z.boolean(),
  })
  .openapi('Node');

const listNodes = createRoute({
  method: 'get',
  path: '/v1/nodes',
  summary: 'Nodes with the health of their GPUs',
  middleware: [requireScope('nodes:read')],
  request: {
    query: listQuery.extend({
      node: z.string().max(200).optional(),
      pool: z.string().max(200).optional(),
      health: nodeSchema.shape.health.optional(),
    }),
  },
  responses: listResponses(nodeSchema),
});

const LIST = 'nodes';

export function addNodeRoutes(router: OpenAPIHono<ApiEnv>, deps: PoolRoutesDeps): void {
  router.openapi(listNodes, async (c) => {
    const { limit, cursor, node, pool, health } = c.req.valid('query');
    const principal = c.get('principal');
    visibleRows(principal, { provider: 'provider_id' });
    const after = cursor === undefined ? '' : decodeCursor(LIST, cursor, z.string());
    const [gpus, schedulerStates] = await Promise.all([
      readGpus(deps, { principal, filter: { node, pool } }),
      readSchedulerStates(deps),
    ]);
    const nodes = [...rowsBy(gpus, (gpu) => gpu.node)]
      .map(([name, parts]) => nodeJson(name, { gpus: parts, schedulerState: schedulerStates.get(name) }))
      .filter((one) => one.node > after && (health === undefined || one.health === health));
    return answerList(
      c,
      pageOf(nodes, limit, (last) => encodeCursor(LIST, last.node)),
    );
  });
}

async function readSchedulerStates({ store }: PoolRoutesDeps): Promise<Map<string, string>> {
  const pools = await store.db.selectFrom('autoscaler.pools_v1').select(['nodes']).execute();
  return new Map(pools.flatMap((pool) => pool.nodes.map((node) => [node.node, node.state] as const)));
}

function nodeJson(
  node: string,
  {
    gpus,
    schedulerState,
  }: { readonly gpus: readonly GpuJson[]; readonly schedulerState: string | undefined },
): z.output<typeof nodeSchema> {
  const states = gpus.map((gpu) => gpu.state);
  const counts = gpuStates.map((state) => [state, states.filter((one) => one === state).length]);
  const seen = gpus.flatMap((gpu) => [gpu.latest, ...gpu.instances.map((one) => one.latest)]);
  const times = seen.flatMap((latest) => (latest === null ? [] : [latest.ts]));
  return {
    node,
    pool: gpus[0]?.pool ?? '',
    provider_id: gpus[0]?.provider_id ?? '',
    gpu_count: gpus.length,
    // RFC 3339 texts of one zone sort like their instants, but for the fraction that is left out when it is zero.
    last_seen_at: times.sort((a, b) => Date.parse(a) - Date.parse(b)).at(-1) ?? null,
    states: Object.fromEntries(counts) as Record<GpuState, number>,
    health: nodeHealthOf(states),
    scheduler_state: schedulerState ?? null,
    demo: gpus.some((gpu) => gpu.demo),
  };
}
