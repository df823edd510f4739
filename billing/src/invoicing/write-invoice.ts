/** Stores what was computed as the customer's draft of a period: only rows that differ are written and told. */
import { canonicalJson, idFromFacts, type EpochMs } from '@poolmeter/domain';
import { sql } from 'kysely';
import { writeRowCopies, type RowCopy } from '../copies/row-copies.js';
import type { BillableIntervalRow, BillingTransaction, InvoiceLineRow } from '../database.js';
import { insertRows } from '../insert-rows.js';
import { inChunks } from '../leases/lease-store.js';
import type { ComputedInvoice, InvoiceInputs } from './compute-invoice.js';
import {
  deletedIntervalCopy,
  holdToJson,
  intervalCopy,
  intervalRowsOf,
  lineRowsOf,
  type EvidenceByInterval,
} from './invoice-rows.js';
import type { Manifest } from './manifest.js';

export interface DraftContent {
  readonly inputs: InvoiceInputs;
  readonly invoice: ComputedInvoice;
  readonly manifest: Manifest;
  readonly evidence: EvidenceByInterval;
  /** What the draft depends on, in short; see the draft job. */
  readonly mark: string;
  readonly now: EpochMs;
}

/** Under the customer's row lock. Returns the id of the draft, which stays when it becomes final. */
export async function writeDraft(trx: BillingTransaction, content: DraftContent): Promise<string> {
  const { customer, period } = content.inputs.current;
  const known = await trx
    .selectFrom('billing.invoices')
    .select('invoice_id')
    .where('customer_id', '=', customer.customerId)
    .where('month', '=', period.month)
    .where('status', '=', 'draft')
    .executeTakeFirst();
  const columns = draftColumns(content);
  if (known !== undefined) {
    await trx
      .updateTable('billing.invoices')
      .set(columns)
      .where('invoice_id', '=', known.invoice_id)
      .execute();
    await writeParts(trx, known.invoice_id, content);
    return known.invoice_id;
  }
  const { rows } = await sql<{ earlier: bigint }>`
    SELECT count(*) AS earlier FROM billing.invoices
    WHERE customer_id = ${customer.customerId} AND month = ${period.month}`.execute(trx);
  // Void invoices of the same month keep their ids, so the next one counts on.
  const invoiceId = idFromFacts('inv', customer.customerId, period.month, rows[0]?.earlier ?? 0n);
  await trx
    .insertInto('billing.invoices')
    .values({
      ...columns,
      invoice_id: invoiceId,
      issuer_id: 'default',
      number: null,
      status: 'draft',
      customer_id: customer.customerId,
      month: period.month,
      created_at: new Date(content.now),
      finalized_at: null,
      voided_at: null,
      void_reason: null,
    })
    .execute();
  await writeParts(trx, invoiceId, content);
  return invoiceId;
}

function draftColumns({ inputs, invoice, manifest, mark, now }: DraftContent) {
  const { customer, period } = inputs.current;
  return {
    period_start: new Date(period.start),
    period_end: new Date(period.end),
    zone: period.zone,
    currency: customer.currency,
    subtotal: invoice.subtotal.toAmountText(),
    tax: invoice.tax.toAmountText(),
    total: invoice.total.toAmountText(),
    holds: sql`${invoice.holds.map(holdToJson)}::jsonb`,
    manifest: sql`${manifest}::jsonb`,
    input_digest: invoice.inputDigest,
    mark,
    updated_at: new Date(now),
  };
}

async function writeParts(trx: BillingTransaction, invoiceId: string, content: DraftContent): Promise<void> {
  const lines = lineRowsOf(invoiceId, content.invoice, content.evidence);
  const intervals = intervalRowsOf(invoiceId, content.invoice, content.evidence);
  const stored = await trx
    .selectFrom('billing.billable_intervals')
    .selectAll()
    .where('invoice_id', '=', invoiceId)
    .execute();
  const difference = differenceOf(stored, intervals);
  const goneIds = [...difference.gone, ...difference.changed].map((row) => row.interval_id);
  await sql`
    DELETE FROM billing.billable_intervals
    WHERE invoice_id = ${invoiceId} AND interval_id = ANY(${goneIds}::text[])`.execute(trx);
  await writeLines(trx, invoiceId, lines);
  await insertRows(trx, 'billing.billable_intervals', difference.changed);
  await tell(trx, { lines, difference, currency: content.inputs.current.customer.currency });
}

interface IntervalDifference {
  readonly changed: readonly BillableIntervalRow[];
  readonly gone: readonly BillableIntervalRow[];
}

function differenceOf(
  stored: readonly BillableIntervalRow[],
  wanted: readonly BillableIntervalRow[],
): IntervalDifference {
  const known = new Map(stored.map((row) => [row.interval_id, row]));
  const kept = new Set(wanted.map((row) => row.interval_id));
  return {
    changed: wanted.filter((row) => {
      const other = known.get(row.interval_id);
      return other === undefined || comparable(other) !== comparable(row);
    }),
    gone: stored.filter((row) => !kept.has(row.interval_id)),
  };
}

/** Amounts come back from the database with all their decimals. */
function comparable(row: BillableIntervalRow): string {
  const amount = row.amount === null ? null : plain(row.amount);
  return canonicalJson({
    ...row,
    amount,
    started_at: row.started_at.getTime(),
    ended_at: row.ended_at.getTime(),
  });
}

function plain(decimal: string): string {
  return decimal.includes('.') ? decimal.replace(/\.?0+$/, '') : decimal;
}

/** Lines are few: they are replaced together. Intervals that stay keep pointing to the line of the same key. */
async function writeLines(
  trx: BillingTransaction,
  invoiceId: string,
  lines: readonly InvoiceLineRow[],
): Promise<void> {
  const ids = lines.map((line) => line.line_id);
  await sql`
    DELETE FROM billing.invoice_lines
    WHERE invoice_id = ${invoiceId} AND NOT line_id = ANY(${ids}::text[])`.execute(trx);
  // Numbers are unique within an invoice and may trade places.
  await sql`
    UPDATE billing.invoice_lines SET line_number = -line_number WHERE invoice_id = ${invoiceId}`.execute(trx);
  await inChunks(lines, (chunk) =>
    trx
      .insertInto('billing.invoice_lines')
      .values(chunk)
      .onConflict((conflict) =>
        conflict.column('line_id').doUpdateSet((expression) => ({
          line_number: expression.ref('excluded.line_number'),
          kind: expression.ref('excluded.kind'),
          description: expression.ref('excluded.description'),
          gpu_ms: expression.ref('excluded.gpu_ms'),
          unit_price: expression.ref('excluded.unit_price'),
          amount: expression.ref('excluded.amount'),
          formula: expression.ref('excluded.formula'),
          price_version: expression.ref('excluded.price_version'),
          details: expression.ref('excluded.details'),
          evidence: expression.ref('excluded.evidence'),
          corrects: expression.ref('excluded.corrects'),
        })),
      )
      .execute(),
  );
}

async function tell(
  trx: BillingTransaction,
  {
    lines,
    difference,
    currency,
  }: {
    readonly lines: readonly InvoiceLineRow[];
    readonly difference: IntervalDifference;
    readonly currency: string;
  },
): Promise<void> {
  const byId = new Map(lines.map((line) => [line.line_id, line]));
  const count = difference.changed.length + difference.gone.length;
  if (count === 0) return;
  const { rows } = await sql<{ version: bigint }>`
    SELECT nextval('billing.copy_version') AS version FROM generate_series(1, ${count}::int)`.execute(trx);
  const versions = rows.map((row) => row.version);
  const take = () => versions.shift() ?? 0n;
  const copies: RowCopy[] = [
    ...difference.gone.map((row) => deletedIntervalCopy(row, take())),
    ...difference.changed.map((row) =>
      intervalCopy(row, {
        version: take(),
        currency,
        line: row.line_id === null ? undefined : byId.get(row.line_id),
      }),
    ),
  ];
  await writeRowCopies(trx, copies);
}
