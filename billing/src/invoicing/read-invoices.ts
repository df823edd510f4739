/** Invoices, lines and intervals as the API shows them. */
import {
  formatGpuHours,
  instantFromMs,
  Money,
  parseFraction,
  PoolmeterError,
  type GpuTime,
} from '@poolmeter/domain';
import { instantText, optionalInstantText } from '../copies/row-copies.js';
import type { BillableIntervalRow, BillingReader, InvoiceLineRow, InvoiceRow } from '../database.js';

export async function readInvoiceRow(db: BillingReader, invoiceId: string): Promise<InvoiceRow> {
  const row = await db
    .selectFrom('billing.invoices')
    .selectAll()
    .where((either) => either.or([either('invoice_id', '=', invoiceId), either('number', '=', invoiceId)]))
    .executeTakeFirst();
  if (row === undefined) throw new PoolmeterError('not_found', `There is no invoice ${invoiceId}.`);
  return row;
}

export function readLines(db: BillingReader, invoiceId: string): Promise<InvoiceLineRow[]> {
  return db
    .selectFrom('billing.invoice_lines')
    .selectAll()
    .where('invoice_id', '=', invoiceId)
    .orderBy('line_number')
    .execute();
}

export interface LineWithInvoice {
  readonly line: InvoiceLineRow;
  readonly invoice: InvoiceRow;
}

export async function readLine(db: BillingReader, lineId: string): Promise<LineWithInvoice> {
  const line = await db
    .selectFrom('billing.invoice_lines')
    .selectAll()
    .where('line_id', '=', lineId)
    .executeTakeFirst();
  if (line === undefined) throw new PoolmeterError('not_found', `There is no invoice line ${lineId}.`);
  return { line, invoice: await readInvoiceRow(db, line.invoice_id) };
}

export async function readIntervals(
  db: BillingReader,
  lineId: string,
  page: { readonly limit: number; readonly after?: { readonly startedAtMs: number; readonly id: string } },
): Promise<BillableIntervalRow[]> {
  let query = db
    .selectFrom('billing.billable_intervals')
    .selectAll()
    .where('line_id', '=', lineId)
    .orderBy('started_at')
    .orderBy('interval_id')
    .limit(page.limit);
  const { after } = page;
  if (after !== undefined) {
    const from = new Date(after.startedAtMs);
    query = query.where((either) =>
      either.or([
        either('started_at', '>', from),
        either.and([either('started_at', '=', from), either('interval_id', '>', after.id)]),
      ]),
    );
  }
  return query.execute();
}

function money(amount: string, currency: string) {
  return Money.of(amount, currency).toJSON();
}

/** Without its lines. */
export function invoiceToJson(row: InvoiceRow) {
  return {
    id: row.invoice_id,
    number: row.number,
    status: row.status,
    customer_id: row.customer_id,
    period: {
      month: row.month,
      start: instantText(row.period_start),
      end: instantText(row.period_end),
      zone: row.zone,
    },
    currency: row.currency,
    subtotal: money(row.subtotal, row.currency),
    tax: money(row.tax, row.currency),
    total: money(row.total, row.currency),
    wallet_drawn: money(row.wallet_drawn, row.currency),
    amount_due: Money.of(row.total, row.currency).minus(Money.of(row.wallet_drawn, row.currency)).toJSON(),
    holds: row.holds as Record<string, unknown>[],
    input_digest: row.input_digest,
    created_at: instantText(row.created_at),
    updated_at: instantText(row.updated_at),
    finalized_at: optionalInstantText(row.finalized_at),
    voided_at: optionalInstantText(row.voided_at),
    void_reason: row.void_reason,
  };
}

export function lineToJson(line: InvoiceLineRow, currency: string) {
  return {
    id: line.line_id,
    kind: line.kind as 'usage',
    description: line.description,
    gpu_ms: line.gpu_ms,
    gpu_hours: formatGpuHours(parseFraction(line.gpu_ms) as GpuTime),
    unit_price: line.unit_price === null ? null : money(line.unit_price, currency),
    amount: money(line.amount, currency),
    evidence: line.evidence,
  };
}

export function intervalToJson(row: BillableIntervalRow, currency: string) {
  const { amount, started_at, ended_at, gpu_ms, ...fields } = row;
  return {
    ...fields,
    started_at: instantText(started_at),
    ended_at: instantText(ended_at),
    gpu_ms,
    gpu_hours: formatGpuHours(parseFraction(gpu_ms) as GpuTime),
    amount: amount === null ? null : money(amount, currency),
  };
}

/** The instants at which the line's leases were cut, oldest first. */
export async function readCutPoints(db: BillingReader, lineId: string): Promise<string[]> {
  const rows = await db
    .selectFrom('billing.billable_intervals')
    .select(['started_at', 'ended_at'])
    .where('line_id', '=', lineId)
    .execute();
  const instants = new Set(rows.flatMap((row) => [row.started_at.getTime(), row.ended_at.getTime()]));
  return [...instants].sort((a, b) => a - b).map((ms) => instantText(new Date(instantFromMs(ms))));
}
