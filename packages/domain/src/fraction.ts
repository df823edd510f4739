import { PoolmeterError } from './errors.js';

/** An exact rational number in lowest terms; the denominator is positive. Used for shares, GPU time and raw amounts. */
export interface Fraction {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

export function fraction(numerator: bigint, denominator = 1n): Fraction {
  if (denominator === 0n) throw new PoolmeterError('input.invalid', 'A fraction cannot have denominator 0.');
  // Most numbers are whole: milliseconds of whole GPUs, cents.
  if (denominator === 1n) return Object.freeze({ numerator, denominator });
  const sign = denominator < 0n ? -1n : 1n;
  const divisor = greatestCommonDivisor(numerator < 0n ? -numerator : numerator, denominator * sign);
  return Object.freeze({
    numerator: (numerator * sign) / divisor,
    denominator: (denominator * sign) / divisor,
  });
}

export const ZERO: Fraction = fraction(0n);
export const ONE: Fraction = fraction(1n);

const INTEGER_OR_RATIO = /^(-?\d{1,40})(?:\/(\d{1,40}))?$/;
const DECIMAL = /^(-?)(\d{1,40})\.(\d{1,40})$/;

/** Reads `3`, `1/7` or `2.50` exactly. */
export function parseFraction(text: string): Fraction {
  const ratio = INTEGER_OR_RATIO.exec(text);
  if (ratio?.[1] !== undefined && ratio[2] !== '0') {
    return fraction(BigInt(ratio[1]), BigInt(ratio[2] ?? '1'));
  }
  const decimal = DECIMAL.exec(text);
  if (decimal?.[2] !== undefined && decimal[3] !== undefined) {
    const digits = BigInt(decimal[2] + decimal[3]);
    return fraction(decimal[1] === '-' ? -digits : digits, 10n ** BigInt(decimal[3].length));
  }
  throw new PoolmeterError('input.invalid', `"${text}" is not an exact number: write 3, 1/7 or 2.50.`);
}

/** `"3"` or `"1/7"`. */
export function formatFraction(value: Fraction): string {
  return value.denominator === 1n ? String(value.numerator) : `${value.numerator}/${value.denominator}`;
}

export function add(a: Fraction, b: Fraction): Fraction {
  if (a.denominator === b.denominator) return fraction(a.numerator + b.numerator, a.denominator);
  return fraction(a.numerator * b.denominator + b.numerator * a.denominator, a.denominator * b.denominator);
}

export function minus(a: Fraction, b: Fraction): Fraction {
  return add(a, negate(b));
}

export function negate(a: Fraction): Fraction {
  return fraction(-a.numerator, a.denominator);
}

export function times(a: Fraction, b: Fraction): Fraction {
  return fraction(a.numerator * b.numerator, a.denominator * b.denominator);
}

export function over(a: Fraction, b: Fraction): Fraction {
  return fraction(a.numerator * b.denominator, a.denominator * b.numerator);
}

/** Negative, zero or positive as `a` is below, equal to or above `b`. */
export function compare(a: Fraction, b: Fraction): number {
  const same = a.denominator === b.denominator;
  const difference = same
    ? a.numerator - b.numerator
    : a.numerator * b.denominator - b.numerator * a.denominator;
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

export function sum(values: Iterable<Fraction>): Fraction {
  let total = ZERO;
  for (const value of values) total = add(total, value);
  return total;
}

/** Rounds to an integer, ties to even (IEEE 754 roundTiesToEven), as billing rule 10 asks. */
export function roundHalfEven(value: Fraction): bigint {
  const floor = floorDivide(value.numerator, value.denominator);
  const twiceRest = (value.numerator - floor * value.denominator) * 2n;
  if (twiceRest < value.denominator) return floor;
  if (twiceRest > value.denominator) return floor + 1n;
  return floor % 2n === 0n ? floor : floor + 1n;
}

/** Decimal text with exactly `places` digits after the point, rounded half-even; `1/7` at 3 places is `0.143`. */
export function toDecimalText(value: Fraction, places: number): string {
  const scaled = roundHalfEven(fraction(value.numerator * 10n ** BigInt(places), value.denominator));
  const digits = (scaled < 0n ? -scaled : scaled).toString().padStart(places + 1, '0');
  const sign = scaled < 0n ? '-' : '';
  return places === 0 ? sign + digits : `${sign}${digits.slice(0, -places)}.${digits.slice(-places)}`;
}

/** Integer division towards minus infinity. */
export function floorDivide(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  return numerator % denominator < 0n ? quotient - 1n : quotient;
}

function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  while (b !== 0n) [a, b] = [b, a % b];
  return a === 0n ? 1n : a;
}
