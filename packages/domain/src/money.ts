import { Decimal as BaseDecimal } from 'decimal.js';
import { PoolmeterError } from './errors.js';
import { floorDivide, fraction, roundHalfEven, type Fraction } from './fraction.js';

/** Amounts below this are exact in every operation: 40 digits before the point and 9 after fit the precision of 60. */
const AMOUNT_LIMIT = 10n ** 40n;

/** A private clone: nobody else's precision or rounding mode can change our amounts. */
const Decimal = BaseDecimal.clone({
  precision: 60,
  rounding: BaseDecimal.ROUND_HALF_EVEN,
  toExpPos: 60,
  toExpNeg: -60,
});
type Decimal = InstanceType<typeof Decimal>;

/** ISO 4217 minor units that differ from 2. */
const MINOR_UNITS: Readonly<Record<string, number>> = {
  BHD: 3,
  BIF: 0,
  CLF: 4,
  CLP: 0,
  DJF: 0,
  GNF: 0,
  IQD: 3,
  ISK: 0,
  JOD: 3,
  JPY: 0,
  KMF: 0,
  KRW: 0,
  KWD: 3,
  LYD: 3,
  OMR: 3,
  PYG: 0,
  RWF: 0,
  TND: 3,
  UGX: 0,
  UYI: 0,
  UYW: 4,
  VND: 0,
  VUV: 0,
  XAF: 0,
  XOF: 0,
  XPF: 0,
};

/** Digits after the point that an invoice in this currency shows: 2 for USD, 0 for JPY, 3 for KWD. */
export function minorUnitDigits(currency: string): number {
  return MINOR_UNITS[currency] ?? 2;
}

/** Minor units in one unit, by their digits. */
const SCALES = [0, 1, 2, 3, 4].map((digits) => new Decimal(10).pow(digits));

function scaleOf(currency: string): Decimal {
  return SCALES[minorUnitDigits(currency)] ?? new Decimal(10).pow(minorUnitDigits(currency));
}

/** An exact amount in one currency. Immutable; built from text, bigint or a fraction, never from a float. */
export class Money {
  readonly currency: string;
  readonly #amount: Decimal;

  private constructor(amount: Decimal, currency: string) {
    this.#amount = amount;
    this.currency = currency;
  }

  static of(amount: string | bigint, currency: string): Money {
    if (!/^[A-Z]{3}$/.test(currency)) {
      throw new PoolmeterError(
        'input.invalid',
        `"${currency}" is not a currency: write its ISO 4217 code, such as USD.`,
      );
    }
    if (typeof amount === 'string' && !/^-?\d{1,29}(\.\d{1,9})?$/.test(amount)) {
      throw new PoolmeterError('input.invalid', `"${amount}" is not an amount: write digits such as 12.34.`);
    }
    if (typeof amount === 'bigint') refuseTooLarge(amount);
    return new Money(new Decimal(amount.toString()), currency);
  }

  static zero(currency: string): Money {
    return Money.of('0', currency);
  }

  /** A whole number of minor units (cents): `fromMinorUnits(625n, 'USD')` is 6.25 USD. */
  static fromMinorUnits(units: bigint, currency: string): Money {
    const digits = minorUnitDigits(currency);
    const whole = Money.of(units, currency);
    if (digits === 0) return whole;
    // Putting the point into the text is exact, and cheaper than a division.
    const text = (units < 0n ? -units : units).toString().padStart(digits + 1, '0');
    const amount = new Decimal(`${text.slice(0, -digits)}.${text.slice(-digits)}`);
    return new Money(units < 0n ? amount.negated() : amount, currency);
  }

  /** Rounds an exact rational once to the currency's minor unit, half-even (billing rule 10). */
  static round(exact: Fraction, currency: string): Money {
    const scale = 10n ** BigInt(minorUnitDigits(currency));
    return Money.fromMinorUnits(
      roundHalfEven(fraction(exact.numerator * scale, exact.denominator)),
      currency,
    );
  }

  static sum(amounts: Iterable<Money>, currency: string): Money {
    let total = Money.zero(currency);
    for (const amount of amounts) total = total.plus(amount);
    return total;
  }

  plus(other: Money): Money {
    return new Money(this.#amount.plus(this.#same(other)), this.currency);
  }

  minus(other: Money): Money {
    return new Money(this.#amount.minus(this.#same(other)), this.currency);
  }

  negated(): Money {
    return new Money(this.#amount.negated(), this.currency);
  }

  compare(other: Money): number {
    return this.#amount.comparedTo(this.#same(other));
  }

  equals(other: Money): boolean {
    return this.currency === other.currency && this.#amount.equals(other.#amount);
  }

  isZero(): boolean {
    return this.#amount.isZero();
  }

  isNegative(): boolean {
    return this.#amount.isNegative() && !this.#amount.isZero();
  }

  /** The exact rational, for further arithmetic that must not round yet. */
  toFraction(): Fraction {
    const text = this.#amount.toFixed();
    const places = text.includes('.') ? text.length - text.indexOf('.') - 1 : 0;
    return fraction(BigInt(text.replace('.', '')), 10n ** BigInt(places));
  }

  /** Whole minor units; an amount with a finer part is refused, because dropping it would lose money. */
  toMinorUnits(): bigint {
    const units = this.#amount.mul(scaleOf(this.currency));
    if (!units.isInteger()) {
      throw new PoolmeterError(
        'input.invalid',
        `${this.toString()} is finer than the minor unit of ${this.currency}.`,
      );
    }
    return BigInt(units.toFixed());
  }

  /** Digits only, at least as many after the point as the currency has: `6.25`, `0.000000001`; never an exponent. */
  toAmountText(): string {
    const places = Math.max(this.#amount.decimalPlaces(), minorUnitDigits(this.currency));
    return this.#amount.isZero() ? new Decimal(0).toFixed(places) : this.#amount.toFixed(places);
  }

  toJSON(): { amount: string; currency: string } {
    return { amount: this.toAmountText(), currency: this.currency };
  }

  toString(): string {
    return `${this.toAmountText()} ${this.currency}`;
  }

  #same(other: Money): Decimal {
    if (other.currency !== this.currency) {
      throw new PoolmeterError(
        'input.invalid',
        `${this.currency} and ${other.currency} cannot be added: there is no silent conversion.`,
      );
    }
    return other.#amount;
  }
}

/** Beyond the limit Decimal would round without a word. */
function refuseTooLarge(amount: bigint): void {
  if (amount > -AMOUNT_LIMIT && amount < AMOUNT_LIMIT) return;
  throw new PoolmeterError('input.invalid', 'An amount of more than 40 digits cannot be held exactly.');
}

/**
 * Splits a rounded total over exact weights so that the parts are whole minor units and add up to it (largest
 * remainder; ties go to the earlier part). Billing rule 10; the *thirds* example: 10.00 → 3.34 + 3.33 + 3.33. A negative
 * total splits into the mirror image of the positive one, so that a credit takes back each part of its charge exactly.
 */
export function splitByLargestRemainder(total: Money, weights: readonly Fraction[]): Money[] {
  const units = total.toMinorUnits();
  const common = weights.reduce((product, each) => leastCommonMultiple(product, each.denominator), 1n);
  const scaled = weights.map((weight) => weight.numerator * (common / weight.denominator));
  const weightSum = scaled.reduce((all, one) => all + one, 0n);
  if (scaled.some((weight) => weight < 0n)) {
    throw new PoolmeterError('input.invalid', 'An amount cannot be split over negative weights.');
  }
  if (units < 0n) return splitByLargestRemainder(total.negated(), weights).map((part) => part.negated());
  if (weightSum === 0n) return equalSplit(units, weights.length, total.currency);
  const shares = scaled.map((weight, index) => {
    const whole = floorDivide(units * weight, weightSum);
    return { index, whole, rest: units * weight - whole * weightSum };
  });
  const left = Number(units - shares.reduce((all, one) => all + one.whole, 0n));
  const byRest = [...shares].sort((a, b) =>
    a.rest === b.rest ? a.index - b.index : a.rest > b.rest ? -1 : 1,
  );
  for (const share of byRest.slice(0, left)) share.whole += 1n;
  return shares.map((share) => Money.fromMinorUnits(share.whole, total.currency));
}

function equalSplit(units: bigint, count: number, currency: string): Money[] {
  if (count === 0) {
    if (units !== 0n) throw new PoolmeterError('input.invalid', 'An amount cannot be split over nothing.');
    return [];
  }
  return splitByLargestRemainder(
    Money.fromMinorUnits(units, currency),
    Array.from({ length: count }, () => fraction(1n)),
  );
}

function leastCommonMultiple(a: bigint, b: bigint): bigint {
  let [x, y] = [a, b];
  while (y !== 0n) [x, y] = [y, x % y];
  return (a / x) * b;
}
