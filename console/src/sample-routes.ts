/** `/v1/gpus/{uuid}/samples`: one GPU's history, oldest first. */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import { formatInstant } from '@poolmeter/domain';
import {
  answerList,
  decodeCursor,
  encodeCursor,
  inputFault,
  instantInput,
  listQuery,
  listResponses,
  pageOf,
  requireScope,
  type ApiEnv,
} from '@poolmeter/http-api';
import { readGpuSamples, stepSecondsFor, type SamplePoint } from '@poolmeter/metrics-store';
import { parseDurationMs } from '@poolmeter/service';
import { findGpu } from './gpu-routes.js';
import { pointSchema, readingNames, type GpuJson, type PointJson } from './gpu-shape.js';
import type { PoolRoutesDeps } from './pool-routes-deps.js';

const HOUR_MS = 3_600_000;
const MAX_POINTS = 10_000;

const step = z
  .string()
  .openapi({
    description:
      'Distance of the points, such as `30s`, `1m`, `1h`; `0` = every stored sample. By the range when absent.',
    example: '1m',
  })
  .transform((text, context): number => {
    const ms = text === '0' ? 0 : (parseDurationMs(/^\d+$/.test(text) ? `${text}s` : text) ?? Number.NaN);
    if (ms % 1_000 === 0) return ms;
    context.addIssue({
      code: 'custom',
      message: 'write whole seconds, such as 30s, 1m or 1h; 0 = every sample',
    });
    return z.NEVER;
  });

const listSamples = createRoute({
  method: 'get',
  path: '/v1/gpus/{uuid}/samples',
  summary: 'One GPU over time, oldest first; the last hour when no range is given',
  middleware: [requireScope('gpus:read')],
  request: {
    params: z.object({ uuid: z.string().max(200) }),
    query: listQuery.extend({
      limit: z.coerce.number().int().min(1).max(MAX_POINTS).default(1_000),
      from: instantInput.optional(),
      to: instantInput.optional().openapi({ description: 'Exclusive; now when absent.' }),
      step: step.optional(),
      gpu_instance: z.string().max(50).optional().openapi({
        description: 'A MIG instance such as `13/0`; the whole GPU when absent.',
      }),
    }),
  },
  responses: listResponses(pointSchema, 'Points; a gap is a gap, and nothing is filled in.'),
});

const LIST = 'gpu-samples';
/** Where the next page begins, and the step of the whole list: a shorter rest must not change the resolution. */
const cursorSchema = z.tuple([z.number().int(), z.number().int()]);

export function addSampleRoutes(router: OpenAPIHono<ApiEnv>, deps: PoolRoutesDeps): void {
  router.openapi(listSamples, async (c) => {
    const query = c.req.valid('query');
    const principal = c.get('principal');
    const gpu = await findGpu(deps, { principal, uuid: c.req.valid('param').uuid });
    const gpuInstance = query.gpu_instance ?? '';
    const toMs = query.to ?? deps.clock.now();
    const asked = query.from ?? toMs - HOUR_MS;
    if (asked >= toMs) throw inputFault([{ path: 'query.from', message: 'must be before `to`' }]);
    const [fromMs, stepMs] =
      query.cursor === undefined
        ? [asked, query.step ?? stepSecondsFor(toMs - asked) * 1_000]
        : decodeCursor(LIST, query.cursor, cursorSchema);
    const allowedFromMs =
      principal.binding.kind === 'customer' ? Math.max(fromMs, leasedSince(gpu, gpuInstance)) : fromMs;
    const points =
      allowedFromMs >= toMs
        ? []
        : await readGpuSamples(deps.metrics, {
            gpuUuid: gpu.gpu_uuid,
            gpuInstance,
            fromMs: allowedFromMs,
            toMs,
            stepMs,
            limit: query.limit + 1,
          });
    const answer = pageOf(points, query.limit, (last) =>
      encodeCursor(LIST, [last.ts + Math.max(stepMs, 1), stepMs]),
    );
    return answerList(c, { ...answer, data: answer.data.map(pointJson) });
  });
}

/** Before its own lease began, a GPU did somebody else's work: nobody's business. */
function leasedSince(gpu: GpuJson, gpuInstance: string): number {
  const own = gpu.leases.filter((lease) => lease.gpu_instance === '' || lease.gpu_instance === gpuInstance);
  return Math.min(...own.map((lease) => Date.parse(lease.started_at)));
}

function pointJson(point: SamplePoint): PointJson {
  const readings = Object.fromEntries(readingNames.map((name) => [name, point[name]])) as Pick<
    SamplePoint,
    (typeof readingNames)[number]
  >;
  const { sample_count, lease_id } = point;
  return { ts: formatInstant(point.ts), sample_count, lease_id, ...readings };
}
