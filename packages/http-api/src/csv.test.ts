import { Money } from '@poolmeter/domain';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toCsv } from './csv.js';

/** Reads RFC 4180 text: the counterpart that a spreadsheet has. */
function readCsv(text: string): string[][] {
  const rows: string[][] = [];
  for (let at = 0; at < text.length;) {
    const row: string[] = [];
    for (;;) {
      let cell = '';
      if (text[at] === '"') {
        for (at += 1; ; at += 1) {
          if (text[at] === '"' && text[at + 1] === '"') at += 1;
          else if (text[at] === '"') break;
          cell += text.charAt(at);
        }
        at += 1;
      } else while (at < text.length && !',\r\n'.includes(text[at]!)) cell += text.charAt(at++);
      row.push(cell);
      if (text[at] !== ',') break;
      at += 1;
    }
    expect(text.slice(at, at + 2)).toBe('\r\n');
    at += 2;
    rows.push(row);
  }
  return rows;
}

describe('a cell', () => {
  it.each([
    ['plain', 'plain', 'plain'],
    ['a, b', 'a, b', '"a, b"'],
    ['quotes', 'a "b"', '"a ""b"""'],
    ['two lines', 'a\nb', '"a\nb"'],
    ['null', null, ''],
    ['a truth', true, 'true'],
    ['a number', -1.5, '-1.5'],
    ['a bigint', 10n ** 20n, '100000000000000000000'],
    ['a date', new Date(0), '1970-01-01T00:00:00.000Z'],
    ['a list', ['a', 'b'], '"[""a"",""b""]"'],
    ['a negative amount', '-12.34', '-12.34'],
    ['a formula', '=1+1', "'=1+1"],
    ['a formula with a quote', '=cmd|"x"', '"\'=cmd|""x"""'],
    ['an at sign', '@SUM(A1)', "'@SUM(A1)"],
    ['a minus that is no number', '-1+cmd', "'-1+cmd"],
    ['a tab', '\t=1', "'\t=1"],
  ])('%s', (_name, value, cell) => {
    expect(toCsv([{ x: value }])).toBe(`x\r\n${cell}\r\n`);
  });
});

describe('rows', () => {
  it('spread objects one level and keep the columns that are asked for', () => {
    const rows = [
      { id: 'a', total: Money.of('6.25', 'USD') },
      { id: 'b', note: 'x' },
    ];
    expect(toCsv(rows)).toBe('id,total_amount,total_currency,note\r\na,6.25,USD,\r\nb,,,x\r\n');
    expect(toCsv(rows, ['note', 'id'])).toBe('note,id\r\n,a\r\nx,b\r\n');
    expect(toCsv([], ['id'])).toBe('id\r\n');
  });

  it('are read back cell by cell, whatever they hold, and no cell starts a formula', () => {
    const cell = fc.oneof(
      fc.string(),
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom('=1', '+a', '-2', '@x', 'a"b', 'a\r\nb', ','),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(cell, cell), { minLength: 1 }), (pairs) => {
        const [header, ...rows] = readCsv(toCsv(pairs.map(([a, b]) => ({ a, b }))));
        expect(header).toEqual(['a', 'b']);
        rows.forEach((row, index) => {
          row.forEach((shown, column) => {
            const meant = pairs[index]![column]!;
            expect([meant, `'${meant}`]).toContain(shown);
            expect(shown).not.toMatch(/^[=@\t\r]/);
            if (/^[+-]/.test(shown)) expect(Number(shown)).not.toBeNaN();
          });
        });
      }),
    );
  });
});
