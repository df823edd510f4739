/** Computes a customer's invoice of a period as it stands now, and stores it as the draft. */
import { PoolmeterError, type Clock, type EpochMs } from '@poolmeter/domain';
import type { Logger } from '@poolmeter/service';
import { readCustomer } from '../customers/parties.js';
import type { BillingReader, BillingStore, BillingTransaction } from '../database.js';
import type { Evidence, EvidenceSource } from '../metering/evidence.js';
import type { MeteredInterval } from '../metering/meter-leases.js';
import { pinVerdicts } from '../metering/verdict-store.js';
import { computeInvoice, type ComputedInvoice, type InvoiceInputs } from './compute-invoice.js';
import type { EvidenceByInterval } from './invoice-rows.js';
import { loadInvoiceInputs } from './load-inputs.js';
import { manifestOf, type BusPositions } from './manifest.js';
import { billingPeriod } from './period.js';
import { writeDraft } from './write-invoice.js';

export interface InvoicingDeps {
  readonly store: BillingStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly evidence: EvidenceSource;
  /** Version of the time-zone data that periods are cut with. */
  readonly tzdataVersion: string;
}

export interface InvoiceOf {
  readonly customerId: string;
  /** `2026-03` */
  readonly month: string;
}

/** What was computed, and at which revision of the customer's invoices. */
export interface Computation {
  readonly inputs: InvoiceInputs;
  readonly invoice: ComputedInvoice;
  readonly invoiceRevision: bigint;
  readonly now: EpochMs;
}

/** All inputs in one snapshot, then the pure calculation. Writes nothing. */
export async function computeCurrent(deps: InvoicingDeps, wanted: InvoiceOf): Promise<Computation> {
  const now = deps.clock.now();
  const loaded = await deps.store.transaction(
    async (trx) => {
      const { customer, invoiceRevision } = await readCustomer(trx, wanted.customerId);
      const period = billingPeriod(wanted.month, customer.zone);
      return { inputs: await loadInvoiceInputs(trx, { customer, period, now }), invoiceRevision };
    },
    { isolation: 'repeatable read' },
  );
  return { ...loaded, invoice: computeInvoice(loaded.inputs), now };
}

/** Asks telemetry about every interval at once. */
export async function lookUpEvidence(
  source: EvidenceSource,
  intervals: readonly MeteredInterval[],
): Promise<EvidenceByInterval> {
  const found = await source.evidenceOf(
    intervals.map(({ lease, span }) => ({
      gpuUuid: lease.gpuUuid,
      gpuInstance: lease.gpuInstance,
      start: span.start,
      end: span.end,
    })),
  );
  return new Map(intervals.map((one, index) => [one.intervalId, found[index] as Evidence]));
}

/** Locks a customer for writing invoices; gives the revision that it is at. */
export async function lockCustomer(trx: BillingTransaction, customerId: string): Promise<bigint> {
  const row = await trx
    .selectFrom('billing.customers')
    .select('invoice_revision')
    .where('customer_id', '=', customerId)
    .forUpdate()
    .executeTakeFirst();
  if (row === undefined) throw new PoolmeterError('not_found', `There is no customer ${customerId}.`);
  return row.invoice_revision;
}

export interface StoredDraft {
  readonly invoiceId: string;
  readonly computation: Computation;
}

/** The largest preview that evidence is looked up for; a longer one gets it when it becomes final. */
const PREVIEW_INTERVALS_MAX = 500;

/** Stores the draft; undefined when the period has a final invoice already. */
export async function draftInvoice(
  deps: InvoicingDeps,
  wanted: InvoiceOf & { readonly mark?: string; readonly withEvidence: boolean },
): Promise<StoredDraft | undefined> {
  const computation = await computeCurrent(deps, wanted);
  const { intervals } = computation.invoice;
  const looksUp = wanted.withEvidence && intervals.length <= PREVIEW_INTERVALS_MAX;
  const evidence = looksUp ? await lookUpEvidence(deps.evidence, intervals) : new Map<string, Evidence>();
  return deps.store.transaction(
    async (trx) => {
      await lockCustomer(trx, wanted.customerId);
      if ((await findFinal(trx, wanted)) !== undefined) return undefined;
      const invoiceId = await storeDraft(trx, deps, {
        computation,
        evidence,
        mark: wanted.mark ?? '',
        busPositions: [],
      });
      return { invoiceId, computation };
    },
    { isolation: 'read committed' },
  );
}

export interface DraftParts {
  readonly computation: Computation;
  readonly evidence: EvidenceByInterval;
  readonly mark: string;
  readonly busPositions: BusPositions;
}

/** In the caller's transaction, which holds the customer's lock. */
export async function storeDraft(
  trx: BillingTransaction,
  deps: InvoicingDeps,
  { computation, evidence, mark, busPositions }: DraftParts,
): Promise<string> {
  const { inputs, invoice, now } = computation;
  await pinVerdicts(trx, inputs.current.verdicts);
  const facts = { tzdataVersion: deps.tzdataVersion, computedAtMs: now, busPositions };
  return writeDraft(trx, { inputs, invoice, manifest: manifestOf(inputs, facts), evidence, mark, now });
}

export async function findFinal(db: BillingReader, wanted: InvoiceOf): Promise<string | undefined> {
  const row = await db
    .selectFrom('billing.invoices')
    .select('invoice_id')
    .where('customer_id', '=', wanted.customerId)
    .where('month', '=', wanted.month)
    .where('status', '=', 'final')
    .executeTakeFirst();
  return row?.invoice_id;
}
