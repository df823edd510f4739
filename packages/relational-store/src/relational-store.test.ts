import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { isPoolmeterError, PoolmeterError, systemClock } from '@poolmeter/domain';
import { createLogger } from '@poolmeter/service';
import { sql, type Generated } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createOutboxRelay,
  openRelationalStore,
  outboxDdl,
  runMigrations,
  startEmbeddedPostgres,
  writeOutbox,
  type EmbeddedPostgres,
  type RelayedMessage,
  type RelationalStore,
} from './index.js';
import { isRunning, waitForEnd } from './running-process.js';

interface Tables {
  'demo.counter': { id: Generated<bigint>; name: string; value: bigint };
}

const logger = createLogger({ service: 'test', level: 'silent' });
let folder: string;
let server: EmbeddedPostgres;
let store: RelationalStore<Tables>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'poolmeter-pg-'));
  server = await startEmbeddedPostgres({ dataDir: join(folder, 'pg'), logger });
  store = openRelationalStore<Tables>({ url: server.url, applicationName: 'test', maxConnections: 4 });
  await sql`CREATE SCHEMA demo`.execute(store.db);
  await sql`CREATE TABLE demo.counter (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE, value bigint NOT NULL CHECK (value >= 0))`.execute(store.db);
});

afterAll(async () => {
  await store.close();
  const from = Date.now();
  await server.stop();
  expect(Date.now() - from).toBeLessThan(3_000);
  expect(isRunning(server.pid)).toBe(false);
  await rm(folder, { recursive: true });
});

describe('values', () => {
  it('keeps bigint, numeric and instants exact, and calendar dates free of zones', async () => {
    const { rows } = await sql`SELECT
      9007199254740993::bigint AS big, 0.1000::numeric AS exact, '2026-03-29T01:00:00.250Z'::timestamptz AS instant,
      DATE '2026-03-29' AS day, TIMESTAMP '2026-03-29 02:30:00' AS local, '{"a":[1,null]}'::jsonb AS json,
      ARRAY[1, 2]::bigint[] AS list, '\\x00ff'::bytea AS bytes`.execute(store.db);
    expect(rows[0]).toEqual({
      big: 9007199254740993n,
      exact: '0.1000',
      instant: new Date('2026-03-29T01:00:00.250Z'),
      day: '2026-03-29',
      local: '2026-03-29 02:30:00',
      json: { a: [1, null] },
      list: [1n, 2n],
      bytes: Buffer.from([0, 255]),
    });
  });

  it('stores a value given for jsonb as that value, and refuses text that was encoded before', async () => {
    const value = { reasons: ['a "quoted" word'], count: 12n, none: null };
    const { rows } = await sql<{ back: unknown }>`SELECT ${value}::jsonb AS back`.execute(store.db);
    expect(rows[0]?.back).toEqual({ reasons: ['a "quoted" word'], count: '12', none: null });
    const list = await sql<{ back: unknown }>`SELECT ${[{ a: 1 }]}::jsonb AS back`.execute(store.db);
    expect(list.rows[0]?.back).toEqual([{ a: 1 }]);
    await expect(sql`SELECT ${JSON.stringify({ a: 1 })}::jsonb`.execute(store.db)).rejects.toThrow(
      /not JSON.stringify/,
    );
  });
});

describe('errors', () => {
  const cases = [
    {
      says: 'a duplicate',
      statement: `INSERT INTO demo.counter (name, value) VALUES ('twice', 1), ('twice', 1)`,
      code: 'input.conflict',
      sqlstate: '23505',
      retriable: false,
    },
    {
      says: 'a value out of range',
      statement: `INSERT INTO demo.counter (name, value) VALUES ('less', -1)`,
      code: 'input.invalid',
      sqlstate: '23514',
      retriable: false,
    },
    {
      says: 'a statement over its limit',
      statement: `SET LOCAL statement_timeout = 20; SELECT pg_sleep(5)`,
      code: 'timeout',
      sqlstate: '57014',
      retriable: true,
    },
    {
      says: 'a missing table',
      statement: `SELECT * FROM demo.absent`,
      code: 'internal',
      sqlstate: '42P01',
      retriable: false,
    },
    {
      says: 'a serialization failure',
      statement: `DO $$ BEGIN RAISE SQLSTATE '40001'; END $$`,
      code: 'input.conflict',
      sqlstate: '40001',
      retriable: true,
    },
    {
      says: 'a full disk',
      statement: `DO $$ BEGIN RAISE SQLSTATE '53100'; END $$`,
      code: 'storage.full',
      sqlstate: '53100',
      retriable: true,
    },
  ];
  it.each(cases)('$says is $code', async ({ statement, code, sqlstate, retriable }) => {
    const fault = await sql
      .raw(statement)
      .execute(store.db)
      .catch((thrown: unknown) => thrown);
    expect(isPoolmeterError(fault)).toBe(true);
    expect(fault).toMatchObject({ code, retriable, details: { sqlstate } });
  });

  it('names the constraint, so that a caller can tell which rule was broken', async () => {
    await store.db.insertInto('demo.counter').values({ name: 'once', value: 1n }).execute();
    const again = store.db.insertInto('demo.counter').values({ name: 'once', value: 1n }).execute();
    await expect(again).rejects.toMatchObject({
      details: { constraint: 'counter_name_key', table: 'counter' },
    });
  });

  it('says that a server which is not there cannot be reached', async () => {
    const nowhere = openRelationalStore({ url: 'postgres://u:p@127.0.0.1:1/x', applicationName: 'test' });
    await expect(nowhere.ping()).rejects.toMatchObject({ code: 'dependency.unavailable', retriable: true });
    await nowhere.close();
    const wrong = openRelationalStore({
      url: server.url.replace(/:[^:@/]+@/, ':wrong@'),
      applicationName: 'test',
    });
    await expect(wrong.ping()).rejects.toThrow(/password authentication failed/);
    await wrong.close();
  });
});

describe('transaction', () => {
  it('runs again after a serialization failure, so that concurrent increments are all counted', async () => {
    await store.db.insertInto('demo.counter').values({ name: 'increments', value: 0n }).execute();
    let attempts = 0;
    const increment = () =>
      store.transaction(async (trx) => {
        attempts += 1;
        const row = await trx
          .selectFrom('demo.counter')
          .select('value')
          .where('name', '=', 'increments')
          .executeTakeFirstOrThrow();
        await trx
          .updateTable('demo.counter')
          .set({ value: row.value + 1n })
          .where('name', '=', 'increments')
          .execute();
      });
    await Promise.all([increment(), increment(), increment(), increment()]);
    const row = await store.db
      .selectFrom('demo.counter')
      .select('value')
      .where('name', '=', 'increments')
      .executeTakeFirst();
    expect(row?.value).toBe(4n);
    expect(attempts).toBeGreaterThan(4);
  });

  it('whose connection is lost half-way writes nothing, not even what comes after', async () => {
    const broken = store.transaction(async (trx) => {
      await trx.insertInto('demo.counter').values({ name: 'before the loss', value: 1n }).execute();
      const { rows } = await sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`.execute(trx);
      await sql`SELECT pg_terminate_backend(${rows[0]?.pid})`.execute(store.db);
      await systemClock.sleep(50);
      await trx.insertInto('demo.counter').values({ name: 'after the loss', value: 1n }).execute();
    });
    await expect(broken).rejects.toMatchObject({ code: 'dependency.unavailable', retriable: true });
    const rows = await store.db
      .selectFrom('demo.counter')
      .select('name')
      .where('name', 'like', '%the loss')
      .execute();
    expect(rows).toEqual([]);
  });

  it('tells a caller who waits too long for a connection, and serves the next one', async () => {
    const small = openRelationalStore({
      url: server.url,
      applicationName: 'test',
      maxConnections: 1,
      acquireTimeoutMs: 30,
    });
    const slow = sql`SELECT pg_sleep(0.2)`.execute(small.db);
    await expect(small.ping()).rejects.toMatchObject({ code: 'dependency.unavailable' });
    await slow;
    await small.ping();
    await small.close();
  });
});

describe('tryLock', () => {
  it('gives a lock to one holder at a time and says when it is lost', async () => {
    const first = await store.tryLock('one writer');
    expect(first).toBeDefined();
    expect(await store.tryLock('one writer')).toBeUndefined();
    await first?.release();
    expect(first?.lost.aborted).toBe(true);
    const second = await store.tryLock('one writer');
    expect(second?.lost.aborted).toBe(false);
    await sql`SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted`.execute(
      store.db,
    );
    if (second?.lost.aborted === false) await once(second.lost, 'abort');
    const third = await store.tryLock('one writer');
    expect(third).toBeDefined();
    await third?.release();
  });
});

describe('runMigrations', () => {
  const setIn = (directory: string) => ({
    url: server.url,
    sets: [{ name: 'moving', directory: pathToFileURL(directory) }],
  });

  it('applies each file once, in order, also when two processes try at the same time', async () => {
    const directory = await mkdtemp(join(folder, 'migrations-'));
    await writeFile(
      join(directory, '0001_first.sql'),
      'CREATE SCHEMA moving; CREATE TABLE moving.a (x int);',
    );
    await writeFile(join(directory, '0002_second.sql'), 'ALTER TABLE moving.a ADD COLUMN y int;');
    const [one, two] = await Promise.all([runMigrations(setIn(directory)), runMigrations(setIn(directory))]);
    expect([...one, ...two].map((each) => each.file)).toEqual(['0001_first.sql', '0002_second.sql']);
    expect(await runMigrations(setIn(directory))).toEqual([]);

    await writeFile(
      join(directory, '0001_first.sql'),
      'CREATE SCHEMA moving; CREATE TABLE moving.a (x bigint);',
    );
    await expect(runMigrations(setIn(directory))).rejects.toThrow(/0001_first.sql was edited after it ran/);
    await rm(join(directory, '0001_first.sql'));
    await expect(runMigrations(setIn(directory))).rejects.toThrow(/0001_first.sql ran here but is missing/);
  });

  it('rolls a failing file back whole, and refuses one that comes too late', async () => {
    const directory = await mkdtemp(join(folder, 'migrations-'));
    const set = { url: server.url, sets: [{ name: 'failing', directory: pathToFileURL(`${directory}/`) }] };
    await writeFile(join(directory, '0002_half.sql'), 'CREATE SCHEMA failing; SELECT 1 / 0;');
    await expect(runMigrations(set)).rejects.toThrow(/failing\/0002_half.sql failed: .*division by zero/);
    const { rows } = await sql`SELECT 1 FROM pg_namespace WHERE nspname = 'failing'`.execute(store.db);
    expect(rows).toEqual([]);
    await writeFile(join(directory, '0002_half.sql'), 'CREATE SCHEMA failing;');
    await runMigrations(set);
    await writeFile(join(directory, '0001_late.sql'), 'SELECT 1;');
    await expect(runMigrations(set)).rejects.toThrow(/give it a higher number/);
  });
});

describe('outbox', () => {
  beforeAll(async () => {
    await sql.raw(outboxDdl('demo')).execute(store.db);
  });

  const write = (from: number, count: number) =>
    store.transaction(async (trx) => {
      const messages = Array.from({ length: count }, (_, index) => ({
        topic: 'poolmeter.incidents',
        key: `inc_${(from + index) % 3}`,
        headers: { schema: 'row-copy', 'schema-version': '1' },
        value: { table: 'incidents', row: { n: from + index }, version: BigInt(from + index) },
      }));
      await writeOutbox(trx, 'demo', messages);
    });

  it('carries messages in order, once per acknowledgement, under ids that outlive a crash of the server', async () => {
    const seen: RelayedMessage[] = [];
    let crashes = 0;
    const publish = async (_topic: string, messages: readonly RelayedMessage[]) => {
      seen.push(...messages);
      // The bus has the messages; the server is gone before they can be marked.
      if (crashes++ === 0) process.kill(server.pid, 'SIGKILL');
      await systemClock.sleep(20);
    };
    await write(0, 10);
    const relay = createOutboxRelay({ store, schema: 'demo', publish, logger, batchSize: 4, pollMs: 20 });
    await relay.start();
    await until(async () => (await waiting()) === 0);
    await write(10, 2);
    await until(async () => (await waiting()) === 0);
    await relay.stop();

    const numbers = seen.map(
      (each) => (JSON.parse(Buffer.from(each.value).toString()) as { row: { n: number } }).row.n,
    );
    expect(numbers).toEqual([0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    const ids = seen.map(
      ({ headers }) => `${headers['producer']}/${headers['producer-epoch']}/${headers['sequence']}`,
    );
    expect(new Set(ids).size).toBe(12);
    expect(ids.slice(0, 4)).toEqual(ids.slice(4, 8));
    expect(seen[0]?.headers).toMatchObject({
      schema: 'row-copy',
      'schema-version': '1',
      producer: 'outbox.demo',
    });
    expect(seen[0]?.headers['producer-epoch']).toMatch(/^\d+$/);
  });

  it('keeps what the bus refuses, and a rolled-back transaction leaves nothing', async () => {
    await expect(
      store.transaction(async (trx) => {
        await writeOutbox(trx, 'demo', { topic: 't', key: 'k', value: { never: true } });
        throw new PoolmeterError('input.invalid', 'The change is taken back.');
      }),
    ).rejects.toThrow('taken back');
    await write(20, 1);
    let refusals = 0;
    const publish = () => {
      refusals += 1;
      return refusals < 3 ? Promise.reject(new Error('the broker is away')) : Promise.resolve();
    };
    const relay = createOutboxRelay({
      store,
      schema: 'demo',
      publish,
      logger,
      pollMs: 20,
      keepPublishedMs: 0,
    });
    await relay.start();
    await until(async () => (await waiting()) === 0);
    await relay.stop();
    expect(refusals).toBe(3);
  });

  const waiting = async () => {
    const { rows } = await sql<{
      n: bigint;
    }>`SELECT count(*) AS n FROM demo.outbox WHERE published_at IS NULL`
      .execute(store.db)
      .catch(() => ({ rows: [{ n: -1n }] }));
    return Number(rows[0]?.n);
  };
});

describe('embedded server', () => {
  it('comes back by itself after kill -9, at the same address, with what was committed', async () => {
    const before = server.pid;
    await store.db.insertInto('demo.counter').values({ name: 'committed', value: 7n }).execute();
    process.kill(before, 'SIGKILL');
    await until(() =>
      store.ping().then(
        () => server.pid !== before,
        () => false,
      ),
    );
    const row = await store.db
      .selectFrom('demo.counter')
      .select('value')
      .where('name', '=', 'committed')
      .executeTakeFirst();
    expect(row?.value).toBe(7n);
  });

  it('keeps its password in a file that only its owner reads', async () => {
    const { mode } = await stat(join(folder, 'pg', 'password'));
    expect(mode & 0o777).toBe(0o600);
    const trust = await readFile(join(folder, 'pg', 'cluster', 'pg_hba.conf'), 'utf8');
    expect(trust).not.toMatch(/^[^#].*\btrust\b/m);
  });

  it('refuses a folder that another process uses, and a port that is taken', async () => {
    await expect(startEmbeddedPostgres({ dataDir: join(folder, 'pg'), logger })).rejects.toMatchObject({
      code: 'storage.locked',
    });
    const taken = Number(new URL(server.url).port);
    const other = startEmbeddedPostgres({ dataDir: join(folder, 'other'), logger, port: taken });
    await expect(other).rejects.toMatchObject({ code: 'port.in_use' });
  });

  it('ends when its parent is killed, and starts again on the same folder', async () => {
    const dataDir = join(folder, 'orphan');
    const module = new URL('../dist/index.js', import.meta.url).href;
    const program = `
      const { startEmbeddedPostgres } = await import(${JSON.stringify(module)});
      const silent = () => undefined;
      const logger = { debug: silent, info: silent, warn: silent, error: silent };
      const server = await startEmbeddedPostgres({ dataDir: ${JSON.stringify(dataDir)}, logger });
      console.log(server.pid);
      setInterval(silent, 1000);`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(createInterface({ input: parent.stdout }), 'line')) as [string];
    const orphan = Number(line);
    expect(isRunning(orphan)).toBe(true);
    parent.kill('SIGKILL');
    expect(await waitForEnd(orphan, { limitMs: 3_000, clock: systemClock })).toBe(true);

    const again = await startEmbeddedPostgres({ dataDir, logger });
    await again.stop();
    expect((await readdir(dataDir)).sort()).toEqual(['cluster', 'lib', 'password']);
  });
});

async function until(condition: () => Promise<boolean>, limitMs = 15_000): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('The condition did not come true in time.');
    await systemClock.sleep(20);
  }
}
