/** `/v1/invoices`. */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import {
  answerList,
  createRouter,
  decodeCursor,
  encodeCursor,
  listQuery,
  listResponses,
  operatorOnly,
  page,
  pageOf,
  refuseOthers,
  requireScope,
  visibleRows,
  type ApiEnv,
  type Page,
  type Principal,
} from '@poolmeter/http-api';
import type { BillingReader, InvoiceRow } from '../database.js';
import { closePeriod } from '../invoicing/close-period.js';
import { finalizeInvoice } from '../invoicing/finalize-invoice.js';
import { previewInvoice } from '../invoicing/preview-invoice.js';
import { invoiceToJson, lineToJson, readInvoiceRow, readLines } from '../invoicing/read-invoices.js';
import { verifyInvoice } from '../invoicing/verify-invoice.js';
import { voidInvoice } from '../invoicing/void-invoice.js';
import { recordFor, type BillingApiDeps } from './billing-api-deps.js';
import {
  answer,
  invoiceSchema,
  invoiceSummarySchema,
  jsonBody,
  lineSchema,
  verificationSchema,
} from './wire-schemas.js';

const idParam = z.object({ id: z.string().max(200).openapi({ description: 'The id or the number.' }) });
const month = z
  .string()
  .regex(/^\d{4}-\d{2}$/, 'write a month such as 2026-03')
  .openapi({ example: '2026-03' });

const reading = [requireScope('invoices:read')];
const writing = [operatorOnly(), requireScope('invoices:write')];

const invoiceFilter = listQuery.extend({
  customer_id: z.string().max(200).optional(),
  period: month.optional(),
  status: z.enum(['draft', 'final', 'void']).optional(),
});

const listInvoices = createRoute({
  method: 'get',
  path: '/v1/invoices',
  summary: 'Invoices and drafts, newest period first, without their lines',
  middleware: reading,
  request: { query: invoiceFilter },
  responses: listResponses(invoiceSummarySchema),
});

const showInvoice = createRoute({
  method: 'get',
  path: '/v1/invoices/{id}',
  summary: 'An invoice with its lines',
  middleware: reading,
  request: { params: idParam },
  responses: answer(invoiceSchema, 'The invoice.'),
});

const showLines = createRoute({
  method: 'get',
  path: '/v1/invoices/{id}/lines',
  summary: 'The lines of an invoice',
  middleware: reading,
  request: { params: idParam },
  responses: listResponses(lineSchema),
});

const showManifest = createRoute({
  method: 'get',
  path: '/v1/invoices/{id}/manifest',
  summary: 'What the invoice was computed from',
  middleware: reading,
  request: { params: idParam },
  responses: answer(
    z.object({ input_digest: z.string(), manifest: z.record(z.string(), z.unknown()) }),
    'Pinned inputs and their digest.',
  ),
});

const preview = createRoute({
  method: 'post',
  path: '/v1/invoices/preview',
  summary: 'The invoice of a period as it would be now; a final one as it is',
  middleware: reading,
  request: { body: jsonBody(z.strictObject({ customer_id: z.string().min(1).max(200), period: month })) },
  responses: answer(invoiceSchema, 'The draft.'),
});

const closedSchema = z.object({
  customer_id: z.string(),
  outcome: z.enum(['finalized', 'already_final', 'nothing_to_invoice', 'held', 'failed']),
  invoice: invoiceSummarySchema.nullable(),
  code: z.string().nullable(),
  message: z.string().nullable(),
});

const finalizePeriod = createRoute({
  method: 'post',
  path: '/v1/invoices/finalize',
  summary: 'Makes the invoices of a period final, of one customer or of all',
  middleware: writing,
  request: {
    body: jsonBody(z.strictObject({ period: month, customer_id: z.string().min(1).max(200).optional() })),
  },
  responses: answer(z.object({ data: z.array(closedSchema) }), 'What became of each customer.'),
});

const finalizeOne = createRoute({
  method: 'post',
  path: '/v1/invoices/{id}/finalize',
  summary: 'Makes a draft final',
  middleware: writing,
  request: { params: idParam },
  responses: answer(invoiceSchema, 'The final invoice.'),
});

const voidOne = createRoute({
  method: 'post',
  path: '/v1/invoices/{id}/void',
  summary: 'Takes a final invoice back',
  middleware: writing,
  request: { params: idParam, body: jsonBody(z.strictObject({ reason: z.string().min(1).max(1_000) })) },
  responses: answer(invoiceSchema, 'The void invoice.'),
});

const verify = createRoute({
  method: 'post',
  path: '/v1/invoices/{id}/verify',
  summary: 'Computes the invoice again from what it pinned',
  middleware: reading,
  request: { params: idParam },
  responses: answer(verificationSchema, 'Match, or every difference.'),
});

export function invoiceRoutes(deps: BillingApiDeps): OpenAPIHono<ApiEnv> {
  const router = createRouter();
  const { db } = deps.store;
  router.openapi(listInvoices, async (c) => {
    const visible = visibleRows(c.get('principal'), { customer: 'customer_id' });
    return answerList(c, await readInvoices(db, c.req.valid('query'), visible));
  });
  router.openapi(preview, async (c) => {
    const { customer_id, period } = c.req.valid('json');
    refuseOthers(c.get('principal'), { customerId: customer_id }, `customer ${customer_id}`);
    const invoiceId = await previewInvoice(deps, { customerId: customer_id, month: period });
    return c.json(await whole(db, invoiceId), 200);
  });
  router.openapi(finalizePeriod, async (c) => {
    const { period, customer_id } = c.req.valid('json');
    const wanted = { month: period, ...(customer_id === undefined ? {} : { customerId: customer_id }) };
    const closed = await closePeriod(deps, wanted, recordFor(c, deps));
    const data = [];
    for (const one of closed) {
      const invoice =
        one.invoiceId === undefined ? null : invoiceToJson(await readInvoiceRow(db, one.invoiceId));
      const { customerId, outcome, code = null, message = null } = one;
      data.push({ customer_id: customerId, outcome, invoice, code, message });
    }
    return c.json({ data }, 200);
  });
  router.openapi(showInvoice, async (c) => {
    const row = await ownInvoice(db, c.req.valid('param').id, c.get('principal'));
    return c.json(await whole(db, row.invoice_id), 200);
  });
  router.openapi(showLines, async (c) => {
    const row = await ownInvoice(db, c.req.valid('param').id, c.get('principal'));
    const lines = await readLines(db, row.invoice_id);
    return answerList(
      c,
      page(
        lines.map((line) => lineToJson(line, row.currency)),
        null,
      ),
    );
  });
  router.openapi(showManifest, async (c) => {
    const row = await ownInvoice(db, c.req.valid('param').id, c.get('principal'));
    const manifest = row.manifest as Record<string, unknown>;
    return c.json({ input_digest: row.input_digest, manifest }, 200);
  });
  router.openapi(finalizeOne, async (c) => {
    const row = await readInvoiceRow(db, c.req.valid('param').id);
    const wanted = { customerId: row.customer_id, month: row.month };
    const { invoiceId } = await finalizeInvoice(deps, wanted, recordFor(c, deps));
    return c.json(await whole(db, invoiceId), 200);
  });
  router.openapi(voidOne, async (c) => {
    const row = await readInvoiceRow(db, c.req.valid('param').id);
    const { reason } = c.req.valid('json');
    await voidInvoice(deps, { invoiceId: row.invoice_id, reason }, recordFor(c, deps));
    return c.json(await whole(db, row.invoice_id), 200);
  });
  router.openapi(verify, async (c) => {
    const row = await ownInvoice(db, c.req.valid('param').id, c.get('principal'));
    const verification = await verifyInvoice(deps.store, row.invoice_id);
    return c.json({ ...verification, differences: [...verification.differences] }, 200);
  });
  return router;
}

async function ownInvoice(db: BillingReader, id: string, principal: Principal): Promise<InvoiceRow> {
  const row = await readInvoiceRow(db, id);
  refuseOthers(principal, { customerId: row.customer_id }, `invoice ${id}`);
  return row;
}

async function whole(db: BillingReader, invoiceId: string): Promise<z.output<typeof invoiceSchema>> {
  const row = await readInvoiceRow(db, invoiceId);
  const lines = await readLines(db, row.invoice_id);
  return { ...invoiceToJson(row), lines: lines.map((line) => lineToJson(line, row.currency)) };
}

const invoiceCursor = z.object({ start: z.int(), id: z.string() });

async function readInvoices(
  db: BillingReader,
  query: z.output<typeof invoiceFilter>,
  visible: { readonly column: 'customer_id'; readonly id: string } | undefined,
): Promise<Page<z.output<typeof invoiceSummarySchema>>> {
  let select = db
    .selectFrom('billing.invoices')
    .selectAll()
    .orderBy('period_start', 'desc')
    .orderBy('invoice_id', 'desc')
    .limit(query.limit + 1);
  if (visible !== undefined) select = select.where(visible.column, '=', visible.id);
  if (query.customer_id !== undefined) select = select.where('customer_id', '=', query.customer_id);
  if (query.period !== undefined) select = select.where('month', '=', query.period);
  if (query.status !== undefined) select = select.where('status', '=', query.status);
  if (query.cursor !== undefined) {
    const { start, id } = decodeCursor('invoices', query.cursor, invoiceCursor);
    const at = new Date(start);
    select = select.where((either) =>
      either.or([
        either('period_start', '<', at),
        either.and([either('period_start', '=', at), either('invoice_id', '<', id)]),
      ]),
    );
  }
  const rows = await select.execute();
  const shown = pageOf(rows, query.limit, (last) =>
    encodeCursor('invoices', { start: last.period_start.getTime(), id: last.invoice_id }),
  );
  return { ...shown, data: shown.data.map(invoiceToJson) };
}
