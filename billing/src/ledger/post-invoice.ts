/** What a final invoice means in double entry. Debits are positive, credits negative; the sum is zero (rule 16). */
import { compare, invariant, minus, Money, sum, times, ZERO, type Fraction } from '@poolmeter/domain';

export type AccountKind =
  | 'customer_receivable'
  | 'wallet'
  | 'revenue'
  | 'provider_payable'
  | 'sla_credits'
  | 'promotions'
  | 'tax_payable'
  | 'cash'
  | 'exchange'
  | 'rounding';

export interface LedgerEntry {
  readonly account: { readonly kind: AccountKind; readonly ownerId: string };
  readonly amount: Money;
}

export interface InvoicePosting {
  readonly customerId: string;
  readonly subtotal: Money;
  readonly tax: Money;
  readonly total: Money;
  /** Of the subtotal, what was credited for broken promises; zero or negative. None when absent. */
  readonly slaCredits?: Money;
  /** What each provider's hardware earned before tax, exact. */
  readonly providerBasis: ReadonlyMap<string, Fraction>;
  /** The part of it that each provider is paid; a provider without one is owed nothing yet. */
  readonly payoutShares: ReadonlyMap<string, Fraction>;
}

/**
 * The customer owes the total. Of the charge, each provider gets its share and we keep the rest; every party's amount is
 * rounded by itself, and what that leaves over goes to the rounding account.
 */
export function postInvoice(posting: InvoicePosting): LedgerEntry[] {
  const { currency } = posting.total;
  const payouts = [...posting.providerBasis]
    .map(([provider, basis]) => ({
      provider,
      exact: times(basis, posting.payoutShares.get(provider) ?? ZERO),
    }))
    .filter(({ exact }) => compare(exact, ZERO) !== 0)
    .toSorted((a, b) => (a.provider < b.provider ? -1 : 1));
  const revenue = minus(posting.subtotal.toFraction(), sum(payouts.map(({ exact }) => exact)));
  // Credits are shown by themselves, not as smaller revenue.
  const credited = posting.slaCredits ?? Money.zero(currency);
  const entries: LedgerEntry[] = [
    entry('customer_receivable', posting.customerId, posting.total),
    ...payouts.map(({ provider, exact }) =>
      entry('provider_payable', provider, Money.round(exact, currency).negated()),
    ),
    entry('revenue', '', Money.round(revenue, currency).minus(credited).negated()),
    entry('sla_credits', '', credited.negated()),
    entry('tax_payable', '', posting.tax.negated()),
  ];
  const rest = Money.sum(
    entries.map(({ amount }) => amount),
    currency,
  );
  const balanced = [...entries, entry('rounding', '', rest.negated())].filter(
    ({ amount }) => !amount.isZero(),
  );
  invariant(
    Money.sum(
      balanced.map(({ amount }) => amount),
      currency,
    ).isZero(),
    'a ledger transaction sums to zero',
  );
  return balanced;
}

function entry(kind: AccountKind, ownerId: string, amount: Money): LedgerEntry {
  return { account: { kind, ownerId }, amount };
}

/** The same entries the other way round. */
export function reversed(entries: readonly LedgerEntry[]): LedgerEntry[] {
  return entries.map(({ account, amount }) => ({ account, amount: amount.negated() }));
}
