/** `/v1/gpus`: every GPU of the pool as it is now. */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import { PoolmeterError } from '@poolmeter/domain';
import {
  answerList,
  decodeCursor,
  encodeCursor,
  listQuery,
  listResponses,
  pageOf,
  requireScope,
  type ApiEnv,
} from '@poolmeter/http-api';
import { gpuSchema, gpuStateSchema, type GpuJson } from './gpu-shape.js';
import type { PoolRoutesDeps } from './pool-routes-deps.js';
import { readGpus } from './read-gpus.js';

const listGpus = createRoute({
  method: 'get',
  path: '/v1/gpus',
  summary: 'GPUs as they are now, by node and index',
  middleware: [requireScope('gpus:read')],
  request: {
    query: listQuery.extend({
      node: z.string().max(200).optional(),
      pool: z.string().max(200).optional(),
      state: gpuStateSchema.optional(),
      gpu_model: z.string().max(200).optional(),
    }),
  },
  responses: listResponses(gpuSchema),
});

const showGpu = createRoute({
  method: 'get',
  path: '/v1/gpus/{uuid}',
  summary: 'One GPU as it is now',
  middleware: [requireScope('gpus:read')],
  request: { params: z.object({ uuid: z.string().max(200) }) },
  responses: {
    200: { description: 'The GPU.', content: { 'application/json': { schema: gpuSchema } } },
  },
});

const LIST = 'gpus';
const cursorSchema = z.tuple([z.string(), z.number().int(), z.string()]);
type Place = z.output<typeof cursorSchema>;

export function addGpuRoutes(router: OpenAPIHono<ApiEnv>, deps: PoolRoutesDeps): void {
  router.openapi(listGpus, async (c) => {
    const { limit, cursor, node, pool, state, gpu_model } = c.req.valid('query');
    const after = cursor === undefined ? undefined : decodeCursor(LIST, cursor, cursorSchema);
    const gpus = await readGpus(deps, { principal: c.get('principal'), filter: { node, pool } });
    const wanted = gpus.filter(
      (gpu) =>
        (state === undefined || gpu.state === state) &&
        (gpu_model === undefined || gpu.gpu_model === gpu_model) &&
        (after === undefined || isBehind(placeOf(gpu), after)),
    );
    return answerList(
      c,
      pageOf(wanted, limit, (last) => encodeCursor(LIST, placeOf(last))),
    );
  });

  router.openapi(showGpu, async (c) => {
    const { uuid } = c.req.valid('param');
    return c.json(await findGpu(deps, { principal: c.get('principal'), uuid }), 200);
  });
}

/** The GPU, or `not_found` for one that is unknown or somebody else's. */
export async function findGpu(
  deps: PoolRoutesDeps,
  { principal, uuid }: { readonly principal: ApiEnv['Variables']['principal']; readonly uuid: string },
): Promise<GpuJson> {
  const [gpu] = uuid === '' ? [] : await readGpus(deps, { principal, filter: { gpuUuid: uuid } });
  if (gpu === undefined) throw new PoolmeterError('not_found', `There is no GPU ${uuid}.`);
  return gpu;
}

function placeOf(gpu: GpuJson): Place {
  return [gpu.node, gpu.gpu_index, gpu.gpu_uuid];
}

function isBehind(place: Place, other: Place): boolean {
  if (place[0] !== other[0]) return place[0] > other[0];
  return place[1] === other[1] ? place[2] > other[2] : place[1] > other[1];
}
