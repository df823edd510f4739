/** What a provider earned in a month, by invoice, and what it was paid. */
import { Money, parseFraction, PoolmeterError, toDecimalText } from '@poolmeter/domain';
import { sql } from 'kysely';
import { instantText } from '../copies/row-copies.js';
import type { BillingReader } from '../database.js';

export interface ProviderStatement {
  readonly provider_id: string;
  readonly period: string;
  readonly lines: readonly StatementLine[];
  readonly totals: readonly StatementTotal[];
}

interface StatementLine {
  readonly object_id: string;
  readonly invoice_id: string;
  readonly currency: string;
  readonly charged: string;
  readonly payout_share: string | null;
  readonly gross: { amount: string; currency: string };
  readonly clawed_back: { amount: string; currency: string };
  readonly earned: { amount: string; currency: string };
  readonly recorded_at: string;
}

interface StatementTotal {
  readonly currency: string;
  readonly gross: { amount: string; currency: string };
  readonly clawed_back: { amount: string; currency: string };
  readonly earned: { amount: string; currency: string };
}

/** Gross less claw-back is what was earned; void invoices are not on it. */
export async function readStatement(
  db: BillingReader,
  { providerId, month }: { readonly providerId: string; readonly month: string },
): Promise<ProviderStatement> {
  const provider = await db
    .selectFrom('billing.providers')
    .select('provider_id')
    .where('provider_id', '=', providerId)
    .executeTakeFirst();
  if (provider === undefined) throw new PoolmeterError('not_found', `There is no provider ${providerId}.`);
  const rows = await db
    .selectFrom('billing.provider_earnings as e')
    .innerJoin('billing.invoices as i', 'i.invoice_id', 'e.invoice_id')
    .selectAll('e')
    .where('e.provider_id', '=', providerId)
    .where('e.month', '=', month)
    .where('i.status', '=', 'final')
    .orderBy('e.recorded_at')
    .orderBy('e.object_id')
    .execute();
  const lines = rows.map((row): StatementLine => {
    const [earned, clawedBack] = [
      Money.of(row.earned, row.currency),
      Money.of(row.clawed_back, row.currency),
    ];
    return {
      object_id: row.object_id,
      invoice_id: row.invoice_id,
      currency: row.currency,
      charged: toDecimalText(parseFraction(row.basis), 9),
      payout_share: row.payout_share,
      gross: earned.plus(clawedBack).toJSON(),
      clawed_back: clawedBack.toJSON(),
      earned: earned.toJSON(),
      recorded_at: instantText(row.recorded_at),
    };
  });
  return { provider_id: providerId, period: month, lines, totals: totalsOf(lines) };
}

function totalsOf(lines: readonly StatementLine[]): StatementTotal[] {
  const currencies = [...new Set(lines.map((line) => line.currency))].sort();
  return currencies.map((currency) => {
    const sum = (of: (line: StatementLine) => { amount: string }) =>
      Money.sum(
        lines.filter((line) => line.currency === currency).map((line) => Money.of(of(line).amount, currency)),
        currency,
      ).toJSON();
    return {
      currency,
      gross: sum((line) => line.gross),
      clawed_back: sum((line) => line.clawed_back),
      earned: sum((line) => line.earned),
    };
  });
}

/** What is owed to a provider now, per currency, by the ledger. */
export async function readPayable(db: BillingReader, providerId: string): Promise<Money[]> {
  const { rows } = await sql<{ currency: string; owed: string }>`
    SELECT e.currency, -sum(e.amount) AS owed
    FROM billing.ledger_entries AS e
    JOIN billing.ledger_accounts AS a USING (account_id)
    WHERE a.kind = 'provider_payable' AND a.owner_id = ${providerId}
    GROUP BY e.currency
    ORDER BY e.currency`.execute(db);
  return rows.map((row) => Money.of(row.owed, row.currency));
}
