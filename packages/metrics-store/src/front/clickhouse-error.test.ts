import { describe, expect, it } from 'vitest';
import { asFrontError, clickhouseCodeOf, FrontError, httpStatusOf } from './clickhouse-error.js';

describe("faults in ClickHouse's words", () => {
  it.each([
    ['ENOSPC', 243, 507],
    ['EDQUOT', 243, 507],
    ['EROFS', 76, 500],
    ['Z_DATA_ERROR', 354, 500],
    ['EMFILE', 1001, 500],
  ])('%s of the spool becomes code %i, status %i', (code, clickhouseCode, status) => {
    const fault = asFrontError(Object.assign(new Error('it failed'), { code }));
    expect(clickhouseCodeOf(fault)).toBe(clickhouseCode);
    expect(httpStatusOf(clickhouseCode)).toBe(status);
  });

  it('keeps what the engine and the front say', () => {
    const engine = new Error('Code: 60. DB::Exception: Unknown table. (UNKNOWN_TABLE)');
    expect(clickhouseCodeOf(asFrontError(engine))).toBe(60);
    const front = new FrontError(164, 'READONLY', 'no');
    expect(asFrontError(front)).toBe(front);
    expect(clickhouseCodeOf('a text')).toBe(1002);
  });
});
