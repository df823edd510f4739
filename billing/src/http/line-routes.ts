/** `/v1/invoice-lines/{id}`: the way down from an amount to intervals and raw samples. */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import { instantFromMs } from '@poolmeter/domain';
import {
  answerList,
  createRouter,
  decodeCursor,
  encodeCursor,
  listQuery,
  listResponses,
  page,
  pageOf,
  refuseOthers,
  requireScope,
  type ApiEnv,
  type Page,
  type Principal,
} from '@poolmeter/http-api';
import { explainLine } from '../invoicing/explain-line.js';
import {
  intervalToJson,
  lineToJson,
  readIntervals,
  readLine,
  type LineWithInvoice,
} from '../invoicing/read-invoices.js';
import type { BillingApiDeps } from './billing-api-deps.js';
import { answer, intervalSchema, lineSchema } from './wire-schemas.js';

const params = z.object({ id: z.string().max(200) });
const reading = [requireScope('invoices:read')];

const showLine = createRoute({
  method: 'get',
  path: '/v1/invoice-lines/{id}',
  summary: 'One line',
  middleware: reading,
  request: { params },
  responses: answer(lineSchema.extend({ invoice_id: z.string() }), 'The line.'),
});

const explanationSchema = z
  .object({
    line: lineSchema,
    invoice: z.object({ id: z.string(), number: z.string().nullable(), status: z.string() }),
    formula: z.string(),
    parts: z.array(z.record(z.string(), z.unknown())),
    price_version: z.string(),
    rate: z.record(z.string(), z.unknown()).nullable(),
    rounding: z.string(),
    cut_points: z.array(z.string()),
    exclusions: z.array(z.record(z.string(), z.unknown())),
    evidence: z.record(z.string(), z.unknown()).nullable(),
    details: z.record(z.string(), z.unknown()),
  })
  .openapi('Explanation');

const explain = createRoute({
  method: 'get',
  path: '/v1/invoice-lines/{id}/explain',
  summary: 'Why the line is what it is',
  middleware: reading,
  request: { params },
  responses: answer(explanationSchema, 'Formula, price, cut points, exclusions and evidence.'),
});

const listIntervals = createRoute({
  method: 'get',
  path: '/v1/invoice-lines/{id}/intervals',
  summary: 'The intervals that the line is made of, oldest first; their amounts add up to it',
  middleware: reading,
  request: { params, query: listQuery },
  responses: listResponses(intervalSchema),
});

const sampleSchema = z
  .object({ ts: z.string(), gpu_uuid: z.string(), gpu_instance: z.string() })
  .catchall(z.unknown())
  .openapi('LineSample');

const listSamples = createRoute({
  method: 'get',
  path: '/v1/invoice-lines/{id}/samples',
  summary: 'The raw samples of the intervals, interval by interval, oldest first',
  middleware: reading,
  request: { params, query: listQuery },
  responses: listResponses(sampleSchema),
});

export function lineRoutes(deps: BillingApiDeps): OpenAPIHono<ApiEnv> {
  const router = createRouter();
  const { db } = deps.store;
  const own = async (id: string, principal: Principal): Promise<LineWithInvoice> => {
    const found = await readLine(db, id);
    refuseOthers(principal, { customerId: found.invoice.customer_id }, `invoice line ${id}`);
    return found;
  };
  router.openapi(showLine, async (c) => {
    const { line, invoice } = await own(c.req.valid('param').id, c.get('principal'));
    return c.json({ ...lineToJson(line, invoice.currency), invoice_id: invoice.invoice_id }, 200);
  });
  router.openapi(explain, async (c) => {
    const { id } = c.req.valid('param');
    await own(id, c.get('principal'));
    return c.json(await explainLine({ db, evidence: deps.evidence }, id), 200);
  });
  router.openapi(listIntervals, async (c) => {
    const { id } = c.req.valid('param');
    const { invoice } = await own(id, c.get('principal'));
    const { limit, cursor } = c.req.valid('query');
    const after = cursor === undefined ? {} : { after: decodeCursor('intervals', cursor, intervalCursor) };
    const rows = await readIntervals(db, id, { limit: limit + 1, ...after });
    const shown = pageOf(rows, limit, (last) =>
      encodeCursor('intervals', { startedAtMs: last.started_at.getTime(), id: last.interval_id }),
    );
    return answerList(c, { ...shown, data: shown.data.map((row) => intervalToJson(row, invoice.currency)) });
  });
  router.openapi(listSamples, async (c) => {
    const { id } = c.req.valid('param');
    await own(id, c.get('principal'));
    return answerList(c, await readSamples(deps, id, c.req.valid('query')));
  });
  return router;
}

const intervalCursor = z.object({ startedAtMs: z.int(), id: z.string() });

/** The interval that is being read, and the first instant of it that was not shown yet. */
const sampleCursor = z.object({ startedAtMs: z.int(), id: z.string(), fromMs: z.int() });

async function readSamples(
  deps: BillingApiDeps,
  lineId: string,
  { limit, cursor }: z.output<typeof listQuery>,
): Promise<Page<object>> {
  const place = cursor === undefined ? undefined : decodeCursor('line-samples', cursor, sampleCursor);
  // The interval in hand comes again: `after` is exclusive, so one id less is asked for.
  const after =
    place === undefined ? {} : { after: { startedAtMs: place.startedAtMs, id: before(place.id) } };
  const samples: object[] = [];
  for (const row of await readIntervals(deps.store.db, lineId, { limit: INTERVALS_PER_PAGE, ...after })) {
    const isInHand = row.interval_id === place?.id;
    const start = isInHand ? instantFromMs(place.fromMs) : instantFromMs(row.started_at.getTime());
    const found = await deps.evidence.samplesOf({
      gpuUuid: row.gpu_uuid,
      gpuInstance: row.gpu_instance,
      start,
      end: instantFromMs(row.ended_at.getTime()),
      limit: limit - samples.length + 1,
    });
    const room = limit - samples.length;
    samples.push(...found.slice(0, room));
    if (found.length > room) {
      const next = found[room] as { ts: string };
      const fromMs = Date.parse(next.ts);
      const position = { startedAtMs: row.started_at.getTime(), id: row.interval_id, fromMs };
      return page(samples, encodeCursor('line-samples', position));
    }
  }
  return page(samples, null);
}

const INTERVALS_PER_PAGE = 10_000;

/** The greatest text below an interval's id: ids are lower-case hexadecimal behind a prefix. */
function before(id: string): string {
  return `${id.slice(0, -1)}${String.fromCharCode(id.charCodeAt(id.length - 1) - 1)}~`;
}
