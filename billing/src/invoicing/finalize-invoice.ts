/** Makes a draft final: number, content, ledger and messages in one transaction, or none of it (billing rule 13). */
import {
  formatInstant,
  instantFromMs,
  parseFraction,
  PoolmeterError,
  type EpochMs,
  type Fraction,
} from '@poolmeter/domain';
import type { BillingTransaction } from '../database.js';
import { bookTransaction } from '../ledger/ledger-store.js';
import { postInvoice } from '../ledger/post-invoice.js';
import { recordEarnings } from '../payouts/provider-earnings.js';
import { settleFromWallet } from '../wallets/wallet-store.js';
import {
  computeCurrent,
  findFinal,
  lockCustomer,
  lookUpEvidence,
  storeDraft,
  type Computation,
  type InvoiceOf,
  type InvoicingDeps,
} from './draft-invoice.js';
import { holdToJson, type EvidenceByInterval } from './invoice-rows.js';
import type { BusPositions } from './manifest.js';
import { behindText, waitForPeriod, type MeterPosition } from './meter-position.js';

/** Writes the audit entry of a change in the change's own transaction. */
export type RecordChange = (
  trx: BillingTransaction,
  change: {
    readonly action: string;
    readonly objectKind: string;
    readonly objectId: string;
    readonly details?: Readonly<Record<string, unknown>>;
  },
) => Promise<void>;

export interface ClosingDeps extends InvoicingDeps {
  readonly meterPosition: MeterPosition;
  /** From the period's end to the first moment at which an invoice may be final. */
  readonly graceMs: number;
  /** How long finalizing waits for readers of the bus that are nearly there. */
  readonly positionWaitMs: number;
}

export interface FinalizedInvoice {
  readonly invoiceId: string;
  /** False when it was final before. */
  readonly isNew: boolean;
}

const ATTEMPTS = 5;

export async function finalizeInvoice(
  deps: ClosingDeps,
  wanted: InvoiceOf,
  record: RecordChange,
): Promise<FinalizedInvoice> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const prepared = await prepareClosing(deps, wanted);
    if ('invoiceId' in prepared) return prepared;
    const evidence = await lookUpEvidence(deps.evidence, prepared.computation.invoice.intervals);
    const done = await closePrepared(deps, { wanted, ...prepared, evidence, record });
    if (done !== undefined) return done;
  }
  const message = `The invoices of ${wanted.customerId} kept changing while ${wanted.month} was closed: try again.`;
  throw new PoolmeterError('input.conflict', message, { retriable: true });
}

/** An invoice that may become final as it is. */
export interface PreparedClosing {
  readonly computation: Computation;
  readonly busPositions: BusPositions;
}

/** Computes the invoice and refuses it when anything stands against it. Writes nothing. */
export async function prepareClosing(
  deps: ClosingDeps,
  wanted: InvoiceOf,
): Promise<PreparedClosing | FinalizedInvoice> {
  const known = await findFinal(deps.store.db, wanted);
  if (known !== undefined) return { invoiceId: known, isNew: false };
  const computation = await computeCurrent(deps, wanted);
  const busPositions = await refuseTooEarly(deps, computation);
  refuseEmpty(computation);
  refuseHolds(computation);
  return { computation, busPositions };
}

export interface Closing extends PreparedClosing {
  readonly wanted: InvoiceOf;
  readonly evidence: EvidenceByInterval;
  readonly record: RecordChange;
}

/** Undefined when another invoice of the customer became final meanwhile: its adjustments must be seen first. */
export function closePrepared(deps: ClosingDeps, closing: Closing): Promise<FinalizedInvoice | undefined> {
  const { wanted, computation, record } = closing;
  return deps.store.transaction(
    async (trx) => {
      const revision = await lockCustomer(trx, wanted.customerId);
      const known = await findFinal(trx, wanted);
      if (known !== undefined) return { invoiceId: known, isNew: false };
      if (revision !== computation.invoiceRevision) return undefined;
      await refuseParked(trx, wanted.customerId);
      const invoiceId = await storeDraft(trx, deps, { ...closing, mark: '' });
      await trx
        .updateTable('billing.customers')
        .set((expression) => ({ invoice_revision: expression('invoice_revision', '+', 1n) }))
        .where('customer_id', '=', wanted.customerId)
        .execute();
      // The issuer's row is locked last and until the commit: numbers follow the order of commits, without a gap.
      const number = await takeNumber(trx);
      await bookInvoice(trx, { invoiceId, number, computation });
      const drawn = await settleFromWallet(trx, {
        invoiceId,
        customerId: wanted.customerId,
        total: computation.invoice.total,
        now: computation.now,
      });
      await trx
        .updateTable('billing.invoices')
        .set({
          status: 'final',
          number,
          wallet_drawn: drawn.toAmountText(),
          finalized_at: new Date(computation.now),
          updated_at: new Date(computation.now),
        })
        .where('invoice_id', '=', invoiceId)
        .execute();
      await record(trx, {
        action: 'invoice.finalize',
        objectKind: 'invoice',
        objectId: invoiceId,
        details: { number, total: computation.invoice.total.toJSON() },
      });
      return { invoiceId, isNew: true };
    },
    { isolation: 'read committed' },
  );
}

/** A law did not hold on this account: nothing is invoiced until somebody has looked (billing rule 17). */
async function refuseParked(trx: BillingTransaction, customerId: string): Promise<void> {
  const parked = await trx
    .selectFrom('billing.parked_accounts')
    .select(['law', 'reason'])
    .where('customer_id', '=', customerId)
    .executeTakeFirst();
  if (parked === undefined) return;
  throw new PoolmeterError(
    'invoice.held',
    `The account of ${customerId} is parked: ${parked.reason} Mend that and release it.`,
    { details: { customer_id: customerId, law: parked.law } },
  );
}

/** The issuer's row is locked until the commit: a number that is taken is used, or nobody took it. */
export async function takeNumber(trx: BillingTransaction, issuerId = 'default'): Promise<string> {
  const issuer = await trx
    .updateTable('billing.issuers')
    .set((expression) => ({ next_number: expression('next_number', '+', 1n) }))
    .where('issuer_id', '=', issuerId)
    .returning(['prefix', 'next_number'])
    .executeTakeFirstOrThrow();
  return `${issuer.prefix}${(issuer.next_number - 1n).toString().padStart(6, '0')}`;
}

async function bookInvoice(
  trx: BillingTransaction,
  booked: { readonly invoiceId: string; readonly number: string; readonly computation: Computation },
): Promise<void> {
  const { invoice, inputs, now } = booked.computation;
  const payoutShares = await readPayoutShares(trx);
  await bookTransaction(trx, {
    kind: 'invoice_finalized',
    objectId: booked.invoiceId,
    invoiceId: booked.invoiceId,
    occurredAt: now,
    description: `Invoice ${booked.number} to ${inputs.current.customer.customerId} for ${inputs.current.period.month}`,
    entries: postInvoice({ ...invoice, customerId: inputs.current.customer.customerId, payoutShares }),
  });
  await recordEarnings(trx, {
    ...invoice,
    objectId: booked.invoiceId,
    invoiceId: booked.invoiceId,
    month: inputs.current.period.month,
    currency: inputs.current.customer.currency,
    payoutShares,
    now,
  });
}

/** What is agreed with each provider now; the ledger keeps what was booked by it. */
export async function readPayoutShares(trx: BillingTransaction): Promise<Map<string, Fraction>> {
  const providers = await trx
    .selectFrom('billing.providers')
    .select(['provider_id', 'payout_share'])
    .execute();
  return new Map(
    providers.flatMap((row): [string, Fraction][] =>
      row.payout_share === null ? [] : [[row.provider_id, parseFraction(row.payout_share)]],
    ),
  );
}

async function refuseTooEarly(deps: ClosingDeps, { inputs, now }: Computation): Promise<BusPositions> {
  const { period } = inputs.current;
  const earliest = instantFromMs(period.end + deps.graceMs);
  if (now < earliest) {
    throw new PoolmeterError(
      'invoice.state',
      `The period ${period.month} ends at ${formatInstant(period.end)}; its invoices can be final from ${formatInstant(earliest)} on, so that late usage still finds its place.`,
      { details: { earliest: formatInstant(earliest) } },
    );
  }
  return refuseUnread(deps, period.end);
}

async function refuseUnread(deps: ClosingDeps, periodEnd: EpochMs): Promise<BusPositions> {
  const { clock, positionWaitMs } = deps;
  const wait = { periodEnd, clock, waitMs: positionWaitMs };
  const { positions, behind } = await waitForPeriod(deps.store, deps.meterPosition, wait);
  if (behind.length === 0) return positions;
  throw new PoolmeterError('invoice.held', behindText(periodEnd, behind), {
    retriable: true,
    details: { holds: [{ reason: 'meter_incomplete', behind }] },
  });
}

/** An invoice without a line would take a number for nothing. */
function refuseEmpty({ invoice, inputs }: Computation): void {
  if (invoice.lines.length > 0 || invoice.holds.length > 0) return;
  const { customer, period } = inputs.current;
  throw new PoolmeterError(
    'invoice.state',
    `There is nothing to invoice to ${customer.customerId} for ${period.month}.`,
    {
      details: { nothing_to_invoice: true },
    },
  );
}

/** A price that is missing is the operator's to mend; everything else waits for a decision. */
function refuseHolds({ invoice }: Computation): void {
  const missing = invoice.holds.filter((hold) => hold.reason === 'missing_price');
  if (missing.length > 0) {
    throw new PoolmeterError('price.missing', missing.map((hold) => hold.description).join(' '), {
      details: { holds: missing.map(holdToJson) },
    });
  }
  if (invoice.holds.length > 0) {
    const reasons = invoice.holds.map((hold) => hold.description).join(' ');
    throw new PoolmeterError('invoice.held', reasons, { details: { holds: invoice.holds.map(holdToJson) } });
  }
}
