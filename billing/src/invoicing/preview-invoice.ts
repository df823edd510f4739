import { PoolmeterError } from '@poolmeter/domain';
import {
  computeCurrent,
  draftInvoice,
  findFinal,
  type InvoiceOf,
  type InvoicingDeps,
} from './draft-invoice.js';
import { holdToJson } from './invoice-rows.js';

/** Stores the invoice as it would be now as the draft and gives its id; of a period that is closed, the final one's. */
export async function previewInvoice(deps: InvoicingDeps, wanted: InvoiceOf): Promise<string> {
  const final = await findFinal(deps.store.db, wanted);
  if (final !== undefined) return final;
  const { invoice } = await computeCurrent(deps, wanted);
  const missing = invoice.holds.filter((hold) => hold.reason === 'missing_price');
  if (missing.length > 0) {
    throw new PoolmeterError('price.missing', missing.map((hold) => hold.description).join(' '), {
      details: { holds: missing.map(holdToJson) },
    });
  }
  const draft = await draftInvoice(deps, { ...wanted, withEvidence: true });
  // Another process made it final just now.
  return draft === undefined ? previewInvoice(deps, wanted) : draft.invoiceId;
}
