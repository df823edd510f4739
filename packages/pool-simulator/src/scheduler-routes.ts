/** The simulated scheduler over HTTP: what packages/scheduler's simulator adapter talks to. */
import {
  isPoolmeterError,
  messageOf,
  parseInstant,
  PoolmeterError,
  type EpochMs,
  type ErrorCode,
} from '@poolmeter/domain';
import { heldShareToJson, observationToJson, type SchedulerAction } from '@poolmeter/scheduler';
import type { Logger } from '@poolmeter/service';
import { Hono } from 'hono';
import { timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import type { PoolTime } from './pool-time.js';
import type { SimulatedPool } from './simulated-pool.js';

export interface SchedulerRoutesOptions {
  readonly pool: SimulatedPool;
  readonly time: PoolTime;
  readonly logger: Logger;
  /** When given, every request needs it as a bearer token. */
  readonly token: string | undefined;
  /** Where each node's exporter and kernel log are now. */
  readonly sources: () => readonly { node: string; url: string; kernelLogFile: string; providerId: string }[];
}

const nodeKinds = ['cordon', 'uncordon', 'drain', 'remove', 'power_up', 'power_down'] as const;
const reason = z.string().max(500).default('');

const actionBody = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.enum(nodeKinds), node: z.string().min(1).max(200), reason }),
  z.strictObject({ kind: z.literal('add'), count: z.int(), gpu_model: z.string().min(1).max(200), reason }),
]);

const statuses: Partial<Record<ErrorCode, 400 | 401 | 404 | 409 | 412>> = {
  'input.invalid': 400,
  unauthorized: 401,
  not_found: 404,
  'input.conflict': 409,
  precondition_failed: 412,
};

export function createSchedulerRoutes(options: SchedulerRoutesOptions): Hono {
  const { pool, time } = options;
  const routes = new Hono();
  routes.use('/v1/*', async (context, next) => {
    requireToken(options.token, context.req.header('authorization'));
    time.advance();
    await next();
  });
  routes.get('/health', (context) => context.text('OK'));
  routes.get('/v1/observation', (context) => context.json(observationToJson(pool.observe())));
  routes.get('/v1/accounting', (context) => {
    const since = sinceOf(context.req.query('since'));
    return context.json({ data: pool.accounting(since).map(heldShareToJson) });
  });
  routes.get('/v1/exporters', (context) =>
    context.json({
      data: options.sources().map((source) => ({
        node: source.node,
        provider_id: source.providerId,
        metrics_url: source.url,
        kernel_log_file: source.kernelLogFile,
      })),
    }),
  );
  routes.post('/v1/actions', async (context) => {
    const idempotencyKey = context.req.header('idempotency-key');
    if (idempotencyKey === undefined || idempotencyKey === '') {
      throw new PoolmeterError('input.invalid', 'An action needs an Idempotency-Key header.');
    }
    const body = parsedBody(await context.req.text());
    return context.json(pool.act(actionOf(body), { idempotencyKey, reason: body.reason }));
  });
  routes.onError((fault, context) => {
    const code = isPoolmeterError(fault) ? fault.code : 'internal';
    const status = statuses[code];
    if (status === undefined) options.logger.error({ err: fault }, 'The simulated scheduler failed.');
    return context.json({ code, detail: messageOf(fault) }, status ?? 500);
  });
  return routes;
}

function requireToken(token: string | undefined, header: string | undefined): void {
  if (token === undefined) return;
  const given = Buffer.from(header ?? '');
  const wanted = Buffer.from(`Bearer ${token}`);
  if (given.length === wanted.length && timingSafeEqual(given, wanted)) return;
  throw new PoolmeterError('unauthorized', 'The simulated scheduler needs its bearer token.');
}

function sinceOf(text: string | undefined): EpochMs {
  if (text !== undefined) return parseInstant(text);
  throw new PoolmeterError('input.invalid', 'Accounting needs since=INSTANT in RFC 3339.');
}

function parsedBody(text: string): z.output<typeof actionBody> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new PoolmeterError('input.invalid', 'An action is a JSON object.', { cause });
  }
  const parsed = actionBody.safeParse(json);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new PoolmeterError('input.invalid', `This is no action: ${faults.join('; ')}.`);
}

function actionOf(body: z.output<typeof actionBody>): SchedulerAction {
  return body.kind === 'add'
    ? { kind: 'add', count: body.count, gpuModel: body.gpu_model }
    : { kind: body.kind, node: body.node };
}
