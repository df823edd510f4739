/** `/v1/kill-switch`: one switch that stops every action of the autoscaler in every pool. */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import { formatInstant, instantFromMs } from '@poolmeter/domain';
import { instantSchema, operatorOnly, requireScope, writeAudit, type ApiEnv } from '@poolmeter/http-api';
import type { AutoscalerRoutesDeps } from './routes-deps.js';

const answer = {
  200: {
    description: 'The switch.',
    content: {
      'application/json': { schema: z.object({ pulled: z.boolean(), at: instantSchema.nullable() }) },
    },
  },
} as const;

const turnSwitch = createRoute({
  method: 'post',
  path: '/v1/kill-switch/{verb}',
  summary:
    'Halt all actions in all pools, those half-way included, or release them; decisions are still stored',
  middleware: [operatorOnly(), requireScope('pools:write')],
  request: { params: z.object({ verb: z.enum(['halt', 'release']) }) },
  responses: answer,
});

const showSwitch = createRoute({
  method: 'get',
  path: '/v1/kill-switch',
  summary: 'Whether all pools are halted',
  middleware: [operatorOnly(), requireScope('pools:read')],
  responses: answer,
});

export function addKillSwitchRoutes(
  router: OpenAPIHono<ApiEnv>,
  { store, clock }: AutoscalerRoutesDeps,
): void {
  router.openapi(turnSwitch, async (c) => {
    const { verb } = c.req.valid('param');
    const at = clock.now();
    const pulled = verb === 'halt';
    await store.transaction(async (trx) => {
      await trx
        .updateTable('autoscaler.kill_switch')
        .set({ pulled, at: new Date(at) })
        .execute();
      await writeAudit(trx, {
        at,
        principal: c.get('principal'),
        action: `kill_switch.${verb}`,
        objectKind: 'kill_switch',
        objectId: 'autoscaler',
        requestId: c.get('requestId'),
      });
    });
    return c.json({ pulled, at: formatInstant(at) }, 200);
  });

  router.openapi(showSwitch, async (c) => {
    const { pulled, at } = await store.db
      .selectFrom('autoscaler.kill_switch')
      .select(['pulled', 'at'])
      .executeTakeFirstOrThrow();
    return c.json({ pulled, at: at === null ? null : formatInstant(instantFromMs(at.getTime())) }, 200);
  });
}
