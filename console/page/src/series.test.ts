import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { frameOf } from './frame.js';
import { alignSeries, lonePoints, reduceValues, seriesOf, stackSeries } from './series.js';

const at = (second: number) => new Date(second * 1_000).toISOString();
const frame = frameOf({
  ref_id: 'A',
  columns: [
    { name: 'time', type: "DateTime('UTC')" },
    { name: 'gpu', type: 'LowCardinality(String)' },
    { name: 'watts', type: 'Nullable(Float64)' },
    { name: 'bytes', type: 'UInt64' },
  ],
  rows: [
    [at(10), 'b', 2, '9007199254740993'],
    [at(0), 'a', 1, '5'],
    [at(10), 'a', null, '6'],
  ],
});

describe('series', () => {
  it('are one per column and label, in the order of time', () => {
    expect(seriesOf(frame)).toEqual([
      { name: 'b watts', field: 'watts', times: [10_000], values: [2] },
      { name: 'a watts', field: 'watts', times: [0, 10_000], values: [1, null] },
      { name: 'b bytes', field: 'bytes', times: [10_000], values: [9007199254740992] },
      { name: 'a bytes', field: 'bytes', times: [0, 10_000], values: [5, 6] },
    ]);
  });

  it('are none without a time', () => {
    expect(seriesOf({ ...frame, columns: frame.columns.slice(1) })).toEqual([]);
  });

  const series = (times: number[]) => ({ name: 's', field: 's', times, values: times.map(() => 1) });

  it('go on between points that are only out of step', () => {
    const { times, values } = alignSeries([series([0, 10, 20]), series([5, 15])], 10);
    expect(times).toEqual([0, 5, 10, 15, 20]);
    expect(values).toEqual([
      [1, undefined, 1, undefined, 1],
      [undefined, 1, undefined, 1, undefined],
    ]);
  });

  it('break where points stop for longer than usual', () => {
    const { times, values } = alignSeries([series([0, 10, 20, 100, 110])], 10);
    expect(times).toEqual([0, 10, 20, 21, 100, 110]);
    expect(values).toEqual([[1, 1, 1, null, 1, 1]]);
  });

  it('never gain a value by being aligned', () => {
    const points = fc.uniqueArray(fc.integer({ min: 0, max: 10_000 }), { maxLength: 40 });
    fc.assert(
      fc.property(fc.array(points, { maxLength: 4 }), (all) => {
        const given = all.map((times) => series([...times].sort((a, b) => a - b)));
        const aligned = alignSeries(given, 10);
        given.forEach((one, index) => {
          const kept = aligned.times.filter(
            (_time, place) => typeof aligned.values[index]?.[place] === 'number',
          );
          expect(kept).toEqual(one.times);
        });
      }),
    );
  });

  it('show a value that no line reaches', () => {
    expect(lonePoints([1, null, 2, undefined, 3, null, 4])).toEqual([0, 6]);
    expect(lonePoints([undefined, 5, undefined])).toEqual([1]);
    expect(lonePoints([null, null])).toEqual([]);
  });

  it('stack without drawing what is missing', () => {
    expect(
      stackSeries([
        [1, null, 2],
        [10, 20, undefined],
        [100, 200, 300],
      ]),
    ).toEqual([
      [1, null, 2],
      [11, 20, undefined],
      [111, 220, 302],
    ]);
  });
});

describe('reducing', () => {
  it.each([
    ['lastNotNull', [1, 2, null], 2],
    ['last', [1, 2, null], null],
    ['sum', [1, 2, null], 3],
    ['mean', [1, 2, null], 1.5],
    ['max', [1, 2, null], 2],
    ['min', [1, 2, null], 1],
    ['count', [1, 2, null], 3],
    ['sum', [null], null],
    ['mean', [], null],
  ] as const)('%s of %j is %j', (way, values, expected) => {
    expect(reduceValues(values, way)).toBe(expected);
  });
});
