/** Reads what an invoice is computed from: as it is now, or as an earlier invoice pinned it. */
import { instantFromMs, Money, parseFraction, type EpochMs, type GpuTime } from '@poolmeter/domain';
import { sql } from 'kysely';
import { readCustomerVersion } from '../customers/parties.js';
import type { BillingReader } from '../database.js';
import { lastPosition, readEventsForPeriod } from '../leases/lease-store.js';
import type { RecordedLeaseEvent } from '../leases/recorded-lease-event.js';
import { readPinnedVerdicts, readVerdicts } from '../metering/verdict-store.js';
import { readContracts, readPriceBooks } from '../prices/price-store.js';
import { adjustedPeriod } from './adjusted-period.js';
import type { ClosedPeriod, EarlierAdjustment, InvoiceInputs } from './compute-invoice.js';
import {
  basisFromJson,
  parseManifest,
  parsePinnedPeriod,
  periodOf,
  type Manifest,
  type PinnedEarlier,
  type PinnedPeriod,
} from './manifest.js';
import { readDisputes, readMaintenance, readPinnedMaintenance } from './load-terms-inputs.js';
import type { BillingPeriod } from './period.js';
import type { CustomerVersion, OverlappingLease, PeriodInputs } from './period-inputs.js';

export interface WantedPeriod {
  readonly customer: CustomerVersion;
  readonly period: BillingPeriod;
  readonly now: EpochMs;
}

/** Everything as it is known now. Read it in one snapshot: a repeatable-read transaction. */
export async function loadInvoiceInputs(db: BillingReader, wanted: WantedPeriod): Promise<InvoiceInputs> {
  const position = await lastPosition(db);
  const current = await loadPeriod(db, wanted, position);
  return { current, closed: await loadClosedPeriods(db, current) };
}

async function loadPeriod(
  db: BillingReader,
  { customer, period, now }: WantedPeriod,
  position: bigint,
): Promise<PeriodInputs> {
  const leaseEvents = await readEventsForPeriod(db, { customerId: customer.customerId, period, position });
  const gpuUuids = leaseEvents.flatMap((event) => event.columns.gpuUuid ?? []);
  const [overlapping, verdicts, books, contracts] = [
    await readOverlapping(db, leaseEvents),
    await readVerdicts(db, { gpuUuids, period }),
    await readPriceBooks(db),
    await readContracts(db, customer.customerId),
  ];
  const inForce = contracts.filter((contract) => contract.effectiveFrom < period.end);
  return {
    customer,
    period,
    asOf: now < period.end ? now : period.end,
    leasePosition: position,
    leaseEvents,
    overlapping,
    verdicts,
    books: books.filter((book) => book.currency === customer.currency && book.effectiveFrom < period.end),
    contracts: inForce,
    maintenance: await readMaintenance(db, { period, contracts: inForce }),
    disputes: await readDisputes(db, { customerId: customer.customerId, month: period.month }),
  };
}

async function readOverlapping(
  db: BillingReader,
  events: readonly RecordedLeaseEvent[],
): Promise<OverlappingLease[]> {
  const ids = [...new Set(events.map((event) => event.leaseId))];
  const rows = await db
    .selectFrom('billing.leases')
    .select(['lease_id', 'overlaps_with'])
    .where('lease_id', '=', sql<string>`ANY(${ids}::text[])`)
    .where(sql<boolean>`cardinality(overlaps_with) > 0`)
    .orderBy('lease_id')
    .execute();
  return rows.map((row) => ({ leaseId: row.lease_id, otherLeaseIds: row.overlaps_with }));
}

/** Earlier final invoices whose leases got events that the invoice did not know. */
async function loadClosedPeriods(db: BillingReader, current: PeriodInputs): Promise<ClosedPeriod[]> {
  const finals = await db
    .selectFrom('billing.invoices')
    .select(['invoice_id', 'number', 'manifest'])
    .where('customer_id', '=', current.customer.customerId)
    .where('status', '=', 'final')
    .where('period_end', '<=', new Date(current.period.start))
    .where('currency', '=', current.customer.currency)
    .orderBy('period_start')
    .execute();
  const closed: ClosedPeriod[] = [];
  for (const invoice of finals) {
    const { current: pinned } = parseManifest(invoice.manifest);
    if (!(await hasLaterEvents(db, pinned, current.leasePosition))) continue;
    const then = await loadPinnedPeriod(db, pinned);
    const usage = { customerId: pinned.customer_id, period: then.period, position: current.leasePosition };
    const leaseEvents = await readEventsForPeriod(db, usage);
    const overlapping = await readOverlapping(db, leaseEvents);
    const last = await readLastCorrection(db, invoice.invoice_id);
    const verdicts = last === undefined ? then.verdicts : await readPinnedVerdicts(db, last.verdicts);
    closed.push({
      invoiceId: invoice.invoice_id,
      number: invoice.number ?? '',
      then,
      now: adjustedPeriod(then, {
        leaseEvents,
        overlapping,
        leasePosition: current.leasePosition,
        verdicts,
      }),
      earlier: await readEarlier(db, { invoiceId: invoice.invoice_id, currency: pinned.currency }),
    });
  }
  return closed;
}

async function hasLaterEvents(db: BillingReader, pinned: PinnedPeriod, position: bigint): Promise<boolean> {
  const { rows } = await sql`
    SELECT 1
    FROM billing.lease_events AS e
    WHERE e.position > ${BigInt(pinned.lease_position)} AND e.position <= ${position}
      AND EXISTS (
        SELECT FROM billing.lease_events AS own
        WHERE own.lease_id = e.lease_id AND own.customer_id = ${pinned.customer_id}
          AND own.at < ${new Date(pinned.end)}
      )
    LIMIT 1`.execute(db);
  return rows.length > 0;
}

interface CorrectedInvoice {
  readonly invoiceId: string;
  readonly currency: string;
}

/** What adjustments on later invoices, and notes, charged for a period already. */
export async function readEarlier(
  db: BillingReader,
  { invoiceId, currency }: CorrectedInvoice,
): Promise<EarlierAdjustment[]> {
  const rows = await db
    .selectFrom('billing.invoice_lines as l')
    .innerJoin('billing.invoices as i', 'i.invoice_id', 'l.invoice_id')
    .select(['l.line_id', 'l.amount', 'l.gpu_ms', 'l.details'])
    .where('l.corrects', '=', invoiceId)
    .where('i.status', '=', 'final')
    .orderBy('i.period_start')
    .execute();
  const notes = await db
    .selectFrom('billing.notes as n')
    .innerJoin('billing.invoices as i', 'i.invoice_id', 'n.invoice_id')
    .select(['n.note_id', 'n.subtotal', 'n.total', 'n.gpu_ms', 'n.provider_basis', 'n.manifest'])
    .where('n.invoice_id', '=', invoiceId)
    .orderBy('n.sequence')
    .execute();
  const adjustments = rows.map((row) => ({
    line_id: row.line_id,
    amount: row.amount,
    gpu_ms: row.gpu_ms,
    provider_basis: row.details['provider_basis'] as Record<string, string>,
  }));
  const noted: PinnedEarlier[] = [];
  for (const note of notes) {
    const { customer_id, customer_version } = parsePinnedPeriod(note.manifest);
    const version = { customerId: customer_id, version: customer_version, currency };
    const { tax } = await readCustomerVersion(db, version);
    // Lines contain an inclusive tax, so what a note charged beside them does too.
    const amount = tax?.inclusive === true ? note.total : note.subtotal;
    noted.push({ line_id: note.note_id, amount, gpu_ms: note.gpu_ms, provider_basis: note.provider_basis });
  }
  return [...adjustments, ...noted].map((one) => earlierFromPinned(one, currency));
}

/** The period as the last adjustment or note about it was computed; undefined when there is none. */
export async function readLastCorrection(
  db: BillingReader,
  invoiceId: string,
): Promise<PinnedPeriod | undefined> {
  const adjusting = await db
    .selectFrom('billing.invoice_lines as l')
    .innerJoin('billing.invoices as i', 'i.invoice_id', 'l.invoice_id')
    .select(['i.manifest', 'i.finalized_at as at'])
    .where('l.corrects', '=', invoiceId)
    .where('i.status', '=', 'final')
    .orderBy('i.finalized_at', 'desc')
    .limit(1)
    .executeTakeFirst();
  const note = await db
    .selectFrom('billing.notes')
    .select(['manifest', 'issued_at as at'])
    .where('invoice_id', '=', invoiceId)
    .orderBy('sequence', 'desc')
    .limit(1)
    .executeTakeFirst();
  const adjusted =
    adjusting === undefined
      ? undefined
      : parseManifest(adjusting.manifest).closed.find((one) => one.invoice_id === invoiceId)?.now;
  if (note === undefined) return adjusted;
  const noted = parsePinnedPeriod(note.manifest);
  if (adjusted === undefined) return noted;
  // Usage only grows, and each of the two kept what it did not change: the later one knows more of both.
  return BigInt(adjusted.lease_position) > BigInt(noted.lease_position) ? adjusted : noted;
}

function earlierFromPinned(pinned: PinnedEarlier, currency: string): EarlierAdjustment {
  return {
    lineId: pinned.line_id,
    amount: Money.of(pinned.amount, currency),
    gpuTime: parseFraction(pinned.gpu_ms) as GpuTime,
    providerBasis: basisFromJson(pinned.provider_basis),
  };
}

/** The inputs of an invoice as its manifest pinned them. */
export async function loadPinnedInputs(db: BillingReader, manifest: Manifest): Promise<InvoiceInputs> {
  const closed: ClosedPeriod[] = [];
  for (const pinned of manifest.closed) {
    closed.push({
      invoiceId: pinned.invoice_id,
      number: pinned.number,
      then: await loadPinnedPeriod(db, pinned.then),
      now: await loadPinnedPeriod(db, pinned.now),
      earlier: pinned.earlier.map((one) => earlierFromPinned(one, pinned.then.currency)),
    });
  }
  return { current: await loadPinnedPeriod(db, manifest.current), closed };
}

export async function loadPinnedPeriod(db: BillingReader, pinned: PinnedPeriod): Promise<PeriodInputs> {
  const period = periodOf(pinned);
  const position = BigInt(pinned.lease_position);
  const customerId = pinned.customer_id;
  return {
    customer: await readCustomerVersion(db, {
      customerId,
      version: pinned.customer_version,
      currency: pinned.currency,
    }),
    period,
    asOf: instantFromMs(pinned.as_of),
    leasePosition: position,
    leaseEvents: await readEventsForPeriod(db, { customerId, period, position }),
    overlapping: pinned.overlapping.map((one) => ({
      leaseId: one.lease_id,
      otherLeaseIds: one.other_lease_ids,
    })),
    verdicts: await readPinnedVerdicts(db, pinned.verdicts),
    books: await readPriceBooks(db, pinned.price_books),
    contracts: await readContracts(db, customerId, pinned.contracts),
    maintenance: await readPinnedMaintenance(db, pinned.maintenance),
    disputes: [],
  };
}
