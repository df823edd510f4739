/** `/v1/credit-notes`, `/v1/holds` and `/v1/maintenance`: what corrects an invoice, or keeps it from being final. */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import { idFromFacts, parseInstant, PoolmeterError } from '@poolmeter/domain';
import {
  answerList,
  createRouter,
  instantInput,
  instantSchema,
  listResponses,
  moneySchema,
  operatorOnly,
  page,
  refuseOthers,
  requireScope,
  visibleRows,
  type ApiEnv,
} from '@poolmeter/http-api';
import { instantText, optionalInstantText } from '../copies/row-copies.js';
import { readInvoiceRow } from '../invoicing/read-invoices.js';
import { issueNote, noteToJson } from '../notes/issue-note.js';
import { recordFor, type BillingApiDeps } from './billing-api-deps.js';
import { answer, jsonBody } from './wire-schemas.js';

const LISTED_MAX = 1_000;
const idText = z.string().min(1).max(200);
const month = z.string().regex(/^\d{4}-\d{2}$/, 'write a month such as 2026-03');

const noteSchema = z
  .object({
    id: z.string(),
    kind: z.enum(['credit', 'debit']),
    number: z.string(),
    invoice_id: z.string(),
    customer_id: z.string(),
    period: z.string(),
    subtotal: moneySchema.openapi({ description: 'Negative on a credit note.' }),
    tax: moneySchema,
    total: moneySchema,
    gpu_ms: z.string(),
    details: z.record(z.string(), z.unknown()),
    issued_at: instantSchema,
  })
  .openapi('Note');

const listNotes = createRoute({
  method: 'get',
  path: '/v1/credit-notes',
  summary: 'Credit and debit notes, newest first',
  middleware: [requireScope('invoices:read')],
  request: { query: z.object({ customer_id: idText.optional(), invoice_id: idText.optional() }) },
  responses: listResponses(noteSchema),
});

const showNote = createRoute({
  method: 'get',
  path: '/v1/credit-notes/{id}',
  summary: 'One note, by id or number',
  middleware: [requireScope('invoices:read')],
  request: { params: z.object({ id: idText }) },
  responses: answer(noteSchema, 'The note.'),
});

const postNote = createRoute({
  method: 'post',
  path: '/v1/credit-notes',
  summary: 'Issues the note that changed verdicts make due on a final invoice; none when they stand',
  middleware: [operatorOnly(), requireScope('invoices:write')],
  request: { body: jsonBody(z.strictObject({ invoice_id: idText })) },
  responses: answer(z.object({ note: noteSchema.nullable() }), 'The note, or null when nothing is due.'),
});

const holdSchema = z
  .object({
    id: z.string(),
    customer_id: z.string(),
    period: z.string(),
    reason: z.string(),
    description: z.string(),
    blocked: z.string().nullable(),
    owner: z.enum(['operations', 'finance']),
    cleared_by: z.string(),
    incident_ids: z.array(z.string()),
    placed_at: instantSchema,
    released_at: instantSchema.nullable(),
    release_note: z.string().nullable(),
  })
  .openapi('Hold');

const holdInput = z.strictObject({
  id: idText.optional(),
  customer_id: idText,
  period: month,
  reason: z.enum([
    'attribution_not_final',
    'notice_disputed',
    'charge_disputed',
    'goodwill_review',
    'burst_inconsistent',
    'amount_undefined',
  ]),
  description: z.string().min(1).max(2_000),
  blocked: z
    .string()
    .regex(/^\d{1,15}(\.\d{1,3})?$/, 'write digits such as "12.50"')
    .optional(),
  owner: z.enum(['operations', 'finance']).default('finance'),
  cleared_by: z.string().min(1).max(1_000),
  incident_ids: z.array(idText).max(1_000).default([]),
});

const listHolds = createRoute({
  method: 'get',
  path: '/v1/holds',
  summary: 'Holds that people placed, open ones first',
  middleware: [operatorOnly(), requireScope('invoices:read')],
  request: { query: z.object({ customer_id: idText.optional(), period: month.optional() }) },
  responses: listResponses(holdSchema),
});

const postHold = createRoute({
  method: 'post',
  path: '/v1/holds',
  summary: 'Keeps the invoice of a period from being final until the hold is released',
  middleware: [operatorOnly(), requireScope('invoices:write')],
  request: { body: jsonBody(holdInput) },
  responses: answer(holdSchema, 'The hold.'),
});

const releaseHold = createRoute({
  method: 'post',
  path: '/v1/holds/{id}/release',
  summary: 'Releases a hold',
  middleware: [operatorOnly(), requireScope('invoices:write')],
  request: {
    params: z.object({ id: idText }),
    body: jsonBody(z.strictObject({ note: z.string().min(1).max(1_000) })),
  },
  responses: answer(holdSchema, 'The hold.'),
});

const maintenanceInput = z.strictObject({
  id: idText,
  pool: idText.default('*'),
  node: idText.default('*'),
  gpu_uuid: idText.default('*'),
  announced_at: z.string(),
  starts_at: z.string(),
  ends_at: z.string(),
  description: z.string().min(1).max(1_000),
});

const maintenanceSchema = maintenanceInput.extend({ recorded_at: instantSchema }).openapi('Maintenance');

const listMaintenance = createRoute({
  method: 'get',
  path: '/v1/maintenance',
  summary: 'Announced work on hardware, newest first',
  middleware: [requireScope('incidents:read')],
  request: { query: z.object({ from: instantInput.optional() }) },
  responses: listResponses(maintenanceSchema),
});

const postMaintenance = createRoute({
  method: 'post',
  path: '/v1/maintenance',
  summary: 'Announces work on hardware; the same id again changes nothing',
  middleware: [operatorOnly(), requireScope('incidents:write')],
  request: { body: jsonBody(maintenanceInput) },
  responses: answer(maintenanceSchema, 'As recorded.'),
});

export function correctionRoutes(deps: BillingApiDeps): OpenAPIHono<ApiEnv> {
  const router = createRouter();
  addNotes(router, deps);
  addHolds(router, deps);
  addMaintenance(router, deps);
  return router;
}

function addNotes(router: OpenAPIHono<ApiEnv>, deps: BillingApiDeps): void {
  const { db } = deps.store;
  const readNote = async (id: string) => {
    const row = await db
      .selectFrom('billing.notes')
      .selectAll()
      .where((either) => either.or([either('note_id', '=', id), either('number', '=', id)]))
      .executeTakeFirst();
    if (row === undefined) throw new PoolmeterError('not_found', `There is no note ${id}.`);
    return row;
  };
  router.openapi(listNotes, async (c) => {
    const query = c.req.valid('query');
    const visible = visibleRows(c.get('principal'), { customer: 'customer_id' });
    let select = db.selectFrom('billing.notes').selectAll().orderBy('issued_at', 'desc').orderBy('note_id');
    if (visible !== undefined) select = select.where(visible.column, '=', visible.id);
    if (query.customer_id !== undefined) select = select.where('customer_id', '=', query.customer_id);
    if (query.invoice_id !== undefined) {
      const { invoice_id } = await readInvoiceRow(db, query.invoice_id);
      select = select.where('invoice_id', '=', invoice_id);
    }
    const rows = await select.limit(LISTED_MAX).execute();
    return answerList(c, page(rows.map(noteToJson), null));
  });
  router.openapi(showNote, async (c) => {
    const { id } = c.req.valid('param');
    const row = await readNote(id);
    refuseOthers(c.get('principal'), { customerId: row.customer_id }, `note ${id}`);
    return c.json(noteToJson(row), 200);
  });
  router.openapi(postNote, async (c) => {
    const { invoice_id } = await readInvoiceRow(db, c.req.valid('json').invoice_id);
    const id = await issueNote(deps, invoice_id, recordFor(c, deps));
    return c.json({ note: id === undefined ? null : noteToJson(await readNote(id)) }, 200);
  });
}

type HoldRow = Parameters<typeof holdToRow>[0];

function holdToRow(row: {
  hold_id: string;
  customer_id: string;
  month: string;
  reason: string;
  description: string;
  blocked: string | null;
  owner: 'operations' | 'finance';
  cleared_by: string;
  incident_ids: string[];
  placed_at: Date;
  released_at: Date | null;
  release_note: string | null;
}) {
  const { hold_id, month: period, placed_at, released_at, ...fields } = row;
  return {
    id: hold_id,
    period,
    ...fields,
    placed_at: instantText(placed_at),
    released_at: optionalInstantText(released_at),
  };
}

function addHolds(router: OpenAPIHono<ApiEnv>, deps: BillingApiDeps): void {
  const { db } = deps.store;
  const readHold = async (id: string): Promise<HoldRow> => {
    const row = await db.selectFrom('billing.holds').selectAll().where('hold_id', '=', id).executeTakeFirst();
    if (row === undefined) throw new PoolmeterError('not_found', `There is no hold ${id}.`);
    return row;
  };
  router.openapi(listHolds, async (c) => {
    const { customer_id, period } = c.req.valid('query');
    let select = db
      .selectFrom('billing.holds')
      .selectAll()
      .orderBy('released_at', (order) => order.desc().nullsFirst())
      .orderBy('hold_id');
    if (customer_id !== undefined) select = select.where('customer_id', '=', customer_id);
    if (period !== undefined) select = select.where('month', '=', period);
    const rows = await select.limit(LISTED_MAX).execute();
    return answerList(c, page(rows.map(holdToRow), null));
  });
  router.openapi(postHold, async (c) => {
    const { id, period, ...given } = c.req.valid('json');
    const now = deps.clock.now();
    const holdId = id ?? idFromFacts('hold', given.customer_id, period, given.reason, given.description);
    const record = recordFor(c, deps);
    await deps.store.transaction(
      async (trx) => {
        const row = { ...given, hold_id: holdId, month: period, blocked: given.blocked ?? null };
        await trx
          .insertInto('billing.holds')
          .values({ ...row, placed_at: new Date(now), released_at: null, release_note: null })
          .onConflict((conflict) => conflict.doNothing())
          .execute();
        await record(trx, { action: 'hold.place', objectKind: 'hold', objectId: holdId, details: given });
      },
      { isolation: 'read committed' },
    );
    return c.json(holdToRow(await readHold(holdId)), 200);
  });
  router.openapi(releaseHold, async (c) => {
    const { id } = c.req.valid('param');
    const { note } = c.req.valid('json');
    await readHold(id);
    const record = recordFor(c, deps);
    await deps.store.transaction(
      async (trx) => {
        await trx
          .updateTable('billing.holds')
          .set({ released_at: new Date(deps.clock.now()), release_note: note })
          .where('hold_id', '=', id)
          .where('released_at', 'is', null)
          .execute();
        await record(trx, { action: 'hold.release', objectKind: 'hold', objectId: id, details: { note } });
      },
      { isolation: 'read committed' },
    );
    return c.json(holdToRow(await readHold(id)), 200);
  });
}

function addMaintenance(router: OpenAPIHono<ApiEnv>, deps: BillingApiDeps): void {
  const { db } = deps.store;
  const toJson = (row: {
    maintenance_id: string;
    pool: string;
    node: string;
    gpu_uuid: string;
    announced_at: Date;
    starts_at: Date;
    ends_at: Date;
    description: string;
    recorded_at: Date;
  }) => {
    const { maintenance_id, announced_at, starts_at, ends_at, recorded_at, ...fields } = row;
    return {
      id: maintenance_id,
      ...fields,
      announced_at: instantText(announced_at),
      starts_at: instantText(starts_at),
      ends_at: instantText(ends_at),
      recorded_at: instantText(recorded_at),
    };
  };
  router.openapi(listMaintenance, async (c) => {
    const { from } = c.req.valid('query');
    let select = db.selectFrom('billing.maintenance').selectAll().orderBy('starts_at', 'desc');
    if (from !== undefined) select = select.where('ends_at', '>', new Date(from));
    const rows = await select.limit(LISTED_MAX).execute();
    return answerList(c, page(rows.map(toJson), null));
  });
  router.openapi(postMaintenance, async (c) => {
    const { id, announced_at, starts_at, ends_at, ...fields } = c.req.valid('json');
    const row = {
      maintenance_id: id,
      ...fields,
      announced_at: new Date(parseInstant(announced_at)),
      starts_at: new Date(parseInstant(starts_at)),
      ends_at: new Date(parseInstant(ends_at)),
      recorded_at: new Date(deps.clock.now()),
    };
    await db
      .insertInto('billing.maintenance')
      .values(row)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    return c.json(toJson(row), 200);
  });
}
