import { describe, expect, it } from 'vitest';
import { expandMacros, MacroError, type VariableValues } from './expand-macros.js';

/** 2026-03-01T10:00:00.250Z to 11:30:00.750Z. */
const from = Date.UTC(2026, 2, 1, 10, 0, 0, 250);
const to = Date.UTC(2026, 2, 1, 11, 30, 0, 750);
const expand = (sql: string, variables: VariableValues = {}, intervalMs = 20_000) =>
  expandMacros(sql, { from: new Date(from), to, intervalMs, variables });

describe('macros of the server', () => {
  it.each([
    ['$__timeFilter(ts)', 'ts >= toDateTime(1772359200) AND ts <= toDateTime(1772364600)'],
    [
      '$__timeFilter_ms(ts)',
      'ts >= fromUnixTimestamp64Milli(1772359200250) AND ts <= fromUnixTimestamp64Milli(1772364600750)',
    ],
    ['$__dateFilter(day)', "day >= toDate('2026-03-01') AND day <= toDate('2026-03-01')"],
    [
      '$__dateTimeFilter(day, ts)',
      "(day >= toDate('2026-03-01') AND day <= toDate('2026-03-01')) AND (ts >= toDateTime(1772359200) AND ts <= toDateTime(1772364600))",
    ],
    [
      '$__dt(day, ts)',
      "(day >= toDate('2026-03-01') AND day <= toDate('2026-03-01')) AND (ts >= toDateTime(1772359200) AND ts <= toDateTime(1772364600))",
    ],
    ['$__timeInterval(ts)', 'toStartOfInterval(toDateTime(ts), INTERVAL 20 second)'],
    ['$__timeInterval_ms(ts)', 'toStartOfInterval(toDateTime64(ts, 3), INTERVAL 20000 millisecond)'],
    ['$__interval_s', '20'],
    ['$__fromTime', 'toDateTime(1772359200)'],
    ['$__toTime', 'toDateTime(1772364600)'],
    ['$__fromTime_ms', 'fromUnixTimestamp64Milli(1772359200250)'],
    ['$__toTime_ms', 'fromUnixTimestamp64Milli(1772364600750)'],
    ['$__timeFrom(ts)', "ts >= '2026-03-01T10:00:00.250Z'"],
    ['$__timeTo(ts)', "ts <= '2026-03-01T11:30:00.750Z'"],
    [
      '$__timeFilter(toDateTime(a, b))',
      'toDateTime(a, b) >= toDateTime(1772359200) AND toDateTime(a, b) <= toDateTime(1772364600)',
    ],
    ['$__fromTime, $__fromTime()', 'toDateTime(1772359200), toDateTime(1772359200)'],
  ])('%s', (sql, expected) => {
    expect(expand(sql)).toBe(expected);
  });

  it('never asks for steps below a second, or a millisecond', () => {
    expect(expand('$__interval_s', {}, 20)).toBe('1');
    expect(expand('$__timeInterval_ms(ts)', {}, 0.2)).toContain('INTERVAL 1 millisecond');
  });

  it.each([
    ['$__nothing(ts)', 'There is no macro $__nothing.'],
    ['$__timeFilter()', '$__timeFilter takes 1 argument(s), not 0.'],
    ['$__timeFilter(a, b)', '$__timeFilter takes 1 argument(s), not 2.'],
    ['$__dt(a)', '$__dt takes 2 argument(s), not 1.'],
    ['$__constructor', 'There is no macro $__constructor.'],
  ])('refuses %s', (sql, message) => {
    expect(() => expand(sql)).toThrow(new MacroError(message));
  });

  it('refuses a range that is not one', () => {
    expect(() => expandMacros('SELECT 1', { from: Number.NaN, to, intervalMs: 1 })).toThrow(MacroError);
  });
});

describe('variables', () => {
  it.each<[string, VariableValues, string]>([
    ['${pool:singlequote}', { pool: 'main' }, "'main'"],
    ['${pool:singlequote}', { pool: ['a', 'b'] }, "'a','b'"],
    ['${pool:singlequote}', { pool: "o'neil\\" }, "'o\\'neil\\\\'"],
    ['${pool:csv}', { pool: ['a', 'b-1'] }, 'a,b-1'],
    ['${table:raw}', { table: 'gpu_samples_1m' }, 'gpu_samples_1m'],
    ['$n + ${n}', { n: 3 }, '3 + 3'],
    ["match(x, '^a$')", {}, "match(x, '^a$')"],
    ['${a:singlequote}', { a: '$__fromTime ${b}' }, "'$__fromTime ${b}'"],
    ['${a:singlequote}', { a: '$&' }, "'$&'"],
  ])('%s of %j gives %s', (sql, variables, expected) => {
    expect(expand(sql, variables)).toBe(expected);
  });

  it.each(['raw', 'csv'])('refuse a value as :%s that is more than a word', (format) => {
    for (const value of ['a b', "a'", 'a;b', '1--', '(x)', 'a,b', 'a`']) {
      expect(() => expand(`\${v:${format}}`, { v: value })).toThrow(MacroError);
    }
  });

  it('must be known', () => {
    expect(() => expand('$missing')).toThrow(new MacroError('The variable missing has no value.'));
    expect(() => expand('${toString}')).toThrow(MacroError);
    expect(() => expand('${a:json}', { a: 'x' })).toThrow(MacroError);
  });
});

describe('$__conditionalAll', () => {
  const sql = '$__conditionalAll(pool IN (${pool:singlequote}), $pool)';
  it.each<[VariableValues, string]>([
    [{ pool: '$__all' }, '1=1'],
    [{ pool: ['$__all'] }, '1=1'],
    [{ pool: [] }, '1=1'],
    [{ pool: '' }, '1=1'],
    [{ pool: 'main' }, "pool IN ('main')"],
    [{ pool: ['a', "b'); DROP"] }, "pool IN ('a','b\\'); DROP')"],
  ])('of %j gives %s', (variables, expected) => {
    expect(expand(sql, variables)).toBe(expected);
  });

  it('stands any number of times, one in another', () => {
    const nested =
      "$__conditionalAll(a = 1 AND $__conditionalAll(b IN ('x,)', ${b:singlequote}), $b), $a) AND $__timeFilter(ts)";
    expect(expand(nested, { a: '1', b: 'y' })).toMatch(/^a = 1 AND b IN \('x,\)', 'y'\) AND ts >= /);
    expect(expand(nested, { a: '1', b: '$__all' })).toMatch(/^a = 1 AND 1=1 AND ts >= /);
  });

  it('refuses a missing bracket or argument', () => {
    expect(() => expand('$__conditionalAll(a, $a', { a: '1' })).toThrow(MacroError);
    expect(() => expand('$__conditionalAll(a)', { a: '1' })).toThrow(MacroError);
  });
});
