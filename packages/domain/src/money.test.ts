import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { add, compare, fraction, over, sum, times } from './fraction.js';
import { minorUnitDigits, Money, splitByLargestRemainder } from './money.js';

const usd = (amount: string) => Money.of(amount, 'USD');
const cents = fc.bigInt({ min: -(10n ** 15n), max: 10n ** 15n });
const weight = fc
  .tuple(fc.bigInt({ min: 0n, max: 10n ** 12n }), fc.bigInt({ min: 1n, max: 10n ** 6n }))
  .map(([numerator, denominator]) => fraction(numerator, denominator));

describe('an amount', () => {
  it.each([
    ['6.25', 'USD', '6.25'],
    ['6.5', 'USD', '6.50'],
    ['7', 'USD', '7.00'],
    ['-0', 'USD', '0.00'],
    ['0.000000001', 'USD', '0.000000001'],
    ['1000', 'JPY', '1000'],
    ['1.5', 'KWD', '1.500'],
    ['12345678901234567890.123', 'USD', '12345678901234567890.123'],
  ])('%s %s is shown as %s', (amount, currency, shown) => {
    expect(Money.of(amount, currency).toJSON()).toEqual({ amount: shown, currency });
  });

  it.each(['', ' 1', '1,50', '1e3', '.5', '5.', '+1', '0x10', 'NaN', '1.0000000001', '9'.repeat(30)])(
    'refuses "%s"',
    (amount) => expect(() => usd(amount)).toThrow(/is not an amount/),
  );

  it.each(['usd', 'US', 'EURO', ''])('refuses the currency "%s"', (currency) => {
    expect(() => Money.of('1', currency)).toThrow(/ISO 4217/);
  });

  it('refuses more digits than it can hold exactly', () => {
    expect(() => Money.of(10n ** 40n, 'USD')).toThrow(/40 digits/);
    expect(() => Money.fromMinorUnits(-(10n ** 40n), 'USD')).toThrow(/40 digits/);
    expect(Money.of(10n ** 40n - 1n, 'JPY').toAmountText()).toBe('9'.repeat(40));
  });

  it('keeps every digit of a large amount and a tiny one together', () => {
    expect(usd('12345678901234567890.123').plus(usd('0.000000001')).toAmountText()).toBe(
      '12345678901234567890.123000001',
    );
  });

  it('never mixes currencies', () => {
    expect(() => usd('1').plus(Money.of('1', 'EUR'))).toThrow(/no silent conversion/);
    expect(() => usd('1').compare(Money.of('1', 'EUR'))).toThrow(/no silent conversion/);
    expect(usd('1').equals(Money.of('1', 'EUR'))).toBe(false);
  });

  it.each([
    ['USD', 2],
    ['JPY', 0],
    ['KWD', 3],
    ['CLF', 4],
  ])('%s has %i digits after the point', (currency, digits) => {
    expect(minorUnitDigits(currency)).toBe(digits);
  });

  it('does not drop what is finer than a cent', () => {
    expect(() => usd('0.001').toMinorUnits()).toThrow(/finer than the minor unit/);
    expect(usd('-12.34').toMinorUnits()).toBe(-1234n);
  });

  it('adds and takes away exactly, whatever the amounts', () => {
    fc.assert(
      fc.property(cents, cents, (a, b) => {
        const [x, y] = [Money.fromMinorUnits(a, 'USD'), Money.fromMinorUnits(b, 'USD')];
        expect(x.plus(y).toMinorUnits()).toBe(a + b);
        expect(x.minus(y).toMinorUnits()).toBe(a - b);
        expect(Math.sign(x.compare(y))).toBe(a < b ? -1 : a > b ? 1 : 0);
        expect(Money.of(x.toAmountText(), 'USD').equals(x)).toBe(true);
        expect(x.toFraction()).toEqual(fraction(a, 100n));
      }),
    );
  });
});

describe('rounding an exact amount to the cent', () => {
  it.each([
    ['a seventh of 2.00', fraction(2n, 7n), '0.29'],
    ['a tie with an even cent below', fraction(125n, 1000n), '0.12'],
    ['a tie with an odd cent below', fraction(135n, 1000n), '0.14'],
    ['a negative tie', fraction(-125n, 1000n), '-0.12'],
    ['less than half a cent', fraction(49n, 10_000n), '0.00'],
  ])('%s', (_name, exact, rounded) => {
    expect(Money.round(exact, 'USD').toAmountText()).toBe(rounded);
  });

  it('is never further than half a cent away', () => {
    fc.assert(
      fc.property(
        fc.bigInt(-(10n ** 20n), 10n ** 20n),
        fc.bigInt(1n, 10n ** 9n),
        (numerator, denominator) => {
          const exact = fraction(numerator, denominator);
          const error = add(Money.round(exact, 'USD').toFraction(), times(exact, fraction(-1n)));
          expect(compare(times(error, error), fraction(1n, 40_000n))).toBeLessThanOrEqual(0);
        },
      ),
    );
  });
});

describe('splitting by largest remainder', () => {
  const amounts = (parts: readonly Money[]) => parts.map((part) => part.toAmountText());
  const equal = (count: number) => Array.from({ length: count }, () => fraction(1n));

  it.each([
    ['thirds', '10.00', equal(3), ['3.34', '3.33', '3.33']],
    ['thirds of a credit mirror the charge', '-10.00', equal(3), ['-3.34', '-3.33', '-3.33']],
    ['seven sevenths of 2.00', '2.00', equal(7), ['0.29', '0.29', '0.29', '0.29', '0.28', '0.28', '0.28']],
    ['a part without weight gets nothing', '0.01', [fraction(0n), fraction(1n)], ['0.00', '0.01']],
    ['no weight at all splits evenly', '0.03', [fraction(0n), fraction(0n)], ['0.02', '0.01']],
    ['one part takes all', '5.55', equal(1), ['5.55']],
    ['nothing over nobody', '0.00', [], []],
  ])('%s', (_name, total, weights, parts) => {
    expect(amounts(splitByLargestRemainder(usd(total), weights))).toEqual(parts);
  });

  it('refuses to lose money', () => {
    expect(() => splitByLargestRemainder(usd('1'), [])).toThrow(/split over nothing/);
    expect(() => splitByLargestRemainder(usd('1'), [fraction(-1n)])).toThrow(/negative weights/);
    expect(() => splitByLargestRemainder(usd('0.001'), equal(1))).toThrow(/finer/);
  });

  it('adds up exactly, and no part is a cent or more from its exact share', () => {
    fc.assert(
      fc.property(cents, fc.array(weight, { minLength: 1, maxLength: 12 }), (units, weights) => {
        const total = Money.fromMinorUnits(units, 'USD');
        const parts = splitByLargestRemainder(total, weights);
        expect(Money.sum(parts, 'USD').equals(total)).toBe(true);
        const whole = sum(weights);
        if (whole.numerator === 0n) return;
        parts.forEach((part, index) => {
          const share = over(times(total.toFraction(), weights[index]!), whole);
          const off = add(part.toFraction(), times(share, fraction(-1n)));
          expect(compare(times(off, off), fraction(1n, 10_000n))).toBeLessThan(0);
        });
      }),
    );
  });

  it('splits a credit into the mirror image of its charge', () => {
    fc.assert(
      fc.property(cents, fc.array(weight, { minLength: 1, maxLength: 8 }), (units, weights) => {
        const total = Money.fromMinorUnits(units, 'USD');
        const mirrored = splitByLargestRemainder(total.negated(), weights).map((part) => part.negated());
        expect(amounts(mirrored)).toEqual(amounts(splitByLargestRemainder(total, weights)));
      }),
    );
  });
});
