import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fraction, ONE, times } from './fraction.js';
import { gpuHours, gpuTimeOf, gpuTimeToJson, NO_GPU_TIME, sumGpuTime } from './gpu-time.js';
import { instantFromMs, parseInstant } from './instant.js';
import { cutAt, interval } from './interval.js';

const span = (start: string, end: string) => interval(parseInstant(start), parseInstant(end));

describe('GPU time', () => {
  it.each([
    [
      'plain: 2.5 h of one GPU',
      ONE,
      span('2026-03-01T00:00:00Z', '2026-03-01T02:30:00Z'),
      '9000000',
      '2.500000000',
    ],
    [
      'seventh: 1 h of 1/7',
      fraction(1n, 7n),
      span('2026-03-01T00:00:00Z', '2026-03-01T01:00:00Z'),
      '3600000/7',
      '0.142857143',
    ],
    [
      'spring forward: 29 March 2026 in Berlin',
      ONE,
      span('2026-03-28T23:00:00Z', '2026-03-29T22:00:00Z'),
      '82800000',
      '23.000000000',
    ],
    ['nothing', ONE, span('2026-03-01T00:00:00Z', '2026-03-01T00:00:00Z'), '0', '0.000000000'],
  ])('%s', (_name, share, over, gpuMs, hours) => {
    expect(gpuTimeToJson(gpuTimeOf(share, over))).toEqual({ gpu_ms: gpuMs, gpu_hours: hours });
  });

  it('seven sevenths are one GPU, exactly', () => {
    const hour = span('2026-03-01T00:00:00Z', '2026-03-01T01:00:00Z');
    const parts = Array.from({ length: 7 }, () => gpuTimeOf(fraction(1n, 7n), hour));
    expect(sumGpuTime(parts)).toEqual(gpuTimeOf(ONE, hour));
    expect(gpuHours(sumGpuTime(parts))).toEqual(ONE);
    expect(sumGpuTime([])).toEqual(NO_GPU_TIME);
  });

  it('does not depend on where a lease is cut', () => {
    const instant = fc.integer({ min: 0, max: 10 ** 10 }).map(instantFromMs);
    const share = fc.tuple(fc.bigInt(1n, 8n), fc.bigInt(8n, 64n)).map(([n, d]) => fraction(n, d));
    fc.assert(
      fc.property(instant, instant, fc.array(instant), share, (a, b, cuts, of) => {
        const whole = a <= b ? interval(a, b) : interval(b, a);
        const pieces = cutAt(whole, cuts).map((piece) => gpuTimeOf(of, piece));
        expect(sumGpuTime(pieces)).toEqual(gpuTimeOf(of, whole));
        expect(times(gpuHours(gpuTimeOf(of, whole)), fraction(3_600_000n))).toEqual(gpuTimeOf(of, whole));
      }),
    );
  });
});
