/** RowBinary has no types of its own: the front must know those of the table as they are now. */
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestStore, type TestStore } from '../start-test-store.js';

describe('RowBinary rows with named columns', () => {
  let test: TestStore;
  beforeAll(async () => {
    test = await startTestStore();
    await test.store.command(
      `CREATE TABLE boards (id UInt64, name LowCardinality(String), seen UInt8 DEFAULT 7, twice UInt64 MATERIALIZED id * 2)
       ENGINE = MergeTree ORDER BY id`,
    );
  });
  afterAll(() => test.stop());

  const post = (statement: string, body: Buffer, headers: Record<string, string> = {}) => {
    const { url, username, password, database } = test.server;
    const address = new URL(url);
    address.searchParams.set('query', statement);
    address.searchParams.set('database', database);
    const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
    const body8 = new Uint8Array(body);
    return fetch(address, { method: 'POST', body: body8, headers: { authorization, ...headers } });
  };
  const insert = 'INSERT INTO boards (name, id) FORMAT RowBinary';
  const name = (text: string) => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);
  const id64 = (id: bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(id);
    return bytes;
  };
  const stored = async () =>
    (
      await test.store.select('SELECT toString(id), name, seen, twice FROM boards ORDER BY id', {
        name: 'boards',
        maxRows: 10,
      })
    ).rows;

  it('are taken in the order of the statement, and columns that it does not name get their defaults', async () => {
    await post(insert, Buffer.concat([name('a'), id64(1n), name('b'), id64(2n)]));
    await post(insert, gzipSync(Buffer.concat([name('c'), id64(3n)])), { 'content-encoding': 'gzip' });
    expect(await stored()).toEqual([
      ['1', 'a', 7, '2'],
      ['2', 'b', 7, '4'],
      ['3', 'c', 7, '6'],
    ]);
  });

  it('are refused when they end in the middle, and none of them is stored', async () => {
    const response = await post(insert, Buffer.concat([name('d'), id64(4n).subarray(0, 5)]));
    expect(response.ok).toBe(false);
    expect(await stored()).toHaveLength(3);
  });

  it('are read by the types that the table has after it was changed', async () => {
    await test.store.command('ALTER TABLE boards ADD COLUMN slot UInt16');
    await test.store.command('ALTER TABLE boards DROP COLUMN seen');
    const row = Buffer.concat([name('e'), id64(5n), Buffer.from([1, 2])]);
    await post('INSERT INTO boards (name, id, slot) FORMAT RowBinary', row);
    await test.store.command('ALTER TABLE boards MODIFY COLUMN slot UInt32');
    const wider = Buffer.concat([name('f'), id64(6n), Buffer.from([1, 2, 3, 0])]);
    await post('INSERT INTO boards (name, id, slot) FORMAT RowBinary', wider);
    const { rows } = await test.store.select('SELECT slot FROM boards WHERE id > 4 ORDER BY id', {
      name: 'slots',
      maxRows: 10,
    });
    expect(rows).toEqual([[0x0201], [0x030201]]);
  });
});
