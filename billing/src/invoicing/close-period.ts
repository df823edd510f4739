/** Makes the invoices of a whole period final: every customer by itself, so that one that is held stops nobody else. */
import { isPoolmeterError, type ErrorCode } from '@poolmeter/domain';
import { sql } from 'kysely';
import type { BillingReader } from '../database.js';
import { lookUpEvidence } from './draft-invoice.js';
import {
  closePrepared,
  finalizeInvoice,
  prepareClosing,
  type ClosingDeps,
  type FinalizedInvoice,
  type PreparedClosing,
  type RecordChange,
} from './finalize-invoice.js';
import type { EvidenceByInterval } from './invoice-rows.js';
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
  const chunks = chunksOf(await customersOf(deps.store.db, month));
  let next = chunks[0] === undefined ? undefined : prepareSome(deps, { month, ids: chunks[0] });
  for (let index = 1; next !== undefined; index += 1) {
    const ready = await next;
    const following = chunks[index];
    // The next ones are computed, and telemetry asked about them, while these are written.
    next = following === undefined ? undefined : prepareSome(deps, { month, ids: following });
    // Should writing fail, nobody waits for them any more.
    next?.catch(() => undefined);
    closed.push(...(await writeSome(deps, { month, ...ready }, record)));
  }
  return closed;
}

function chunksOf(ids: readonly string[]): string[][] {
  const chunks: string[][] = [];
  for (let from = 0; from < ids.length; from += CUSTOMERS_AT_ONCE)
    chunks.push(ids.slice(from, from + CUSTOMERS_AT_ONCE));
  return chunks;
}

/** So many are held in memory together, and asked about in one question to telemetry. */
const CUSTOMERS_AT_ONCE = 125;
/** The database and this process work on two cores; more at once would only wait for each other. */
const AT_ONCE = 3;

type Prepared = { readonly id: string } & (PreparedClosing | { readonly settled: ClosedCustomer });

interface ReadyCustomers {
  readonly prepared: readonly Prepared[];
  readonly evidence: EvidenceByInterval;
}

async function prepareSome(
  deps: ClosingDeps,
  { month, ids }: { readonly month: string; readonly ids: readonly string[] },
): Promise<ReadyCustomers> {
  const prepared = await mapAtOnce(ids, (id): Promise<Prepared> => prepareOne(deps, { month, id }));
  const intervals = prepared.flatMap((one) =>
    'computation' in one ? one.computation.invoice.intervals : [],
  );
  return { prepared, evidence: await lookUpEvidence(deps.evidence, intervals) };
}

function writeSome(
  deps: ClosingDeps,
  { month, prepared, evidence }: ReadyCustomers & { readonly month: string },
  record: RecordChange,
): Promise<ClosedCustomer[]> {
  return mapAtOnce(prepared, async (one) => {
    if ('settled' in one) return one.settled;
    const wanted = { customerId: one.id, month };
    return settled(one.id, async () => {
      const done = await closePrepared(deps, { wanted, ...one, evidence, record });
      // Another invoice of the customer became final meanwhile: this one is computed again.
      return done ?? finalizeInvoice(deps, wanted, record);
    });
  });
}

async function prepareOne(
  deps: ClosingDeps,
  { month, id }: { readonly month: string; readonly id: string },
): Promise<Prepared> {
  let prepared: PreparedClosing | undefined;
  const outcome = await settled(id, async () => {
    const found = await prepareClosing(deps, { customerId: id, month });
    if ('invoiceId' in found) return found;
    prepared = found;
    return { invoiceId: '', isNew: true };
  });
  return prepared === undefined ? { id, settled: outcome } : { id, ...prepared };
}

/** What is wrong with one customer's invoice is told beside the others; what is wrong with us ends the call. */
async function settled(id: string, work: () => Promise<FinalizedInvoice>): Promise<ClosedCustomer> {
  try {
    const done = await work();
    return { customerId: id, invoiceId: done.invoiceId, outcome: done.isNew ? 'finalized' : 'already_final' };
  } catch (fault) {
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

/** Results in the order of the items. */
async function mapAtOnce<T, R>(items: readonly T[], run: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const waiting = items.map((item, index) => ({ item, index })).reverse();
  const work = async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      results[next.index] = await run(next.item);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return results;
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
