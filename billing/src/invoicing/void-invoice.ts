/** Takes a final invoice back: it keeps its number and content, the ledger gets the reverse, and a new draft may follow. */
import { PoolmeterError } from '@poolmeter/domain';
import { sql } from 'kysely';
import { writeRowCopies } from '../copies/row-copies.js';
import type { BillingTransaction, InvoiceRow } from '../database.js';
import { bookTransaction, readInvoiceEntries } from '../ledger/ledger-store.js';
import { reversed } from '../ledger/post-invoice.js';
import { returnToWallet } from '../wallets/wallet-store.js';
import { lockCustomer, type InvoicingDeps } from './draft-invoice.js';
import type { RecordChange } from './finalize-invoice.js';
import { deletedIntervalCopy } from './invoice-rows.js';

export async function voidInvoice(
  deps: Pick<InvoicingDeps, 'store' | 'clock'>,
  { invoiceId, reason }: { readonly invoiceId: string; readonly reason: string },
  record: RecordChange,
): Promise<void> {
  await deps.store.transaction(
    async (trx) => {
      const invoice = await lockInvoice(trx, invoiceId);
      if (invoice.status === 'void') return;
      if (invoice.status === 'draft') {
        throw new PoolmeterError(
          'invoice.state',
          'A draft cannot be void: it is computed again with every change.',
        );
      }
      await refuseCorrected(trx, invoice);
      await refuseNoted(trx, invoice);
      const now = deps.clock.now();
      await trx
        .updateTable('billing.invoices')
        .set({ status: 'void', voided_at: new Date(now), void_reason: reason, updated_at: new Date(now) })
        .where('invoice_id', '=', invoiceId)
        .execute();
      await trx
        .updateTable('billing.customers')
        .set((expression) => ({ invoice_revision: expression('invoice_revision', '+', 1n) }))
        .where('customer_id', '=', invoice.customer_id)
        .execute();
      await bookTransaction(trx, {
        kind: 'invoice_voided',
        objectId: invoiceId,
        invoiceId,
        occurredAt: now,
        description: `Invoice ${invoice.number ?? ''} is void: ${reason}`,
        entries: reversed(await readInvoiceEntries(trx, invoiceId)),
      });
      await returnToWallet(trx, { invoiceId, customerId: invoice.customer_id, now });
      await takeCopiesAway(trx, invoiceId);
      await record(trx, {
        action: 'invoice.void',
        objectKind: 'invoice',
        objectId: invoiceId,
        details: { reason },
      });
    },
    { isolation: 'read committed' },
  );
}

async function lockInvoice(trx: BillingTransaction, invoiceId: string): Promise<InvoiceRow> {
  const owner = await trx
    .selectFrom('billing.invoices')
    .select('customer_id')
    .where('invoice_id', '=', invoiceId)
    .executeTakeFirst();
  if (owner === undefined) throw new PoolmeterError('not_found', `There is no invoice ${invoiceId}.`);
  await lockCustomer(trx, owner.customer_id);
  return trx
    .selectFrom('billing.invoices')
    .selectAll()
    .where('invoice_id', '=', invoiceId)
    .executeTakeFirstOrThrow();
}

/** A note is about this very invoice. */
async function refuseNoted(trx: BillingTransaction, invoice: InvoiceRow): Promise<void> {
  const note = await trx
    .selectFrom('billing.notes')
    .select('number')
    .where('invoice_id', '=', invoice.invoice_id)
    .limit(1)
    .executeTakeFirst();
  if (note === undefined) return;
  throw new PoolmeterError(
    'invoice.state',
    `Invoice ${invoice.number ?? ''} cannot be void: note ${note.number} corrects it already.`,
  );
}

/** A later invoice that adjusts this one would be left adjusting nothing. */
async function refuseCorrected(trx: BillingTransaction, invoice: InvoiceRow): Promise<void> {
  const later = await trx
    .selectFrom('billing.invoice_lines as l')
    .innerJoin('billing.invoices as i', 'i.invoice_id', 'l.invoice_id')
    .select('i.number')
    .where('l.corrects', '=', invoice.invoice_id)
    .where('i.status', '=', 'final')
    .executeTakeFirst();
  if (later === undefined) return;
  throw new PoolmeterError(
    'invoice.state',
    `Invoice ${invoice.number ?? ''} cannot be void: invoice ${later.number ?? ''} adjusts its period. Void that one first.`,
  );
}

async function takeCopiesAway(trx: BillingTransaction, invoiceId: string): Promise<void> {
  const { rows } = await sql<{ interval_id: string; lease_id: string; version: bigint }>`
    SELECT interval_id, lease_id, nextval('billing.copy_version') AS version
    FROM billing.billable_intervals
    WHERE invoice_id = ${invoiceId}`.execute(trx);
  await writeRowCopies(
    trx,
    rows.map((row) => deletedIntervalCopy(row, row.version)),
  );
}
