/**
 * The conservation laws of a month, checked on what is stored (billing rule 17). A check that fails names what it found;
 * nothing is mended here.
 */
import { compare, formatFraction, Money, parseFraction, sum, type EpochMs } from '@poolmeter/domain';
import { sql } from 'kysely';
import type { BillingReader } from '../database.js';
import { chargePeriod } from '../invoicing/charge-period.js';
import { loadInvoiceInputs, loadPinnedInputs } from '../invoicing/load-inputs.js';
import { parseManifest } from '../invoicing/manifest.js';
import { billingPeriod } from '../invoicing/period.js';
import { readCustomer } from '../customers/parties.js';
import { totalsOf } from '../metering/meter-leases.js';
import { findNoteDue } from '../notes/note-due.js';
import { checkTelemetry } from './check-telemetry.js';
import { check, type CheckDeps, type Finding, type ReconciliationCheck } from './reconciliation-check.js';

export async function checkPeriod(deps: CheckDeps, month: string): Promise<ReconciliationCheck[]> {
  const books = await deps.store.transaction(
    async (trx) => [
      await linesSumToTotals(trx, month),
      await leasedTimeIsAccounted(trx, { month, now: deps.clock.now() }),
      await ledgerBalances(trx),
      await numbersHaveNoGap(trx),
      await invoicesAreBooked(trx, month),
      await verdictsStand(trx, month),
      await nothingOverlaps(trx),
    ],
    { isolation: 'repeatable read' },
  );
  return [...books, ...(await checkTelemetry(deps, month))];
}

async function linesSumToTotals(db: BillingReader, month: string): Promise<ReconciliationCheck> {
  const { rows } = await sql<{ invoice_id: string; total: string; lines: string; currency: string }>`
    SELECT i.invoice_id, i.total, i.currency, coalesce(sum(l.amount), 0) AS lines
    FROM billing.invoices AS i
    LEFT JOIN billing.invoice_lines AS l USING (invoice_id)
    WHERE i.month = ${month}
    GROUP BY i.invoice_id`.execute(db);
  const findings = rows
    .filter((row) => compare(parseFraction(row.total), parseFraction(row.lines)) !== 0)
    .map((row) => ({
      object_id: row.invoice_id,
      message: `The lines add up to ${Money.of(row.lines, row.currency).toString()}, the total is ${Money.of(row.total, row.currency).toString()}.`,
    }));
  return check('the lines of an invoice add up to its total', rows.length, findings);
}

/** Recomputed from the leases themselves, for every customer with an invoice of the month. */
async function leasedTimeIsAccounted(
  db: BillingReader,
  { month, now }: { readonly month: string; readonly now: EpochMs },
): Promise<ReconciliationCheck> {
  const invoices = await db
    .selectFrom('billing.invoices')
    .select(['invoice_id', 'customer_id', 'status', 'manifest'])
    .where('month', '=', month)
    .where('status', '!=', 'void')
    .execute();
  const findings: Finding[] = [];
  for (const invoice of invoices) {
    const { customer } = await readCustomer(db, invoice.customer_id);
    const period = billingPeriod(month, customer.zone);
    const inputs =
      invoice.status === 'final'
        ? await loadPinnedInputs(db, parseManifest(invoice.manifest))
        : await loadInvoiceInputs(db, { customer, period, now });
    const charges = chargePeriod(inputs.current);
    const totals = totalsOf(charges.intervals);
    const parts = sum([totals.billed, totals.excluded, totals.held]);
    const usage = sum(charges.lines.filter((line) => line.kind === 'usage').map((line) => line.gpuTime));
    const unpriced = charges.holds.some((hold) => hold.reason === 'missing_price');
    if (compare(parts, totals.leased) !== 0 || (!unpriced && compare(usage, totals.billed) !== 0)) {
      findings.push({
        object_id: invoice.invoice_id,
        message: `Leased ${formatFraction(totals.leased)} GPU-ms, accounted for ${formatFraction(parts)}, on lines ${formatFraction(usage)}.`,
      });
    }
  }
  return check('billed + excluded + held = leased GPU time', invoices.length, findings);
}

async function ledgerBalances(db: BillingReader): Promise<ReconciliationCheck> {
  const { rows } = await sql<{ currency: string; total: string; transactions: bigint }>`
    SELECT currency, sum(amount) AS total, count(DISTINCT transaction_id) AS transactions
    FROM billing.ledger_entries GROUP BY currency`.execute(db);
  const findings = rows
    .filter((row) => parseFraction(row.total).numerator !== 0n)
    .map((row) => ({
      object_id: row.currency,
      message: `The ledger is off by ${row.total} ${row.currency}.`,
    }));
  return check('the ledger sums to zero in every currency', rows.length, findings);
}

async function numbersHaveNoGap(db: BillingReader): Promise<ReconciliationCheck> {
  const { rows } = await sql<{ issuer_id: string; issued: bigint; present: bigint }>`
    SELECT s.issuer_id, s.next_number - 1 AS issued,
      CASE s.issuer_id
        WHEN 'credit-notes' THEN (SELECT count(*) FROM billing.notes WHERE kind = 'credit')
        WHEN 'debit-notes' THEN (SELECT count(*) FROM billing.notes WHERE kind = 'debit')
        ELSE (SELECT count(i.number) FROM billing.invoices AS i WHERE i.issuer_id = s.issuer_id)
      END AS present
    FROM billing.issuers AS s`.execute(db);
  const findings = rows
    .filter((row) => row.issued !== row.present)
    .map((row) => ({
      object_id: row.issuer_id,
      message: `${row.issued} numbers were taken, ${row.present} are there.`,
    }));
  return check('invoice numbers have no gap', rows.length, findings);
}

async function invoicesAreBooked(db: BillingReader, month: string): Promise<ReconciliationCheck> {
  const { rows } = await sql<{ invoice_id: string; total: string; booked: string | null }>`
    SELECT i.invoice_id, i.total, sum(e.amount) FILTER (WHERE a.kind = 'customer_receivable') AS booked
    FROM billing.invoices AS i
    LEFT JOIN billing.ledger_transactions AS t ON t.invoice_id = i.invoice_id AND t.kind = 'invoice_finalized'
    LEFT JOIN billing.ledger_entries AS e ON e.transaction_id = t.transaction_id
    LEFT JOIN billing.ledger_accounts AS a ON a.account_id = e.account_id
    WHERE i.month = ${month} AND i.status <> 'draft'
    GROUP BY i.invoice_id`.execute(db);
  const findings = rows
    .filter((row) => compare(parseFraction(row.total), parseFraction(row.booked ?? '0')) !== 0)
    .map((row) => ({
      object_id: row.invoice_id,
      message: `The total is ${row.total}, booked as receivable are ${row.booked ?? '0'}.`,
    }));
  return check('every invoice is booked with its total', rows.length, findings);
}

/** A verdict that changed after an invoice used it needs a credit or debit note. */
async function verdictsStand(db: BillingReader, month: string): Promise<ReconciliationCheck> {
  const invoices = await db
    .selectFrom('billing.invoices')
    .selectAll()
    .where('month', '=', month)
    .where('status', '=', 'final')
    .execute();
  const findings: Finding[] = [];
  for (const invoice of invoices) {
    const due = await findNoteDue(db, invoice);
    if (due === undefined || due.amount.isZero()) continue;
    const number = invoice.number ?? '';
    findings.push({
      object_id: invoice.invoice_id,
      message: `Verdicts changed after invoice ${number}: ${due.amount.toString()} more is due now. Issue a note (poolmeter credit-notes issue ${number}).`,
    });
  }
  return check('the verdicts behind final invoices still stand', invoices.length, findings);
}

async function nothingOverlaps(db: BillingReader): Promise<ReconciliationCheck> {
  const held = await db
    .selectFrom('billing.leases')
    .select(['lease_id', 'overlaps_with', 'gpu_uuid'])
    .where(sql<boolean>`cardinality(overlaps_with) > 0`)
    .orderBy('lease_id')
    .limit(1_000)
    .execute();
  const findings = held.map((row) => ({
    object_id: row.lease_id,
    message: `It overlaps with ${row.overlaps_with.join(', ')} on GPU ${row.gpu_uuid ?? ''} and is held.`,
  }));
  return check('no share of a GPU is leased twice', findings.length, findings);
}
