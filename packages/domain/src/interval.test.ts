import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { instantFromMs } from './instant.js';
import {
  contains,
  cutAt,
  durationMs,
  intersect,
  interval,
  overlaps,
  subtract,
  union,
  type Interval,
} from './interval.js';

const at = (ms: number) => instantFromMs(ms);
const of = (start: number, end: number) => interval(at(start), at(end));
const instant = fc.integer({ min: 0, max: 50 }).map(at);
const anyInterval = fc.tuple(instant, instant).map(([a, b]) => (a <= b ? interval(a, b) : interval(b, a)));
const many = fc.array(anyInterval, { maxLength: 8 });
const covers = (all: readonly Interval[], ms: number) => all.some((one) => contains(one, at(ms)));
const total = (all: readonly Interval[]) => all.reduce((sum, one) => sum + durationMs(one), 0n);
const everyInstant = Array.from({ length: 52 }, (_, ms) => ms);

describe('an interval', () => {
  it('holds its start but not its end', () => {
    expect([9, 10, 19, 20].map((ms) => contains(of(10, 20), at(ms)))).toEqual([false, true, true, false]);
  });

  it('may be empty but never inverted', () => {
    expect(durationMs(of(5, 5))).toBe(0n);
    expect(() => of(6, 5)).toThrow(/cannot end .*00\.005Z.* before it starts .*00\.006Z/);
  });

  it.each([
    ['apart', of(0, 10), of(20, 30), false],
    ['touching', of(0, 10), of(10, 20), false],
    ['sharing one millisecond', of(0, 11), of(10, 20), true],
    ['one inside the other', of(0, 30), of(10, 20), true],
    ['an empty one inside', of(0, 30), of(10, 10), false],
  ])('two intervals %s', (_name, a, b, expected) => {
    expect(overlaps(a, b)).toBe(expected);
    expect(overlaps(b, a)).toBe(expected);
  });

  it('overlaps exactly where there is a common part', () => {
    fc.assert(
      fc.property(anyInterval, anyInterval, (a, b) => {
        const common = intersect(a, b);
        expect(overlaps(a, b)).toBe(common !== undefined);
        for (const ms of everyInstant) {
          const both = contains(a, at(ms)) && contains(b, at(ms));
          expect(common !== undefined && contains(common, at(ms))).toBe(both);
        }
      }),
    );
  });
});

describe('cutting', () => {
  it('xid 79: a lease is cut where the fault starts and ends', () => {
    expect(cutAt(of(0, 120), [at(70), at(40), at(40)])).toEqual([of(0, 40), of(40, 70), of(70, 120)]);
  });

  it('ignores cuts at and beyond the edges', () => {
    expect(cutAt(of(10, 20), [at(0), at(10), at(20), at(30)])).toEqual([of(10, 20)]);
  });

  it('covers the whole exactly, in order, with every cut inside as an edge', () => {
    fc.assert(
      fc.property(anyInterval, fc.array(instant, { maxLength: 10 }), (whole, cuts) => {
        const pieces = cutAt(whole, cuts);
        expect(pieces[0]?.start).toBe(whole.start);
        expect(pieces.at(-1)?.end).toBe(whole.end);
        pieces.slice(1).forEach((piece, index) => expect(piece.start).toBe(pieces[index]?.end));
        expect(total(pieces)).toBe(durationMs(whole));
        for (const cut of cuts.filter((one) => whole.start < one && one < whole.end)) {
          expect(pieces.some((piece) => piece.start === cut)).toBe(true);
        }
        if (durationMs(whole) > 0n) expect(pieces.every((piece) => durationMs(piece) > 0n)).toBe(true);
      }),
    );
  });
});

describe('sets of instants', () => {
  it('joins what touches', () => {
    expect(union([of(20, 30), of(0, 10), of(10, 15), of(12, 13), of(40, 40)])).toEqual([
      of(0, 15),
      of(20, 30),
    ]);
  });

  it('takes holes out', () => {
    expect(subtract(of(0, 100), [of(90, 120), of(10, 20), of(15, 30)])).toEqual([of(0, 10), of(30, 90)]);
  });

  it('union and subtract hold exactly the right instants', () => {
    fc.assert(
      fc.property(anyInterval, many, (whole, holes) => {
        const joined = union(holes);
        const rest = subtract(whole, holes);
        for (const ms of everyInstant) {
          expect(covers(joined, ms)).toBe(covers(holes, ms));
          expect(covers(rest, ms)).toBe(contains(whole, at(ms)) && !covers(holes, ms));
        }
        joined.slice(1).forEach((one, index) => expect(one.start).toBeGreaterThan(joined[index]!.end));
      }),
    );
  });

  it('what is left and what is taken out add up to the whole', () => {
    fc.assert(
      fc.property(anyInterval, many, (whole, holes) => {
        const taken = union(holes).flatMap((hole) => intersect(hole, whole) ?? []);
        expect(total(subtract(whole, holes)) + total(taken)).toBe(durationMs(whole));
      }),
    );
  });
});
