/** Ledger transactions in PostgreSQL, where a trigger holds each of them to zero. */
import { idFromFacts, Money, type EpochMs } from '@poolmeter/domain';
import type { BillingReader, BillingTransaction, LedgerEventKind } from '../database.js';
import type { AccountKind, LedgerEntry } from './post-invoice.js';

export interface LedgerTransaction {
  readonly kind: LedgerEventKind;
  /** What it is about; an event of one kind is booked once for it. */
  readonly objectId: string;
  /** The invoice that it belongs to, when there is one. */
  readonly invoiceId?: string;
  readonly occurredAt: EpochMs;
  readonly description: string;
  readonly entries: readonly LedgerEntry[];
}

/** Books a business event; its id follows from the event, so it cannot be booked twice. */
export async function bookTransaction(trx: BillingTransaction, booked: LedgerTransaction): Promise<string> {
  const transactionId = idFromFacts('ltx', booked.kind, booked.objectId);
  const accounts = booked.entries.map(({ account }) => ({
    account_id: accountIdOf(account),
    kind: account.kind,
    owner_id: account.ownerId,
  }));
  if (accounts.length > 0) {
    await trx
      .insertInto('billing.ledger_accounts')
      .values(accounts)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
  await trx
    .insertInto('billing.ledger_transactions')
    .values({
      transaction_id: transactionId,
      kind: booked.kind,
      invoice_id: booked.invoiceId ?? null,
      object_id: booked.objectId,
      occurred_at: new Date(booked.occurredAt),
      description: booked.description,
    })
    .execute();
  if (booked.entries.length === 0) return transactionId;
  await trx
    .insertInto('billing.ledger_entries')
    .values(
      booked.entries.map(({ account, amount }, index) => ({
        transaction_id: transactionId,
        entry: index + 1,
        account_id: accountIdOf(account),
        currency: amount.currency,
        amount: amount.toAmountText(),
      })),
    )
    .execute();
  return transactionId;
}

function accountIdOf(account: LedgerEntry['account']): string {
  return account.ownerId === '' ? account.kind : `${account.kind}:${account.ownerId}`;
}

/** The entries that an invoice was booked with. */
export function readInvoiceEntries(db: BillingReader, invoiceId: string): Promise<LedgerEntry[]> {
  return readEntries(db, { kind: 'invoice_finalized', objectId: invoiceId });
}

/** The entries of one business event. */
export async function readEntries(
  db: BillingReader,
  event: Pick<LedgerTransaction, 'kind' | 'objectId'>,
): Promise<LedgerEntry[]> {
  const rows = await db
    .selectFrom('billing.ledger_entries as e')
    .innerJoin('billing.ledger_transactions as t', 't.transaction_id', 'e.transaction_id')
    .innerJoin('billing.ledger_accounts as a', 'a.account_id', 'e.account_id')
    .select(['a.kind', 'a.owner_id', 'e.amount', 'e.currency'])
    .where('t.object_id', '=', event.objectId)
    .where('t.kind', '=', event.kind)
    .orderBy('e.entry')
    .execute();
  return rows.map((row) => ({
    account: { kind: row.kind as AccountKind, ownerId: row.owner_id },
    amount: Money.of(row.amount, row.currency),
  }));
}
