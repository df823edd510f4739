import { describe, expect, it } from 'vitest';
import { formatAge, formatTick, formatValue } from './format-value.js';

describe('values with their units', () => {
  it.each([
    [null, 'watt', undefined, '–'],
    [Number.NaN, 'watt', undefined, '–'],
    [0, 'watt', undefined, '0 W'],
    [612.4, 'watt', undefined, '612 W'],
    [61_240, 'watt', undefined, '61.2 kW'],
    [0.8123, 'percentunit', undefined, '81.2 %'],
    [0.0004, 'percentunit', undefined, '0.04 %'],
    [0.5, 'percentunit', 2, '50.00 %'],
    [63_963_136_000, 'bytes', undefined, '59.6 GiB'],
    [1_024, 'bytes', undefined, '1 KiB'],
    [1_000, 'Bps', undefined, '1 kB/s'],
    [71, 'celsius', undefined, '71 °C'],
    [-3, 'celsius', undefined, '−3 °C'],
    [1_755, 'rotmhz', undefined, '1.75 GHz'],
    [0.25, 's', undefined, '250 ms'],
    [90, 's', undefined, '90 s'],
    [5_400, 's', undefined, '90 min'],
    [12.5, 'currencyUSD', undefined, '$12.50'],
    [-12.5, 'currencyUSD', undefined, '−$12.50'],
    [3, 'suffix: GPUs', undefined, '3 GPUs'],
    [1_500_000, 'short', undefined, '1.5 M'],
    [7, 'none', undefined, '7'],
    [7, 'unheard-of', undefined, '7 unheard-of'],
  ])('%j in %s is %s', (value, unit, decimals, text) => {
    expect(formatValue(value, unit, decimals)).toBe(text);
  });

  it.each([
    [-5, 'now'],
    [12_400, '12 s ago'],
    [600_000, '10 min ago'],
    [90_000_000, '25 h ago'],
  ])('an age of %i ms is %s', (ms, text) => {
    expect(formatAge(ms)).toBe(text);
  });

  it('on an axis show the day only where there are days', () => {
    const noon = new Date(2026, 2, 1, 12, 5).getTime();
    const midnight = new Date(2026, 2, 2).getTime();
    expect(formatTick(noon, 3_600_000)).toBe('12:05');
    expect([noon, midnight].map((ms) => formatTick(ms, 604_800_000))).toEqual(['03-01 12:05', '03-02']);
  });
});
