import { ClickHouseLogLevel, createClient } from '@clickhouse/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { applyReaderUser, readerLimits, readerStatements } from './reader-user.js';
import { startTestStore, type TestStore } from './start-test-store.js';

let test: TestStore;
beforeAll(async () => {
  test = await startTestStore();
});
afterAll(() => test.stop());

const reader = { username: 'grafana_reader', password: "it's" };

describe('the reader of a server', () => {
  it.each([
    ['on one server', undefined, 0],
    ['on a cluster', 'fleet', 5],
  ])('%s is made by statements that ClickHouse can read', async (_where, cluster, onCluster) => {
    const statements = readerStatements(reader, { database: 'poolmeter', cluster });
    expect(statements.filter((each) => each.includes(" ON CLUSTER 'fleet' "))).toHaveLength(onCluster);
    for (const statement of statements) {
      await test.store.select(`EXPLAIN AST ${statement}`, { name: 'parse', maxRows: 100 });
    }
  });

  it('may read one database, may not change its switch to read-only, and shows its password nowhere', () => {
    const [profile, create, , revoke, grant] = readerStatements(reader, { database: 'poolmeter' });
    expect(profile).toContain('readonly = 2, ');
    expect(profile).toContain('max_execution_time = 60 MIN 1 MAX 60');
    // printf "it's" | sha256sum
    expect(create).toContain(
      "sha256_hash BY '24ceef1cb6b0cbc0b3321021318245760500d1b1e9411a091929268ad1491c9e'",
    );
    expect([revoke, grant]).toEqual([
      'REVOKE ALL ON *.* FROM grafana_reader',
      'GRANT SELECT, SHOW ON poolmeter.* TO grafana_reader',
    ]);
  });

  it('has limits that ClickHouse knows and that stop a query', async () => {
    const known = await test.store.select(
      `SELECT count() FROM system.settings WHERE name IN ('${Object.keys(readerLimits).join("', '")}')`,
      { name: 'known', maxRows: 1 },
    );
    expect(Number(known.rows[0]?.[0])).toBe(Object.keys(readerLimits).length);
  });

  it('is refused by the embedded part, which keeps a reader of its own', async () => {
    await expect(applyReaderUser(test.store, reader)).rejects.toMatchObject({ code: 'dependency.refused' });
  });
});

describe('the reader of the embedded part', () => {
  const ask = async (query: string, settings: Record<string, string> = {}) => {
    const { url, database } = test.server;
    const log = { level: ClickHouseLogLevel.OFF };
    const client = createClient({ url, database, ...test.server.reader, clickhouse_settings: settings, log });
    try {
      return await (await client.query({ query, format: 'JSONCompact' })).json<unknown[]>();
    } finally {
      await client.close();
    }
  };

  it('reads tables', async () => {
    expect((await ask('SELECT count() FROM gpu_samples')).data).toEqual([[0]]);
  });

  it.each([
    ['writes', 'INSERT INTO gpu_events (node) SELECT 1', '164'],
    ['creates', 'CREATE TABLE mine (a Int8) ENGINE = Memory', '164'],
    ['changes', 'ALTER TABLE gpu_samples DELETE WHERE 1', '164'],
    ['deletes', 'DELETE FROM gpu_samples WHERE 1', '164'],
    ['empties', 'TRUNCATE TABLE gpu_samples', '164'],
    ['reads files', "SELECT * FROM file('/etc/passwd', 'LineAsString')", '497'],
    ['reads addresses', "SELECT * FROM url('http://127.0.0.1/', 'LineAsString')", '497'],
    ['reads buckets', "SELECT * FROM s3('http://127.0.0.1/b/k', 'CSV')", '497'],
    ['asks servers', "SELECT * FROM remote('127.0.0.1', 'system.one')", '497'],
    ['runs programs', "SELECT * FROM executable('x', 'TSV', 'a Int8')", '497'],
    ['asks for too long', 'SELECT sleepEachRow(0.05) FROM numbers(1000) SETTINGS max_block_size = 1', '164'],
  ])('is refused when it %s', async (_what, query, code) => {
    await expect(ask(query)).rejects.toMatchObject({ code });
  });

  it('is stopped by the time that it states, and by none when it states more than its limit', async () => {
    const slow = 'SELECT count() FROM numbers(1900000000) WHERE NOT ignore(sipHash128(toString(number)))';
    await expect(ask(slow, { max_execution_time: '1' })).rejects.toMatchObject({ code: '159' });
    const wide = 'SELECT count() FROM numbers(100000000000)';
    await expect(ask(wide, { max_rows_to_read: '0' })).rejects.toMatchObject({ code: '158' });
    const { data } = await ask("SELECT value FROM system.settings WHERE name = 'max_execution_time'", {
      max_execution_time: '86400',
    });
    expect(data).toEqual([['60']]);
  });
});
