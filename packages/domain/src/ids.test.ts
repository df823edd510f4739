import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ManualClock } from './clock.js';
import { fraction } from './fraction.js';
import { canonicalJson, createIdSource, digestOf, idFromFacts } from './ids.js';
import { instantFromMs } from './instant.js';
import { Money } from './money.js';

describe('new ids', () => {
  it('sort by the time of their creation, and carry version 7 and the RFC variant', () => {
    const clock = new ManualClock(instantFromMs(1_772_323_200_000));
    const ids = createIdSource(clock);
    const made = Array.from({ length: 50 }, () => {
      clock.advance(1);
      return ids.next('inc');
    });
    expect([...made].sort()).toEqual(made);
    for (const id of made) expect(id).toMatch(/^inc_[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$/);
  });

  it('differ within one millisecond', () => {
    const ids = createIdSource(new ManualClock(instantFromMs(0)));
    expect(new Set(Array.from({ length: 1_000 }, () => ids.next('x'))).size).toBe(1_000);
  });
});

describe('ids from facts', () => {
  it('are the same for the same facts, in every process', () => {
    expect(idFromFacts('ev', 'gpu-1', 5n)).toBe(idFromFacts('ev', 'gpu-1', 5n));
    expect(idFromFacts('ev', 'gpu-1', 5n)).toBe('ev_fdbff4366de5c26deda67fa358351142');
  });

  it('tell apart facts that read alike when joined', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), fc.array(fc.string()), (a, b) => {
        const same = a.length === b.length && a.every((fact, index) => fact === b[index]);
        expect(idFromFacts('x', ...a) === idFromFacts('x', ...b)).toBe(same);
      }),
    );
    expect(idFromFacts('x', 'ab', 'c')).not.toBe(idFromFacts('x', 'a', 'bc'));
  });
});

describe('the canonical form', () => {
  it('does not depend on the order of keys, at any depth', () => {
    expect(canonicalJson({ b: [{ d: 1, c: 2 }], a: null })).toBe('{"a":null,"b":[{"c":2,"d":1}]}');
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        const reversed = Object.fromEntries(Object.entries(value).reverse());
        expect(digestOf(reversed)).toBe(digestOf(value));
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it('writes exact values as text', () => {
    expect(canonicalJson({ share: fraction(1n, 7n), total: Money.of('6.25', 'USD') })).toBe(
      '{"share":{"denominator":"7","numerator":"1"},"total":{"amount":"6.25","currency":"USD"}}',
    );
  });

  it.each([
    ['NaN', Number.NaN],
    ['a Map', new Map([['a', 1]])],
    ['a Set', new Set([1])],
  ])('refuses %s, which JSON would silently empty', (_name, value) => {
    expect(() => digestOf({ value })).toThrow(/no exact JSON form/);
  });
});
