/** Makes the invoices of a whole period final: every customer by itself, so that one that is held stops nobody else. */
import { isPoolmeterError, type ErrorCode } from '@poolmeter/domain';
import { sql } from 'kysely';
import type { BillingReader } from '../database.js';
import { finalizeInvoice, type ClosingDeps, type RecordChange } from './finalize-invoice.js';
import { billingPeriod } from './period.js';

export interface ClosedCustomer {
  readonly customerId: string;
  readonly outcome: 'finalized' | 'already_final' | 'nothing_to_invoice' | 'held' | 'failed';
  readonly invoiceId?: string;
  readonly code?: ErrorCode;
  readonly message?: string;
}

export async function closePeriod(
  deps: ClosingDeps,
  wanted: { readonly month: string; readonly customerId?: string },
  record: RecordChange,
): Promise<ClosedCustomer[]> {
  const { month, customerId } = wanted;
  if (customerId !== undefined) {
    const done = await finalizeInvoice(deps, { customerId, month }, record);
    return [{ customerId, invoiceId: done.invoiceId, outcome: done.isNew ? 'finalized' : 'already_final' }];
  }
  const closed: ClosedCustomer[] = [];
  for (const id of await customersOf(deps.store.db, month))
    closed.push(await closeOne(deps, { month, id }, record));
  return closed;
}

async function closeOne(
  deps: ClosingDeps,
  { month, id }: { readonly month: string; readonly id: string },
  record: RecordChange,
): Promise<ClosedCustomer> {
  try {
    const done = await finalizeInvoice(deps, { customerId: id, month }, record);
    return { customerId: id, invoiceId: done.invoiceId, outcome: done.isNew ? 'finalized' : 'already_final' };
  } catch (fault) {
    // What is wrong with one customer's invoice is told beside the others; what is wrong with us ends the call.
    if (!isPoolmeterError(fault) || !/^(invoice|price)\./.test(fault.code)) throw fault;
    const outcome =
      fault.details['nothing_to_invoice'] === true
        ? 'nothing_to_invoice'
        : fault.code === 'invoice.held'
          ? 'held'
          : 'failed';
    return { customerId: id, outcome, code: fault.code, message: fault.message };
  }
}

/** Zones move a month's bounds by less than this. */
const ZONES_MS = 15 * 3_600_000;

/** Customers with usage in the month, a contract, or an invoice of it. */
async function customersOf(db: BillingReader, month: string): Promise<string[]> {
  const { start, end } = billingPeriod(month, 'UTC');
  const range = sql`tstzrange(${new Date(start - ZONES_MS)}, ${new Date(end + ZONES_MS)}, '[)')`;
  const { rows } = await sql<{ customer_id: string }>`
    SELECT customer_id FROM billing.lease_segments WHERE period && ${range}
    UNION SELECT customer_id FROM billing.contracts
    UNION SELECT customer_id FROM billing.invoices WHERE month = ${month} AND status <> 'void'
    ORDER BY customer_id`.execute(db);
  return rows.map((row) => row.customer_id);
}
