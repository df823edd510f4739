import { instantFromMs } from '@poolmeter/domain';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nextGridStep, scrapeOffsetMs } from './scrape-grid.js';

const grid = { intervalMs: 10_000, offsetMs: 3_000, last: instantFromMs(103_000) };

describe('the scrape grid', () => {
  it.each<[string, number, number, number]>([
    ['right after a scrape: the next point', 103_200, 113_000, 0],
    ['at a point: the one after', 113_000, 123_000, 1],
    ['after a scrape that took long: the points between are left out', 135_000, 143_000, 3],
  ])('%s', (_case, now, at, skipped) => {
    expect(nextGridStep(instantFromMs(now), grid)).toEqual({ at, skipped });
  });

  it('always lies ahead, by an interval at most, on k × interval + offset', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2e12 }),
        fc.integer({ min: 1, max: 600_000 }),
        fc.webUrl(),
        (now, intervalMs, url) => {
          const offsetMs = scrapeOffsetMs(url, intervalMs);
          const { at } = nextGridStep(instantFromMs(now), { intervalMs, offsetMs, last: instantFromMs(now) });
          expect(offsetMs).toBeGreaterThanOrEqual(0);
          expect(offsetMs).toBeLessThan(intervalMs);
          expect(at).toBeGreaterThan(now);
          expect(at - now).toBeLessThanOrEqual(intervalMs);
          expect((at - offsetMs) % intervalMs).toBe(0);
        },
      ),
    );
  });

  it('spreads sources over the interval', () => {
    const offsets = Array.from({ length: 100 }, (_, index) =>
      scrapeOffsetMs(`http://gpu-${index}:9400/metrics`, 10_000),
    );
    const perQuarter = [0, 1, 2, 3].map(
      (quarter) => offsets.filter((one) => Math.floor(one / 2_500) === quarter).length,
    );
    expect(Math.min(...perQuarter)).toBeGreaterThan(10);
  });
});
