import { add, Money, ONE, over, times, type Fraction } from '@poolmeter/domain';

/** A customer's tax profile (billing rule 11). */
export interface TaxProfile {
  readonly rate: Fraction;
  /** Whether prices contain the tax already. */
  readonly inclusive: boolean;
  /** Why no tax is due although a rate is set; '' when it is due. */
  readonly exemption: string;
}

export interface TaxedTotal {
  readonly subtotal: Money;
  readonly tax: Money;
  readonly total: Money;
}

/** Rounds once per rate and invoice. `charges` is the sum of the lines. */
export function applyTax(charges: Money, profile: TaxProfile | undefined): TaxedTotal {
  const { currency } = charges;
  if (profile === undefined || profile.exemption !== '') {
    return { subtotal: charges, tax: Money.zero(currency), total: charges };
  }
  if (profile.inclusive) {
    const part = over(profile.rate, add(ONE, profile.rate));
    const tax = Money.round(times(charges.toFraction(), part), currency);
    return { subtotal: charges.minus(tax), tax, total: charges };
  }
  const tax = Money.round(times(charges.toFraction(), profile.rate), currency);
  return { subtotal: charges, tax, total: charges.plus(tax) };
}
