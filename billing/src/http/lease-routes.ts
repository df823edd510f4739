/** `/v1/lease-events` and `/v1/leases`. */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import {
  answerList,
  createRouter,
  decodeCursor,
  encodeCursor,
  inputFault,
  instantInput,
  listQuery,
  listResponses,
  operatorOnly,
  pageOf,
  prefersCsv,
  refuseOthers,
  requireScope,
  visibleRows,
  type ApiEnv,
  type Page,
} from '@poolmeter/http-api';
import { PoolmeterError } from '@poolmeter/domain';
import { leaseEventSchema } from '@poolmeter/telemetry-schema';
import type { BillingReader, LeaseRecord } from '../database.js';
import { importLeases, type ImportResult } from '../leases/import-leases.js';
import { leaseToCsvRow, leaseToJson } from '../leases/lease-store.js';
import { leasesToCsv } from '../leases/leases-csv.js';
import { recordLeaseEvents } from '../leases/record-lease-events.js';
import { leaseEventFactsFrom, recordedLeaseEventToJson } from '../leases/recorded-lease-event.js';
import type { BillingApiDeps } from './billing-api-deps.js';
import { answer, jsonBody, leaseSchema, recordedEventSchema } from './wire-schemas.js';

const EVENTS_MAX = 10_000;
const FAULTS_SHOWN_MAX = 100;

const postEvents = createRoute({
  method: 'post',
  path: '/v1/lease-events',
  summary: 'One lease event or a list of them; all or none are recorded',
  middleware: [operatorOnly(), requireScope('leases:write')],
  request: {
    body: jsonBody(z.union([leaseEventSchema, z.array(leaseEventSchema).min(1).max(EVENTS_MAX)])),
  },
  responses: answer(
    z.union([recordedEventSchema, z.object({ data: z.array(recordedEventSchema) })]),
    'As recorded; a repeat of an event_id answers the same. A list answers `{data}` in its order.',
  ),
});

const leaseFilter = listQuery.extend({
  customer_id: z.string().max(200).optional(),
  pool: z.string().max(200).optional(),
  gpu_uuid: z.string().max(200).optional(),
  state: z.enum(['running', 'ended', 'cancelled', 'incomplete']).optional(),
  from: instantInput.optional(),
  to: instantInput.optional(),
});

const listLeases = createRoute({
  method: 'get',
  path: '/v1/leases',
  summary: 'Leases by their start, oldest first; as CSV, the file that an import reads',
  middleware: [requireScope('leases:read')],
  request: { query: leaseFilter },
  responses: listResponses(leaseSchema),
});

const showLease = createRoute({
  method: 'get',
  path: '/v1/leases/{id}',
  summary: 'One lease',
  middleware: [requireScope('leases:read')],
  request: { params: z.object({ id: z.string().max(200) }) },
  responses: answer(leaseSchema, 'The lease as it is known now.'),
});

const importSchema = z
  .object({
    imported: z.int(),
    unchanged: z.int(),
    rejected: z.array(z.object({ line: z.int(), reason: z.string() })),
    rejected_csv: z.string(),
    created_customers: z.array(z.string()),
    created_providers: z.array(z.string()),
  })
  .openapi('LeaseImport');

const postImport = createRoute({
  method: 'post',
  path: '/v1/leases/import',
  summary: 'Imports a leases CSV; nothing is imported when a row is bad, unless bad rows are skipped',
  middleware: [operatorOnly(), requireScope('leases:write')],
  request: {
    query: z.object({ skip_bad_rows: z.enum(['true', 'false']).default('false') }),
    body: { required: true, content: { 'text/csv': { schema: z.string() } } },
  },
  responses: answer(importSchema, 'What came of it.'),
});

export function leaseRoutes(deps: BillingApiDeps): OpenAPIHono<ApiEnv> {
  const router = createRouter();
  router.openapi(postEvents, async (c) => {
    const body = c.req.valid('json');
    const events = (Array.isArray(body) ? body : [body]).map(leaseEventFactsFrom);
    const recorded = await recordLeaseEvents(deps.store, events, {
      clock: deps.clock,
      source: 'api',
      onOverlap: 'refuse',
      onUnknownLease: 'refuse',
    });
    const data = recorded.events.map(recordedLeaseEventToJson) as z.output<typeof recordedEventSchema>[];
    return c.json(Array.isArray(body) ? { data } : (data[0] as (typeof data)[number]), 200);
  });
  router.openapi(listLeases, async (c) => {
    const visible = visibleRows(c.get('principal'), { customer: 'customer_id', provider: 'provider_id' });
    const isCsv = prefersCsv(c.req.header('accept') ?? '');
    const page = await readLeases(deps.store.db, c.req.valid('query'), { visible, countingOnly: isCsv });
    if (!isCsv) {
      return answerList(c, { ...page, data: page.data.map(leaseToJson) });
    }
    const withNext = answerList(c, { ...page, data: [] });
    return c.body(leasesToCsv(page.data.map(leaseToCsvRow)), 200, Object.fromEntries(withNext.headers));
  });
  router.openapi(showLease, async (c) => {
    const { id } = c.req.valid('param');
    const row = await deps.store.db
      .selectFrom('billing.leases')
      .selectAll()
      .where('lease_id', '=', id)
      .executeTakeFirst();
    if (row === undefined) throw new PoolmeterError('not_found', `There is no lease ${id}.`);
    refuseOthers(
      c.get('principal'),
      { customerId: row.customer_id, providerId: row.provider_id },
      `lease ${id}`,
    );
    return c.json(leaseToJson(row), 200);
  });
  router.openapi(postImport, async (c) => {
    const skipBadRows = c.req.valid('query').skip_bad_rows === 'true';
    const result = await importLeases(deps.store, await c.req.text(), { clock: deps.clock, skipBadRows });
    if (!result.done) throw badRows(result);
    return c.json(
      {
        imported: result.imported,
        unchanged: result.unchanged,
        rejected: [...result.rejected],
        rejected_csv: result.rejectedCsv,
        created_customers: [...result.createdCustomers],
        created_providers: [...result.createdProviders],
      },
      200,
    );
  });
  return router;
}

function badRows({ rejected }: ImportResult): PoolmeterError {
  const shown = rejected
    .slice(0, FAULTS_SHOWN_MAX)
    .map(({ line, reason }) => ({ path: `line ${line}`, message: reason }));
  const more = rejected.length - shown.length;
  return inputFault(more > 0 ? [...shown, { path: '', message: `${more} more rows are bad` }] : shown);
}

const leaseCursor = z.object({ start: z.int(), id: z.string() });

interface LeaseSelection {
  readonly visible: { readonly column: 'customer_id' | 'provider_id'; readonly id: string } | undefined;
  /** The CSV is what an import reads: it would take a cancelled lease for one that counts. */
  readonly countingOnly: boolean;
}

async function readLeases(
  db: BillingReader,
  query: z.output<typeof leaseFilter>,
  { visible, countingOnly }: LeaseSelection,
): Promise<Page<LeaseRecord>> {
  let select = db
    .selectFrom('billing.leases')
    .selectAll()
    .where('started_at', 'is not', null)
    .orderBy('started_at')
    .orderBy('lease_id')
    .limit(query.limit + 1);
  if (visible !== undefined) select = select.where(visible.column, '=', visible.id);
  if (countingOnly) select = select.where('state', 'in', ['running', 'ended']);
  for (const column of ['customer_id', 'pool', 'gpu_uuid', 'state'] as const) {
    const wanted = query[column];
    if (wanted !== undefined) select = select.where(column, '=', wanted);
  }
  const { from, to } = query;
  if (to !== undefined) select = select.where('started_at', '<', new Date(to));
  if (from !== undefined) {
    const since = new Date(from);
    select = select.where((either) =>
      either.or([either('ended_at', 'is', null), either('ended_at', '>', since)]),
    );
  }
  if (query.cursor !== undefined) {
    const { start, id } = decodeCursor('leases', query.cursor, leaseCursor);
    const at = new Date(start);
    select = select.where((either) =>
      either.or([
        either('started_at', '>', at),
        either.and([either('started_at', '=', at), either('lease_id', '>', id)]),
      ]),
    );
  }
  return pageOf(await select.execute(), query.limit, (last) =>
    encodeCursor('leases', { start: last.started_at?.getTime() ?? 0, id: last.lease_id }),
  );
}
