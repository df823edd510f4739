import { describe, expect, it } from 'vitest';
import type { BoardPanel } from './board.js';
import { settingsFor, showCell, thresholdColor } from './field-settings.js';
import { frameOf, kindOf } from './frame.js';
import { freshnessOf } from './freshness.js';
import { placePanels } from './grid-layout.js';
import { heatMapOf } from './heatmap.js';
import { summariesOf } from './summary.js';
import { lanesOf } from './timeline.js';
import { intervalFor, rangeFromText } from './time-range.js';

const at = (second: number) => new Date(second * 1_000).toISOString();
const TIME = { name: 'time', type: 'DateTime' };

describe('the grid', () => {
  const panel = (id: number, x: number, y: number, more: Partial<BoardPanel> = {}): BoardPanel => ({
    id,
    type: 'stat',
    gridPos: { x, y, w: 12, h: 4 },
    ...more,
  });
  const places = (panels: BoardPanel[]) =>
    placePanels(panels).map(({ panel: one, placement }) => [one.id, placement.gridColumn, placement.gridRow]);

  it('keeps the places of the board, in reading order', () => {
    expect(places([panel(2, 12, 0), panel(3, 0, 4), panel(1, 0, 0)])).toEqual([
      [1, '1 / span 12', '1 / span 4'],
      [2, '13 / span 12', '1 / span 4'],
      [3, '1 / span 12', '5 / span 4'],
    ]);
  });

  it('opens folded rows and moves what is below them down', () => {
    const row = panel(1, 0, 0, {
      type: 'row',
      gridPos: { x: 0, y: 0, w: 24, h: 1 },
      panels: [panel(2, 0, 1), panel(3, 0, 5)],
    });
    expect(places([row, panel(4, 0, 1)])).toEqual([
      [1, '1 / span 24', '1 / span 1'],
      [2, '1 / span 12', '2 / span 4'],
      [3, '1 / span 12', '6 / span 4'],
      [4, '1 / span 12', '10 / span 4'],
    ]);
  });

  it('keeps a panel without a place, and one that is too wide, on the page', () => {
    expect(places([panel(1, 20, 0), { id: 2, type: 'stat' }])).toEqual([
      [1, '13 / span 12', '1 / span 4'],
      [2, '1 / span 24', '5 / span 8'],
    ]);
  });
});

describe('fields', () => {
  const panel: BoardPanel = {
    id: 1,
    type: 'table',
    fieldConfig: {
      defaults: {
        unit: 'none',
        thresholds: {
          steps: [
            { color: 'green', value: null },
            { color: 'red', value: 80 },
          ],
        },
      },
      overrides: [
        { matcher: { id: 'byName', options: 'temp' }, properties: [{ id: 'unit', value: 'celsius' }] },
        {
          matcher: { id: 'byRegexp', options: '/^st/' },
          properties: [
            { id: 'custom.width', value: 90 },
            {
              id: 'mappings',
              value: [
                { type: 'value', options: { '0': { text: 'idle', color: 'blue' } } },
                { type: 'range', options: { from: 1, to: null, result: { text: 'busy' } } },
                { type: 'special', options: { match: 'null', result: { text: 'unknown' } } },
              ],
            },
          ],
        },
      ],
    },
  };

  it('take the overrides that match their name', () => {
    expect(showCell(71, settingsFor(panel, ['temp']))).toEqual({ text: '71 °C', color: 'green' });
    expect(showCell(90, settingsFor(panel, ['temp'])).color).toBe('red');
    expect(settingsFor(panel, ['state']).custom).toEqual({ width: 90 });
  });

  it('are told in words where the board has some', () => {
    const settings = settingsFor(panel, ['state']);
    expect([0, 5, null].map((value) => showCell(value, settings).text)).toEqual(['idle', 'busy', 'unknown']);
    expect(showCell(null, settingsFor(panel, ['other'])).text).toBe('–');
  });

  it('reach percentage thresholds by min and max', () => {
    const thresholds = {
      mode: 'percentage',
      steps: [
        { color: 'green', value: null },
        { color: 'red', value: 80 },
      ],
    };
    expect(thresholdColor(700, { thresholds, min: 0, max: 1_000 })).toBe('green');
    expect(thresholdColor(900, { thresholds, min: 0, max: 1_000 })).toBe('red');
  });

  it.each([
    ["DateTime64(3, 'UTC')", 'time'],
    ['Nullable(Float64)', 'number'],
    ['LowCardinality(Nullable(String))', 'text'],
    ['Decimal(38, 9)', 'number'],
    ['UInt64', 'number'],
    ['Array(String)', 'text'],
    ['Bool', 'text'],
  ])('of type %s are %s', (type, kind) => {
    expect(kindOf(type)).toBe(kind);
  });
});

describe('summaries', () => {
  const panel = (options: Record<string, unknown>): BoardPanel => ({ id: 1, type: 'stat', options });
  const table = frameOf({
    ref_id: 'A',
    columns: [
      { name: 'pool', type: 'String' },
      { name: 'gpus', type: 'UInt64' },
    ],
    rows: [
      ['main', '6'],
      ['spare', '2'],
    ],
  });

  it('are one per row when the board asks for rows', () => {
    const summaries = summariesOf([table], panel({ reduceOptions: { values: true } }));
    expect(summaries.map(({ name, value }) => [name, value])).toEqual([
      ['main', 6],
      ['spare', 2],
    ]);
  });

  it('reduce a series as the board says', () => {
    const series = frameOf({
      ref_id: 'A',
      columns: [TIME, { name: 'w', type: 'Float64' }],
      rows: [
        [at(0), 1],
        [at(1), 3],
      ],
    });
    const summaries = summariesOf([series], panel({ reduceOptions: { calcs: ['mean'] } }));
    expect(summaries.map(({ value }) => value)).toEqual([2]);
  });

  it('say a dash, not zero, where there is nothing', () => {
    const empty = frameOf({
      ref_id: 'A',
      columns: [{ name: 'w', type: 'Nullable(Float64)' }],
      rows: [[null]],
    });
    expect(summariesOf([empty], panel({}))).toMatchObject([{ value: null, shown: { text: '–' } }]);
  });
});

describe('states over time', () => {
  const frame = frameOf({
    ref_id: 'A',
    columns: [TIME, { name: 'gpu', type: 'String' }, { name: 'state', type: 'String' }],
    rows: [
      [at(0), 'a', 'ok'],
      [at(10), 'a', 'ok'],
      [at(20), 'a', 'bad'],
      [at(90), 'a', 'ok'],
    ],
  });

  it('last until the next report, and no longer than a few steps', () => {
    expect(lanesOf(frame, { intervalMs: 10_000, toMs: 95_000 })).toEqual([
      {
        name: 'a',
        field: 'state',
        stretches: [
          { fromMs: 0, toMs: 20_000, value: 'ok' },
          { fromMs: 20_000, toMs: 45_000, value: 'bad' },
          { fromMs: 90_000, toMs: 95_000, value: 'ok' },
        ],
      },
    ]);
  });
});

describe('a heat map', () => {
  it('has a row per bucket, the lowest at the bottom, and leaves what is missing empty', () => {
    const frame = frameOf({
      ref_id: 'A',
      columns: [TIME, { name: 'bucket', type: 'UInt8' }, { name: 'gpus', type: 'UInt64' }],
      rows: [
        [at(0), 10, '3'],
        [at(0), 2, '5'],
        [at(10), 10, '4'],
      ],
    });
    expect(heatMapOf([frame])).toEqual({
      rows: ['2', '10'],
      times: [0, 10_000],
      values: [
        [5, null],
        [3, 4],
      ],
      min: 3,
      max: 5,
    });
  });
});

describe('freshness', () => {
  const node = (ageS: number | null, demo = false) => ({
    last_seen_at: ageS === null ? null : new Date(1_000_000 - ageS * 1_000).toISOString(),
    gpu_count: 8,
    demo,
  });
  const now = { nowMs: 1_000_000, hasMore: false };

  it.each([
    [[node(5), node(30)], 'fresh', 'newest sample 5 s ago · 16 GPUs on 2 nodes'],
    [[node(90)], 'late', 'newest sample 90 s ago · 8 GPUs on 1 nodes'],
    [[node(5), node(400)], 'fresh', 'newest sample 5 s ago · 16 GPUs on 2 nodes, 1 silent'],
    [[node(600)], 'old', 'newest sample 10 min ago · 8 GPUs on 1 nodes, 1 silent'],
    [[node(null)], 'none', 'no sample has arrived yet'],
    [[], 'none', 'no sample has arrived yet'],
  ])('of %j is %s', (nodes, level, text) => {
    expect(freshnessOf(nodes, now)).toEqual({ level, text, demo: false });
  });

  it('says that data is made up', () => {
    expect(freshnessOf([node(5, true), node(5)], now).demo).toBe(true);
  });
});

describe('ranges', () => {
  it.each([
    ['1h', 15_000],
    ['6h', 120_000],
    ['24h', 600_000],
    ['7d', 3_600_000],
  ])('of %s have a point about every %i ms', (id, ms) => {
    expect(rangeFromText(id)).toBe(id);
    const spans: Record<string, number> = { '1h': 1, '6h': 6, '24h': 24, '7d': 168 };
    expect(intervalFor((spans[id] ?? 0) * 3_600_000)).toBe(ms);
  });

  it('fall back to an hour', () => {
    expect(rangeFromText('a fortnight')).toBe('1h');
    expect(rangeFromText(null)).toBe('1h');
  });
});
