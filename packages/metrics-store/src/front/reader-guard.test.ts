import { describe, expect, it } from 'vitest';
import { createReaderGuard } from './reader-guard.js';
import { parseStatement } from './statement.js';

const guard = createReaderGuard([
  'file',
  'url',
  's3',
  'executable',
  'mysql',
  'numbers',
  'values',
  'remote',
  'format',
]);

describe('the read-only user', () => {
  it.each([
    'SELECT * FROM gpu_latest FINAL',
    'WITH 1 AS x SELECT x FROM numbers(3)',
    'SHOW TABLES',
    'DESCRIBE gpu_samples',
    'EXPLAIN SELECT 1',
    "SELECT 'file(1)' AS file, format('{}', url) FROM t -- file('/etc/passwd')",
  ])('may ask: %s', (sql) => {
    expect(() => guard.checkStatement(parseStatement(sql))).not.toThrow();
  });

  it.each([
    ["SELECT * FROM file('/etc/passwd', 'LineAsString')", 497],
    ["SELECT * FROM FILE ('/etc/passwd')", 497],
    ["SELECT file('/etc/passwd')", 497],
    ["SELECT * FROM `file`('/etc/passwd')", 497],
    ["SELECT * FROM /* x */ url /* y */ ('http://127.0.0.1/')", 497],
    ["SELECT 1 WHERE 1 IN (SELECT * FROM executable('x', 'TSV', 'a Int8'))", 497],
    ['INSERT INTO t VALUES (1)', 164],
    ['INSERT INTO t SELECT 1', 164],
    ['DROP TABLE t', 164],
    ['SET readonly = 0', 164],
    ['KILL QUERY WHERE 1', 164],
    ['SYSTEM SHUTDOWN', 164],
  ])('may not: %s', (sql, clickhouseCode) => {
    expect(() => guard.checkStatement(parseStatement(sql))).toThrow(
      expect.objectContaining({ clickhouseCode }) as Error,
    );
  });

  it('gets its limits capped and the switch to read-only set', () => {
    const settings = guard.settings(
      new Map([
        ['max_execution_time', '600'],
        ['max_threads', '2'],
        ['output_format_json_quote_64bit_integers', '1'],
        ['readonly', '0'],
      ]),
    );
    expect(Object.fromEntries(settings)).toEqual({
      max_execution_time: '60',
      max_memory_usage: '2000000000',
      max_result_rows: '1000000',
      max_result_bytes: '500000000',
      max_rows_to_read: '2000000000',
      max_bytes_to_read: '50000000000',
      max_threads: '2',
      output_format_json_quote_64bit_integers: '1',
      readonly: '1',
    });
    expect(guard.settings(new Map([['max_execution_time', '0']])).get('max_execution_time')).toBe('60');
  });

  it.each([
    ['max_memory_usage', '0', '2000000000'],
    ['max_memory_usage', '1000', '1000'],
    ['max_rows_to_read', '99000000000', '2000000000'],
    ['max_result_rows', '-1', '1000000'],
  ])('asks for %s = %s and gets %s', (name, asked, given) => {
    expect(guard.settings(new Map([[name, asked]])).get(name)).toBe(given);
  });

  it('may not change what is no limit and no format', () => {
    expect(() => guard.settings(new Map([['max_insert_threads', '64']]))).toThrow(/may not change/);
  });
});
