import { describe, expect, it } from 'vitest';
import { parseStatement } from './statement.js';

describe('what a statement is', () => {
  it.each([
    ['SELECT 1', 'read', undefined],
    ['  -- note\n(SELECT 1) UNION ALL (SELECT 2) FORMAT CSV;', 'read', 'CSV'],
    [
      '/* a /* nested */ note */ WITH 1 AS x SELECT x FORMAT JSONEachRow SETTINGS max_threads = 1',
      'read',
      'JSONEachRow',
    ],
    ["SELECT 'INSERT INTO t FORMAT CSV' AS text", 'read', undefined],
    ['SELECT x AS format FROM t', 'read', undefined],
    ['SELECT `FORMAT` FROM t FORMAT TSV', 'read', 'TSV'],
    ['SHOW TABLES', 'other', undefined],
    ['INSERT INTO t SELECT * FROM u', 'other', undefined],
    ['INSERT INTO t WITH a AS (SELECT 1) SELECT * FROM a', 'other', undefined],
    ['CREATE TABLE t (format String) ENGINE = Null', 'other', undefined],
    ['SELECT $tag$; DROP TABLE x; $tag$ AS text', 'read', undefined],
  ])('%s', (sql, kind, format) => {
    expect(parseStatement(sql)).toMatchObject({ kind, format });
  });

  it.each([
    [
      'INSERT INTO t FORMAT RowBinary',
      { head: 'INSERT INTO t', settings: '', format: 'RowBinary', inlineData: '' },
    ],
    [
      'INSERT INTO t (`format`, b) SETTINGS async_insert = 0 FORMAT JSONEachRow ;',
      {
        head: 'INSERT INTO t (`format`, b)',
        settings: ' SETTINGS async_insert = 0',
        format: 'JSONEachRow',
        inlineData: '',
      },
    ],
    [
      "INSERT INTO t VALUES (1, ';'), (2, 'x\n\ny');",
      { format: 'Values', inlineData: " (1, ';'), (2, 'x\n\ny')" },
    ],
    ['INSERT INTO t FORMAT TSV\n1\ta\n\n2\tb\n', { format: 'TSV', inlineData: '1\ta\n\n2\tb\n' }],
    ['insert into t format JSONEachRow {"a":1}', { format: 'JSONEachRow', inlineData: '{"a":1}' }],
  ])('an insert: %s', (sql, expected) => {
    const statement = parseStatement(sql);
    expect(statement).toMatchObject({ kind: 'insert' });
    for (const [name, value] of Object.entries(expected)) {
      expect(String(statement[name as keyof typeof statement]).trimStart()).toBe(value.trimStart());
    }
  });

  it.each([
    ['', 62],
    [' ; ', 62],
    ['SELECT 1; DROP TABLE t', 62],
    ["SELECT 1 INTO OUTFILE '/tmp/x'", 48],
    ["INSERT INTO t FROM INFILE '/etc/passwd' FORMAT LineAsString", 48],
    ["INSERT INTO t SELECT * FROM input('a Int8') FORMAT CSV", 48],
    ['INSERT INTO t FORMAT RowBinary \u0001\u0002', 48],
  ])('refused: %s', (sql, clickhouseCode) => {
    expect(() => parseStatement(sql)).toThrow(expect.objectContaining({ clickhouseCode }) as Error);
  });
});
