import { describe, expect, it } from 'vitest';
import { board, row } from './board.js';
import { statPanel } from './panel.js';
import { tableTarget } from './target.js';

const sized = (id: number, w: number, h: number) =>
  statPanel({
    id,
    title: `Panel ${id}`,
    description: 'A panel of this size.',
    size: { w, h },
    unit: 'short',
    targets: [tableTarget('SELECT 1 AS value')],
  });

describe('the place of panels', () => {
  it('fills the room beside a tall panel before it goes on below it', () => {
    const made = board({
      uid: 'places',
      title: 'Places',
      description: 'Sizes.',
      tags: [],
      variables: [],
      from: 'now-1h',
      refresh: '30s',
      rows: [
        row({
          id: 1,
          title: 'Now',
          panels: [sized(2, 12, 8), sized(3, 6, 4), sized(4, 6, 4), sized(5, 12, 4), sized(6, 24, 3)],
        }),
      ],
    });
    const places = made.panels.map(({ id, gridPos: { x, y } }) => ({ id, x, y }));
    expect(places).toEqual([
      { id: 1, x: 0, y: 0 },
      { id: 2, x: 0, y: 1 },
      { id: 3, x: 12, y: 1 },
      { id: 4, x: 18, y: 1 },
      { id: 5, x: 12, y: 5 },
      { id: 6, x: 0, y: 9 },
    ]);
  });
});
