/** Issues the credit or debit note that a changed verdict makes due: number, ledger and audit in one transaction. */
import { formatFraction, idFromFacts, instantFromMs, Money, PoolmeterError } from '@poolmeter/domain';
import { sql } from 'kysely';
import type { NoteRow } from '../correction-tables.js';
import type { BillingReader, BillingTransaction, InvoiceRow } from '../database.js';
import { lockCustomer, type InvoicingDeps } from '../invoicing/draft-invoice.js';
import { readPayoutShares, takeNumber, type RecordChange } from '../invoicing/finalize-invoice.js';
import { holdToJson } from '../invoicing/invoice-rows.js';
import { pinPeriod } from '../invoicing/manifest.js';
import { readInvoiceRow } from '../invoicing/read-invoices.js';
import { bookTransaction } from '../ledger/ledger-store.js';
import { postInvoice } from '../ledger/post-invoice.js';
import { pinVerdicts } from '../metering/verdict-store.js';
import { recordEarnings } from '../payouts/provider-earnings.js';
import { applyTax } from '../rating/tax.js';
import { findNoteDue, type NoteDue } from './note-due.js';

/** Gives the id of the note; undefined when nothing is due. Held while an incident is not classified. */
export function issueNote(
  deps: Pick<InvoicingDeps, 'store' | 'clock'>,
  invoiceId: string,
  record: RecordChange,
): Promise<string | undefined> {
  return deps.store.transaction(
    async (trx) => {
      const { customer_id } = await readInvoiceRow(trx, invoiceId);
      await lockCustomer(trx, customer_id);
      const invoice = await readInvoiceRow(trx, invoiceId);
      refuseUnlessFinal(invoice);
      const due = await findNoteDue(trx, invoice);
      if (due === undefined) return undefined;
      refuseHeld(due);
      if (due.amount.isZero() && due.gpuTime.numerator === 0n) return undefined;
      return write(trx, { invoice, due, now: new Date(deps.clock.now()) }, record);
    },
    { isolation: 'read committed' },
  );
}

function refuseUnlessFinal(invoice: InvoiceRow): void {
  if (invoice.status === 'final') return;
  throw new PoolmeterError(
    'invoice.state',
    `Invoice ${invoice.number ?? invoice.invoice_id} is ${invoice.status}: only a final one is corrected by a note.`,
  );
}

function refuseHeld({ now }: NoteDue): void {
  if (now.holds.length === 0) return;
  const reasons = now.holds.map((hold) => hold.description).join(' ');
  throw new PoolmeterError('invoice.held', reasons, { details: { holds: now.holds.map(holdToJson) } });
}

interface Writing {
  readonly invoice: InvoiceRow;
  readonly due: NoteDue;
  readonly now: Date;
}

async function write(
  trx: BillingTransaction,
  { invoice, due, now }: Writing,
  record: RecordChange,
): Promise<string> {
  const totals = applyTax(due.amount, due.inputs.customer.tax);
  const kind = due.amount.isNegative() ? 'credit' : 'debit';
  const sequence = 1 + (await countNotes(trx, invoice.invoice_id));
  const noteId = idFromFacts('note', invoice.invoice_id, sequence);
  await pinVerdicts(trx, due.inputs.verdicts);
  await trx
    .updateTable('billing.customers')
    .set((expression) => ({ invoice_revision: expression('invoice_revision', '+', 1n) }))
    .where('customer_id', '=', invoice.customer_id)
    .execute();
  const number = await takeNumber(trx, `${kind}-notes`);
  const row = {
    note_id: noteId,
    kind,
    number,
    invoice_id: invoice.invoice_id,
    sequence,
    customer_id: invoice.customer_id,
    month: invoice.month,
    currency: invoice.currency,
    subtotal: totals.subtotal.toAmountText(),
    tax: totals.tax.toAmountText(),
    total: totals.total.toAmountText(),
    gpu_ms: formatFraction(due.gpuTime),
    provider_basis: textOfBasis(due.providerBasis),
    details: detailsOf(due),
    manifest: sql`${pinPeriod(due.inputs)}::jsonb`,
    issued_at: now,
  } as const;
  await trx.insertInto('billing.notes').values(row).execute();
  const payoutShares = await readPayoutShares(trx);
  const object = { objectId: noteId, invoiceId: invoice.invoice_id };
  const at = instantFromMs(now.getTime());
  const posting = {
    ...totals,
    customerId: invoice.customer_id,
    providerBasis: due.providerBasis,
    payoutShares,
  };
  await bookTransaction(trx, {
    ...object,
    kind: 'note_issued',
    occurredAt: at,
    description: `${kind === 'credit' ? 'Credit' : 'Debit'} note ${number} on invoice ${invoice.number ?? ''}`,
    entries: postInvoice(posting),
  });
  await recordEarnings(trx, {
    ...object,
    ...due,
    month: invoice.month,
    currency: invoice.currency,
    payoutShares,
    now: at,
  });
  const details = { number, total: totals.total.toJSON() };
  await record(trx, { action: 'note.issue', objectKind: 'note', objectId: noteId, details });
  return noteId;
}

async function countNotes(db: BillingReader, invoiceId: string): Promise<number> {
  const { rows } = await sql<{ count: bigint }>`
    SELECT count(*) AS count FROM billing.notes WHERE invoice_id = ${invoiceId}`.execute(db);
  return Number(rows[0]?.count ?? 0n);
}

function textOfBasis(basis: NoteDue['providerBasis']): Record<string, string> {
  return Object.fromEntries([...basis].map(([provider, value]) => [provider, formatFraction(value)]));
}

/** Lines whose amount or time is another one, and the verdicts that made it so. */
function detailsOf({ then, now, changed }: NoteDue): Record<string, unknown> {
  const before = new Map(then.lines.map((line) => [line.key, line]));
  const after = new Map(now.lines.map((line) => [line.key, line]));
  const keys = [...new Set([...before.keys(), ...after.keys()])].sort();
  const lines = keys.flatMap((key) => {
    const [a, b] = [before.get(key), after.get(key)];
    const [was, is] = [a?.amount.toAmountText() ?? '0', b?.amount.toAmountText() ?? '0'];
    const times = [a, b].map((line) => (line === undefined ? '0' : formatFraction(line.gpuTime)));
    if (was === is && times[0] === times[1]) return [];
    const description = (b ?? a)?.description ?? '';
    return [
      { key, description, amount_then: was, amount_now: is, gpu_ms_then: times[0], gpu_ms_now: times[1] },
    ];
  });
  return {
    lines,
    verdicts: changed.map((verdict) => ({
      incident_id: verdict.incidentId,
      verdict_id: verdict.verdictId,
      revision: verdict.revision.toString(),
      code: verdict.code,
      billing_class: verdict.billingClass,
      evidence: verdict.evidenceSummary,
    })),
  };
}

export function noteToJson(row: NoteRow) {
  const money = (amount: string) => Money.of(amount, row.currency).toJSON();
  return {
    id: row.note_id,
    kind: row.kind,
    number: row.number,
    invoice_id: row.invoice_id,
    customer_id: row.customer_id,
    period: row.month,
    subtotal: money(row.subtotal),
    tax: money(row.tax),
    total: money(row.total),
    gpu_ms: row.gpu_ms,
    details: row.details,
    issued_at: row.issued_at.toISOString().replace('.000Z', 'Z'),
  };
}
