import { instantFromMs } from '@poolmeter/domain';
import { describe, expect, it } from 'vitest';
import { hoursToCompare } from './reconcile-rollups.js';

const at = (text: string) => instantFromMs(Date.parse(text));
const written = (ranges: ReturnType<typeof hoursToCompare>) =>
  ranges.map(({ fromMs, toMs }) => [new Date(fromMs).toISOString(), new Date(toMs).toISOString()]);

describe('the hours whose rollups are compared', () => {
  it('are those that have been over for a quarter of an hour, and one older', () => {
    expect(written(hoursToCompare(at('2026-03-01T12:20:00Z'), 0))).toEqual([
      ['2026-03-01T09:00:00.000Z', '2026-03-01T12:00:00.000Z'],
      ['2026-03-01T08:00:00.000Z', '2026-03-01T09:00:00.000Z'],
    ]);
  });

  it('leave out an hour that ended a moment ago', () => {
    expect(written(hoursToCompare(at('2026-03-01T12:10:00Z'), 0))[0]).toEqual([
      '2026-03-01T08:00:00.000Z',
      '2026-03-01T11:00:00.000Z',
    ]);
  });

  it('go through the week before in 168 passes, without a hole, and begin again', () => {
    const now = at('2026-03-08T12:20:00Z');
    const older = Array.from({ length: 168 }, (_, pass) => hoursToCompare(now, pass)[1]?.fromMs ?? 0);
    expect(new Set(older).size).toBe(168);
    expect(Math.max(...older) - Math.min(...older)).toBe(167 * 3_600_000);
    expect(hoursToCompare(now, 168)).toEqual(hoursToCompare(now, 0));
  });
});
