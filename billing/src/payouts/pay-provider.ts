/** Pays a provider what is owed; in another currency only by a rate that somebody entered for the day. */
import {
  formatFraction,
  idFromFacts,
  Money,
  parseFraction,
  PoolmeterError,
  times,
  type EpochMs,
  type Fraction,
} from '@poolmeter/domain';
import { sql } from 'kysely';
import type { BillingReader, BillingTransaction } from '../database.js';
import { bookTransaction } from '../ledger/ledger-store.js';
import type { LedgerEntry } from '../ledger/post-invoice.js';
import { readPayable } from './statements.js';

export interface WantedPayout {
  readonly providerId: string;
  readonly currency: string;
  /** The same key twice is one payout. */
  readonly key: string;
  readonly now: EpochMs;
}

interface Conversion {
  readonly rate: Fraction;
  readonly day: string;
}

/** Pays the whole balance in one currency of the ledger. Gives the id of the payout. */
export async function payProvider(trx: BillingTransaction, wanted: WantedPayout): Promise<string> {
  const { providerId, currency, now } = wanted;
  const payoutId = idFromFacts('pay', providerId, currency, wanted.key);
  const provider = await trx
    .selectFrom('billing.providers')
    .select(['currency'])
    .where('provider_id', '=', providerId)
    .forUpdate()
    .executeTakeFirst();
  if (provider === undefined) throw new PoolmeterError('not_found', `There is no provider ${providerId}.`);
  const known = await trx
    .selectFrom('billing.payouts')
    .select('payout_id')
    .where('payout_id', '=', payoutId)
    .executeTakeFirst();
  if (known !== undefined) return payoutId;
  const owed = (await readPayable(trx, providerId)).find((one) => one.currency === currency);
  if (owed === undefined || owed.isZero() || owed.isNegative()) {
    throw new PoolmeterError('invoice.state', `Nothing is owed to ${providerId} in ${currency}.`);
  }
  const paidCurrency = provider.currency ?? currency;
  const conversion =
    paidCurrency === currency ? undefined : await readRate(trx, { from: currency, to: paidCurrency, now });
  const paid =
    conversion === undefined ? owed : Money.round(times(owed.toFraction(), conversion.rate), paidCurrency);
  await trx
    .insertInto('billing.payouts')
    .values({
      payout_id: payoutId,
      provider_id: providerId,
      amount: owed.toAmountText(),
      currency,
      paid_amount: paid.toAmountText(),
      paid_currency: paidCurrency,
      rate: conversion === undefined ? null : formatFraction(conversion.rate),
      rate_day: conversion?.day ?? null,
      paid_at: new Date(now),
    })
    .execute();
  await bookTransaction(trx, {
    kind: 'payout',
    objectId: payoutId,
    occurredAt: now,
    description: `Payout to ${providerId}`,
    entries: payoutEntries(providerId, owed, paid),
  });
  return payoutId;
}

/** Each currency balances by itself: the exchange account has what was sold and what was bought. */
function payoutEntries(providerId: string, owed: Money, paid: Money): LedgerEntry[] {
  const settle: LedgerEntry = { account: { kind: 'provider_payable', ownerId: providerId }, amount: owed };
  const cash: LedgerEntry = { account: { kind: 'cash', ownerId: '' }, amount: paid.negated() };
  if (owed.currency === paid.currency) return [settle, cash];
  const exchange = { kind: 'exchange', ownerId: '' } as const;
  return [
    settle,
    { account: exchange, amount: owed.negated() },
    { account: exchange, amount: paid },
    cash,
  ].filter(({ amount }) => !amount.isZero());
}

async function readRate(
  db: BillingReader,
  { from, to, now }: { readonly from: string; readonly to: string; readonly now: EpochMs },
): Promise<Conversion> {
  const { rows } = await sql<{ rate: string; day: string }>`
    SELECT rate, day::text AS day FROM billing.exchange_rates
    WHERE from_currency = ${from} AND to_currency = ${to} AND day <= ${new Date(now).toISOString().slice(0, 10)}::date
    ORDER BY day DESC LIMIT 1`.execute(db);
  const [row] = rows;
  if (row !== undefined) return { rate: parseFraction(row.rate), day: row.day };
  throw new PoolmeterError(
    'price.missing',
    `There is no rate from ${from} to ${to}: enter one for today or an earlier day (POST /v1/exchange-rates).`,
  );
}
