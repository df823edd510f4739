import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';
import { createLogger } from '@poolmeter/service';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../embedded-postgres.js';
import { runMigrations, type MigrationSet } from '../migrations.js';
import { ServerConnection } from '../server-connection.js';
import { backupDatabase, type BackedUpDatabase } from './backup-database.js';
import { restoreDatabase } from './restore-database.js';

/** Owners refer to nothing, goods to owners and to one another; what was booked may not be changed and must balance. */
const SHOP = `
CREATE SCHEMA shop;
CREATE TABLE shop.goods_kinds (kind text PRIMARY KEY);
INSERT INTO shop.goods_kinds VALUES ('seeded');
CREATE TABLE shop.owners (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL,
  shouted text GENERATED ALWAYS AS (upper(name)) STORED, note jsonb, seen_at timestamptz(3), raw bytea);
CREATE TABLE shop.a_goods (id int PRIMARY KEY, owner_id bigint NOT NULL REFERENCES shop.owners,
  part_of int REFERENCES shop.a_goods DEFERRABLE INITIALLY DEFERRED, kind text NOT NULL REFERENCES shop.goods_kinds,
  share numeric NOT NULL);
CREATE TABLE shop.booked (id int PRIMARY KEY, amount numeric NOT NULL);
CREATE SEQUENCE shop.numbers;
CREATE FUNCTION shop.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'never'; END $$;
CREATE TRIGGER closed BEFORE INSERT OR UPDATE OR DELETE ON shop.booked FOR EACH ROW EXECUTE FUNCTION shop.refuse();
`;
const ROWS = `
INSERT INTO shop.goods_kinds VALUES ('E''s' || chr(9) || chr(92) || chr(10) || 'end');
DELETE FROM shop.goods_kinds WHERE kind = 'seeded';
INSERT INTO shop.owners (name, note, seen_at, raw)
  VALUES ('Zoë', '{"a": [1, null, "\\\\u00fc"]}', '2026-03-29T01:00:00.250Z', '\\x00ff0a'), ('nobody', NULL, NULL, NULL);
INSERT INTO shop.a_goods SELECT n, 1, CASE n WHEN 1 THEN NULL ELSE n - 1 END, k.kind, 1::numeric / 3
  FROM generate_series(1, 500) n, shop.goods_kinds k;
ALTER TABLE shop.booked DISABLE TRIGGER closed;
INSERT INTO shop.booked VALUES (1, 0.10), (2, -0.1000);
ALTER TABLE shop.booked ENABLE TRIGGER closed;
SELECT nextval('shop.numbers') FROM generate_series(1, 41);
`;

const logger = createLogger({ service: 'test', level: 'silent' });
let folder: string;
let server: EmbeddedPostgres;
let sets: MigrationSet[];
let taken: BackedUpDatabase;
const files = new Map<string, Buffer>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'poolmeter-pg-backup-'));
  await writeFile(join(folder, '0001_shop.sql'), SHOP);
  sets = [{ name: 'shop', directory: pathToFileURL(`${folder}/`) }];
  server = await startEmbeddedPostgres({ dataDir: join(folder, 'pg'), logger });
  await runMigrations({ url: server.url, sets });
  await ask(server.url, ROWS);
  taken = await backupDatabase({
    url: server.url,
    sets,
    write: async (name, rows) => void files.set(name, await buffer(rows)),
  });
  for (const name of ['restored', 'damaged'])
    await ask(server.url, `CREATE DATABASE ${name} TEMPLATE template0`);
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true });
});

async function ask(url: string, text: string) {
  const connection = new ServerConnection({ url, applicationName: 'test', statementTimeoutMs: 0 });
  try {
    return (await connection.query(text)).rows;
  } finally {
    await connection.end();
  }
}

const database = (name: string) => server.url.replace(/\/poolmeter$/, `/${name}`);
const read = (name: string) => Readable.from([files.get(name) ?? Buffer.alloc(0)]);

describe('a backup of a database', () => {
  it('lists tables after those that they refer to, with their rows', () => {
    const names = taken.tables.map(({ table }) => table);
    expect(names.indexOf('shop.a_goods')).toBeGreaterThan(names.indexOf('shop.owners'));
    expect(names.indexOf('shop.a_goods')).toBeGreaterThan(names.indexOf('shop.goods_kinds'));
    expect(Object.fromEntries(taken.tables.map(({ table, rows }) => [table, rows]))).toEqual({
      'shop.a_goods': 500n,
      'shop.booked': 2n,
      'shop.goods_kinds': 1n,
      'shop.owners': 2n,
    });
    expect(taken.sequences).toContainEqual({ name: 'shop.numbers', value: 41n });
  });

  it('is restored to the same rows, with rules and sequences going on where they were', async () => {
    const url = database('restored');
    await restoreDatabase({ url, sets, backup: taken, read });
    for (const { table } of taken.tables) {
      const text = `SELECT t::text AS row FROM ${table} t ORDER BY 1`;
      expect(await ask(url, text), table).toEqual(await ask(server.url, text));
    }
    expect(await ask(url, "SELECT nextval('shop.numbers') AS next")).toEqual([{ next: 42n }]);
    expect(await ask(url, "INSERT INTO shop.owners (name) VALUES ('next') RETURNING id, shouted")).toEqual([
      { id: 3n, shouted: 'NEXT' },
    ]);
    await expect(ask(url, 'DELETE FROM shop.booked')).rejects.toThrow(/never/);
    expect(await runMigrations({ url, sets })).toEqual([]);
  });

  it('is refused by a database that has rows or tables', async () => {
    await expect(restoreDatabase({ url: server.url, sets, backup: taken, read })).rejects.toMatchObject({
      code: 'precondition_failed',
      message: 'The PostgreSQL database is not empty (it has shop): restore into an empty one.',
    });
  });

  it('leaves the target as it was when a file holds other rows', async () => {
    const url = database('damaged');
    const wrong = (name: string) =>
      name === 'shop.booked.copy' ? Readable.from([Buffer.from('1\t9.99\n')]) : read(name);
    await expect(restoreDatabase({ url, sets, backup: taken, read: wrong })).rejects.toMatchObject({
      code: 'storage.corrupt',
    });
    expect(await ask(url, "SELECT nspname FROM pg_namespace WHERE nspname IN ('shop', 'poolmeter')")).toEqual(
      [],
    );
    await restoreDatabase({ url, sets, backup: taken, read });
  });
});
