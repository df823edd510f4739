import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  add,
  compare,
  floorDivide,
  formatFraction,
  fraction,
  minus,
  ONE,
  over,
  parseFraction,
  roundHalfEven,
  sum,
  times,
  toDecimalText,
  ZERO,
} from './fraction.js';

const big = fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n });
const anyFraction = fc
  .tuple(big, fc.bigInt({ min: 1n, max: 10n ** 20n }))
  .map(([numerator, denominator]) => fraction(numerator, denominator));

describe('reading exact numbers', () => {
  it.each([
    ['3', 3n, 1n],
    ['1/7', 1n, 7n],
    ['2/14', 1n, 7n],
    ['-2/4', -1n, 2n],
    ['2.50', 5n, 2n],
    ['-0.05', -1n, 20n],
    ['0', 0n, 1n],
  ])('%s', (text, numerator, denominator) => {
    expect(parseFraction(text)).toEqual({ numerator, denominator });
  });

  it.each(['', ' 1', '1/0', '1/00', '1/-2', '1.5/2', '1e3', '.5', '5.', '1 / 7', '１'])(
    'refuses "%s"',
    (text) => {
      expect(() => parseFraction(text)).toThrow(/exact number|denominator 0/);
    },
  );

  it('reads back what it writes', () => {
    fc.assert(
      fc.property(anyFraction, (value) => {
        expect(parseFraction(formatFraction(value))).toEqual(value);
      }),
    );
  });
});

describe('arithmetic', () => {
  it('is in lowest terms with a positive denominator', () => {
    expect(fraction(6n, -4n)).toEqual({ numerator: -3n, denominator: 2n });
    expect(fraction(0n, -5n)).toEqual(ZERO);
    expect(() => fraction(1n, 0n)).toThrow(/denominator 0/);
    expect(() => over(ONE, ZERO)).toThrow(/denominator 0/);
  });

  it('follows the laws of a field', () => {
    fc.assert(
      fc.property(anyFraction, anyFraction, anyFraction, (a, b, c) => {
        expect(add(a, b)).toEqual(add(b, a));
        expect(sum([a, b, c])).toEqual(add(a, add(b, c)));
        expect(times(a, add(b, c))).toEqual(add(times(a, b), times(a, c)));
        expect(minus(a, a)).toEqual(ZERO);
        if (a.numerator !== 0n) expect(over(b, a)).toEqual(times(b, over(ONE, a)));
        expect(compare(a, b)).toBe(-compare(b, a) || 0);
      }),
    );
  });
});

describe('rounding half to even', () => {
  it.each([
    ['1/2', 0n],
    ['3/2', 2n],
    ['5/2', 2n],
    ['-1/2', 0n],
    ['-3/2', -2n],
    ['-5/2', -2n],
    ['2.4999', 2n],
    ['2.5001', 3n],
    ['-2.5001', -3n],
    ['7', 7n],
  ])('%s → %s', (text, rounded) => {
    expect(roundHalfEven(parseFraction(text))).toBe(rounded);
  });

  it('goes to the nearest integer, and to the even one of two', () => {
    fc.assert(
      fc.property(anyFraction, (value) => {
        const rounded = roundHalfEven(value);
        const off = minus(fraction(rounded), value);
        const distance = compare(off, ZERO) < 0 ? minus(ZERO, off) : off;
        expect(compare(distance, fraction(1n, 2n))).toBeLessThanOrEqual(0);
        if (compare(distance, fraction(1n, 2n)) === 0) expect(rounded % 2n).toBe(0n);
        expect(roundHalfEven(minus(ZERO, value))).toBe(-rounded);
      }),
    );
  });

  it.each([
    [7n, 2n, 3n],
    [-7n, 2n, -4n],
    [-8n, 2n, -4n],
  ])('floors %s / %s to %s', (numerator, denominator, floor) => {
    expect(floorDivide(numerator, denominator)).toBe(floor);
  });
});

describe('decimal text', () => {
  it.each([
    ['1/7', 9, '0.142857143'],
    ['1/7', 0, '0'],
    ['-1/8', 2, '-0.12'],
    ['-1/1000', 2, '0.00'],
    ['999.995', 2, '1000.00'],
    ['5', 3, '5.000'],
  ])('%s at %i places is %s', (text, places, shown) => {
    expect(toDecimalText(parseFraction(text), places)).toBe(shown);
  });

  it('is at most half of its last place away', () => {
    fc.assert(
      fc.property(anyFraction, fc.integer({ min: 0, max: 12 }), (value, places) => {
        const off = minus(parseFraction(toDecimalText(value, places)), value);
        const half = fraction(1n, 2n * 10n ** BigInt(places));
        expect(compare(times(off, off), times(half, half))).toBeLessThanOrEqual(0);
      }),
    );
  });
});
