/** Prepaid money in PostgreSQL: grants, and what moved out of them. The customer's row lock is held by every writer. */
import { idFromFacts, instantFromMs, Money, PoolmeterError, type EpochMs } from '@poolmeter/domain';
import { sql } from 'kysely';
import type { WalletGrantRow } from '../correction-tables.js';
import type { BillingReader, BillingTransaction } from '../database.js';
import { bookTransaction } from '../ledger/ledger-store.js';
import type { LedgerEntry } from '../ledger/post-invoice.js';
import { drawWallet, type WalletDraw, type WalletGrant } from './draw-wallet.js';

/** What is left of each grant of a customer, used up and expired ones too. */
export async function readGrants(db: BillingReader, customerId: string): Promise<WalletGrant[]> {
  const { rows } = await sql<WalletGrantRow & { left_over: string }>`
    SELECT g.*, g.amount - coalesce(sum(m.amount), 0) AS left_over
    FROM billing.wallet_grants AS g
    LEFT JOIN billing.wallet_movements AS m USING (grant_id)
    WHERE g.customer_id = ${customerId}
    GROUP BY g.grant_id
    ORDER BY g.grant_id`.execute(db);
  return rows.map((row) => ({
    grantId: row.grant_id,
    left: Money.of(row.left_over, row.currency),
    kind: row.kind,
    priority: row.priority,
    effectiveFrom: instantFromMs(row.effective_from.getTime()),
    expiresAt: row.expires_at === null ? undefined : instantFromMs(row.expires_at.getTime()),
  }));
}

export async function customersWithGrants(db: BillingReader): Promise<string[]> {
  const rows = await db.selectFrom('billing.wallet_grants').select('customer_id').distinct().execute();
  return rows.map((row) => row.customer_id).sort();
}

export interface NewGrant {
  readonly grantId: string;
  readonly customerId: string;
  readonly amount: Money;
  readonly kind: WalletGrant['kind'];
  readonly description: string;
  readonly priority: number;
  readonly effectiveFrom: EpochMs;
  readonly expiresAt: EpochMs | undefined;
}

/** Books money received, or given. The same id again with the same values changes nothing. */
export async function addGrant(trx: BillingTransaction, grant: NewGrant, now: EpochMs): Promise<void> {
  const known = await trx
    .selectFrom('billing.wallet_grants')
    .selectAll()
    .where('grant_id', '=', grant.grantId)
    .executeTakeFirst();
  if (known !== undefined) {
    const same =
      known.customer_id === grant.customerId &&
      Money.of(known.amount, known.currency).equals(grant.amount) &&
      known.kind === grant.kind;
    if (same) return;
    throw new PoolmeterError(
      'input.conflict',
      `The grant ${grant.grantId} is there already, with other values.`,
    );
  }
  await trx
    .insertInto('billing.wallet_grants')
    .values({
      grant_id: grant.grantId,
      customer_id: grant.customerId,
      currency: grant.amount.currency,
      amount: grant.amount.toAmountText(),
      kind: grant.kind,
      description: grant.description,
      priority: grant.priority,
      effective_from: new Date(grant.effectiveFrom),
      expires_at: grant.expiresAt === undefined ? null : new Date(grant.expiresAt),
      granted_at: new Date(now),
    })
    .execute();
  await bookTransaction(trx, {
    kind: 'wallet_granted',
    objectId: grant.grantId,
    occurredAt: now,
    description: `Prepaid by ${grant.customerId}: ${grant.description}`,
    entries: [
      entry(grant.kind === 'paid' ? 'cash' : 'promotions', '', grant.amount),
      entry('wallet', grant.customerId, grant.amount.negated()),
    ],
  });
}

/** Settles an invoice as far as prepaid money goes; gives what was drawn. In the finalize transaction. */
export async function settleFromWallet(
  trx: BillingTransaction,
  invoice: {
    readonly invoiceId: string;
    readonly customerId: string;
    readonly total: Money;
    readonly now: EpochMs;
  },
): Promise<Money> {
  const grants = await readGrants(trx, invoice.customerId);
  if (grants.length === 0) return Money.zero(invoice.total.currency);
  const draws = drawWallet(grants, invoice.total, invoice.now);
  if (draws.length === 0) return Money.zero(invoice.total.currency);
  await trx
    .insertInto('billing.wallet_movements')
    .values(
      draws.map((draw) => ({
        grant_id: draw.grantId,
        kind: 'draw' as const,
        amount: draw.amount.toAmountText(),
        invoice_id: invoice.invoiceId,
        moved_at: new Date(invoice.now),
      })),
    )
    .execute();
  const drawn = sumOf(draws, invoice.total.currency);
  await bookTransaction(trx, {
    kind: 'wallet_drawn',
    objectId: invoice.invoiceId,
    invoiceId: invoice.invoiceId,
    occurredAt: invoice.now,
    description: `Prepaid money of ${invoice.customerId} settles an invoice`,
    entries: [
      entry('wallet', invoice.customerId, drawn),
      entry('customer_receivable', invoice.customerId, drawn.negated()),
    ],
  });
  return drawn;
}

/** Puts back what a void invoice took; it may be used until it expires as before. */
export async function returnToWallet(
  trx: BillingTransaction,
  voided: { readonly invoiceId: string; readonly customerId: string; readonly now: EpochMs },
): Promise<void> {
  const rows = await trx
    .selectFrom('billing.wallet_movements as m')
    .innerJoin('billing.wallet_grants as g', 'g.grant_id', 'm.grant_id')
    .select(['m.grant_id', 'm.amount', 'g.currency', 'g.kind'])
    .where('m.invoice_id', '=', voided.invoiceId)
    .where('m.kind', '=', 'draw')
    .execute();
  const [first] = rows;
  if (first === undefined) return;
  const draws = rows.map((row) => ({
    grantId: row.grant_id,
    kind: row.kind,
    amount: Money.of(row.amount, row.currency),
  }));
  await trx
    .insertInto('billing.wallet_movements')
    .values(
      draws.map((draw) => ({
        grant_id: draw.grantId,
        kind: 'return' as const,
        amount: draw.amount.negated().toAmountText(),
        invoice_id: voided.invoiceId,
        moved_at: new Date(voided.now),
      })),
    )
    .execute();
  const drawn = sumOf(draws, first.currency);
  await bookTransaction(trx, {
    kind: 'wallet_returned',
    objectId: voided.invoiceId,
    invoiceId: voided.invoiceId,
    occurredAt: voided.now,
    description: `A void invoice gives back prepaid money to ${voided.customerId}`,
    entries: [
      entry('customer_receivable', voided.customerId, drawn),
      entry('wallet', voided.customerId, drawn.negated()),
    ],
  });
}

/** Prepaid money whose term is over is ours; given money is simply gone. Safe to repeat. */
export async function expireGrants(
  trx: BillingTransaction,
  customerId: string,
  now: EpochMs,
): Promise<number> {
  const grants = await readGrants(trx, customerId);
  const over = grants.filter(
    (grant) => grant.expiresAt !== undefined && grant.expiresAt <= now && !grant.left.isZero(),
  );
  for (const grant of over) {
    const { grantId, left, kind } = grant;
    await trx
      .insertInto('billing.wallet_movements')
      .values({
        grant_id: grantId,
        kind: 'expire',
        amount: left.toAmountText(),
        invoice_id: null,
        moved_at: new Date(now),
      })
      .execute();
    await bookTransaction(trx, {
      kind: 'wallet_expired',
      // A void invoice may refill a grant that is over already.
      objectId: idFromFacts('exp', grantId, now),
      occurredAt: now,
      description: `Prepaid money of ${customerId} expired`,
      entries: [
        entry('wallet', customerId, left),
        entry(kind === 'paid' ? 'revenue' : 'promotions', '', left.negated()),
      ],
    });
  }
  return over.length;
}

function sumOf(draws: readonly WalletDraw[], currency: string): Money {
  return Money.sum(
    draws.map((draw) => draw.amount),
    currency,
  );
}

function entry(kind: LedgerEntry['account']['kind'], ownerId: string, amount: Money): LedgerEntry {
  return { account: { kind, ownerId }, amount };
}
