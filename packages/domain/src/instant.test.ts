import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatInstant, instantFromMs, parseInstant } from './instant.js';

describe('reading instants', () => {
  it.each([
    ['1970-01-01T00:00:00Z', 0],
    ['2026-03-01T00:00:00Z', 1_772_323_200_000],
    ['2026-03-01T10:40:00.250Z', 1_772_361_600_250],
    ['2026-03-01T10:40:00.25Z', 1_772_361_600_250],
    ['2026-03-01T10:40:00.250000000Z', 1_772_361_600_250],
    ['2026-03-29T01:00:00+01:00', 1_774_742_400_000],
    ['2024-02-29T00:00:00Z', 1_709_164_800_000],
    ['2000-02-29T00:00:00Z', 951_782_400_000],
  ])('%s', (text, ms) => {
    expect(parseInstant(text)).toBe(ms);
  });

  it.each([
    ['no offset', '2026-03-01T00:00:00'],
    ['only a date', '2026-03-01'],
    ['30 February', '2026-02-30T00:00:00Z'],
    ['29 February 2026', '2026-02-29T00:00:00Z'],
    ['29 February 1900', '1900-02-29T00:00:00Z'],
    ['month 13', '2026-13-01T00:00:00Z'],
    ['day 0', '2026-03-00T00:00:00Z'],
    ['hour 24, which would be the next day', '2026-03-31T24:00:00Z'],
    ['a leap second', '2016-12-31T23:59:60Z'],
    ['a microsecond', '2026-03-01T00:00:00.000001Z'],
    ['an offset of a day', '2026-03-01T00:00:00+24:00'],
    ['before the year 0000', '0000-01-01T00:00:00+01:00'],
    ['words', 'yesterday'],
  ])('refuses %s', (_name, text) => {
    expect(() => parseInstant(text)).toThrow(expect.objectContaining({ code: 'input.invalid' }));
  });

  it('reads back what it writes, over all instants that RFC 3339 has', () => {
    const ms = fc.integer({
      min: Date.parse('0000-01-01T00:00:00Z'),
      max: Date.parse('9999-12-31T23:59:59.999Z'),
    });
    fc.assert(
      fc.property(ms, (one) => {
        expect(parseInstant(formatInstant(instantFromMs(one)))).toBe(one);
      }),
    );
  });
});

it.each([1.5, Number.NaN, Infinity, 2 ** 53, Date.parse('9999-12-31T23:59:59.999Z') + 1])(
  '%d ms is no instant',
  (ms) => {
    expect(() => instantFromMs(ms)).toThrow(expect.objectContaining({ code: 'input.invalid' }));
  },
);

it('writes milliseconds only when there are any', () => {
  expect(formatInstant(instantFromMs(1_772_323_200_000))).toBe('2026-03-01T00:00:00Z');
  expect(formatInstant(instantFromMs(1_772_323_200_250))).toBe('2026-03-01T00:00:00.250Z');
});
