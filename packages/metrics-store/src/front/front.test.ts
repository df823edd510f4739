/** The HTTP interface as its clients use it: @clickhouse/client unmodified, and plain requests for what others send. */
import { gunzipSync, gzipSync } from 'node:zlib';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { ClickHouseLogLevel, createClient, type ClickHouseClient } from '@clickhouse/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestStore, type TestStore } from '../start-test-store.js';

let test: TestStore;
let client: ClickHouseClient;
beforeAll(async () => {
  test = await startTestStore();
  const { url, username, password, database } = test.server;
  client = createClient({ url, username, password, database, log: { level: ClickHouseLogLevel.OFF } });
  const columns = 'id UInt64, name String, at DateTime64(3), amount Decimal(18, 4)';
  await client.command({ query: `CREATE TABLE things (${columns}) ENGINE = MergeTree ORDER BY id` });
});
afterAll(async () => {
  await client.close();
  await test.stop();
});

const things = async () =>
  (await client.query({ query: 'SELECT * FROM things ORDER BY id', format: 'JSONEachRow' })).json();
const empty = () => client.command({ query: 'TRUNCATE TABLE things' });

interface Request {
  parameters?: Record<string, string>;
  body?: string | Buffer;
  headers?: Record<string, string>;
  user?: { username: string; password: string };
  method?: string;
}

async function request(options: Request): Promise<Response> {
  const address = new URL(test.server.url);
  for (const [name, value] of Object.entries(options.parameters ?? {})) address.searchParams.set(name, value);
  const { username, password } = options.user ?? test.server;
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const body = options.body === undefined ? {} : { body: new Uint8Array(Buffer.from(options.body)) };
  return fetch(address, {
    method: options.method ?? 'POST',
    headers: { authorization, 'x-clickhouse-database': 'poolmeter', ...options.headers },
    ...body,
  });
}

describe('@clickhouse/client', () => {
  it('inserts JSONEachRow and reads it back', async () => {
    await empty();
    const row = {
      id: '18446744073709551615',
      name: 'a\tb\n\n"ü\\',
      at: '2026-03-01 10:00:00.250',
      amount: '0.1000',
    };
    await client.insert({ table: 'things', values: [row], format: 'JSONEachRow' });
    const settings = {
      output_format_json_quote_64bit_integers: 1,
      output_format_json_quote_decimals: 1,
    } as const;
    const read = await client.query({
      query: 'SELECT id, name, at, amount FROM things',
      format: 'JSONEachRow',
      clickhouse_settings: settings,
    });
    expect(await read.json()).toEqual([{ ...row, amount: '0.1' }]);
  });

  it('inserts a stream of CSV, and RowBinary that holds what looks like the end of a statement', async () => {
    await empty();
    const csv = '1,"x\n\ny",2026-03-01 10:00:00.000,1.5\n';
    await client.insert({
      table: 'things',
      values: Readable.from([csv], { objectMode: false }),
      format: 'CSV',
    });
    const name = Buffer.from('\n\n; DROP TABLE things; ');
    const row = Buffer.alloc(8 + 1 + name.length + 16);
    row.writeBigUInt64LE(2n, 0);
    row.writeUInt8(name.length, 8);
    name.copy(row, 9);
    const values = Readable.from([row], { objectMode: false });
    const inserted = await client.exec({ query: 'INSERT INTO things FORMAT RowBinary', values });
    await inserted.stream.toArray();
    expect(await things()).toMatchObject([{ name: 'x\n\ny' }, { name: '\n\n; DROP TABLE things; ' }]);
  });

  it('passes parameters of every kind unharmed', async () => {
    const query_params = {
      text: "it's \\ \n\t 'quoted'",
      big: '18446744073709551615',
      list: ['a', "b'"],
      none: null,
      yes: true,
      at: new Date(Date.UTC(2026, 2, 1, 10, 0, 0, 250)),
    };
    const read = await client.query({
      query:
        'SELECT {text:String} AS text, toString({big:UInt64}) AS big, {list:Array(String)} AS list, {none:Nullable(String)} AS none, {yes:Bool} AS yes, toUnixTimestamp64Milli({at:DateTime64(3)}) AS at',
      format: 'JSONEachRow',
      query_params,
      clickhouse_settings: { output_format_json_quote_64bit_integers: 0 },
    });
    expect(await read.json()).toEqual([{ ...query_params, at: query_params.at.getTime() }]);
  });

  it('passes long parameters in a multipart body', async () => {
    const long = 'x'.repeat(300_000);
    const read = await client.query({
      query: 'SELECT length({long:String}) AS length',
      format: 'JSONEachRow',
      query_params: { long },
      use_multipart_params: true,
      clickhouse_settings: { output_format_json_quote_64bit_integers: 0 },
    });
    expect(await read.json()).toEqual([{ length: 300_000 }]);
  });

  it('compresses both ways', async () => {
    await empty();
    const { url, username, password, database } = test.server;
    const compressing = createClient({
      url,
      username,
      password,
      database,
      compression: { request: true, response: true },
    });
    const values = [{ id: '7', name: 'z'.repeat(10_000), at: '2026-03-01 10:00:00', amount: '1' }];
    await compressing.insert({ table: 'things', values, format: 'JSONEachRow' });
    const streamed = await compressing.query({ query: 'SELECT name FROM things', format: 'JSONEachRow' });
    expect(await streamed.json()).toEqual([{ name: 'z'.repeat(10_000) }]);
    const whole = await compressing.query({ query: 'SELECT name FROM things', format: 'JSON' });
    expect((await whole.json()).data).toEqual([{ name: 'z'.repeat(10_000) }]);
    await compressing.close();
  });

  it('gets the error code of a bad statement, and of rows that do not fit', async () => {
    await expect(client.query({ query: 'SELECT * FROM nothing' })).rejects.toMatchObject({ code: '60' });
    const values = [{ id: 'not a number' }];
    await expect(client.insert({ table: 'things', values, format: 'JSONEachRow' })).rejects.toMatchObject({
      code: '27',
    });
  });

  it('gets the real error when it happens in the middle of the answer', async () => {
    const read = await client.query({
      query:
        'SELECT throwIf(number = 300000) FROM numbers(1000000) SETTINGS max_threads = 1, max_block_size = 1000',
      format: 'JSONEachRow',
    });
    await expect(read.json()).rejects.toMatchObject({ code: '395' });
  });

  it('keeps temporary tables within a session', async () => {
    const session = { session_id: 'session-1' };
    await client.command({ query: 'CREATE TEMPORARY TABLE mine (a UInt8)', ...session });
    await client.insert({ table: 'mine', values: [{ a: 1 }], format: 'JSONEachRow', ...session });
    const read = await client.query({ query: 'SELECT a FROM mine', format: 'JSONEachRow', ...session });
    expect(await read.json()).toEqual([{ a: 1 }]);
    await expect(client.query({ query: 'SELECT a FROM mine' })).rejects.toMatchObject({ code: '60' });
  });

  it('has its query ended in the engine when it goes away', async () => {
    const leave = new AbortController();
    const query = 'SELECT count() FROM numbers_mt(100000000000) WHERE NOT ignore(sipHash64(number))';
    const running = async () => {
      const read = await client.query({
        query: `SELECT count() AS n FROM system.processes WHERE query LIKE '%numbers_mt(1000%' AND query NOT LIKE '%system.processes%'`,
        format: 'JSONEachRow',
      });
      return Number((await read.json<{ n: string }>())[0]?.n);
    };
    const asked = client.query({ query, abort_signal: leave.signal }).then(
      () => 'answered',
      () => 'ended',
    );
    await expect.poll(running, { timeout: 5_000 }).toBe(1);
    leave.abort();
    expect(await asked).toBe('ended');
    await expect.poll(running, { timeout: 5_000 }).toBe(0);
  });

  it('runs many queries at once, each with its own parameters', async () => {
    const asked = Array.from({ length: 60 }, async (_, index) => {
      const read = await client.query({
        query: 'SELECT {n:UInt32} AS n, sleep(0.01) AS s',
        format: 'JSONEachRow',
        query_params: { n: index },
      });
      return (await read.json<{ n: number }>())[0]?.n;
    });
    expect(await Promise.all(asked)).toEqual(Array.from({ length: 60 }, (_, index) => index));
  });
});

describe('plain requests', () => {
  it('answers a ping without credentials and refuses everything else without them', async () => {
    expect(await (await fetch(`${test.server.url}/ping`)).text()).toBe('Ok.\n');
    const refused = await request({ body: 'SELECT 1', user: { username: 'default', password: 'wrong' } });
    expect([refused.status, refused.headers.get('x-clickhouse-exception-code')]).toEqual([403, '516']);
    expect(await refused.text()).toMatch(/^Code: 516\. DB::Exception: /);
    expect((await fetch(`${test.server.url}/nowhere`)).status).toBe(404);
  });

  it('takes credentials as headers and as parameters', async () => {
    const { username, password, url } = test.server;
    const byHeader = await fetch(url, {
      method: 'POST',
      body: 'SELECT 1',
      headers: { 'x-clickhouse-user': username, 'x-clickhouse-key': password },
    });
    const byParameter = await fetch(`${url}/?user=${username}&password=${password}&query=SELECT%201`);
    expect([await byHeader.text(), await byParameter.text()]).toEqual(['1\n', '1\n']);
  });

  it('only reads by GET', async () => {
    const read = await request({ method: 'GET', parameters: { query: 'SELECT 2' } });
    expect(await read.text()).toBe('2\n');
    const written = await request({ method: 'GET', parameters: { query: 'TRUNCATE TABLE things' } });
    expect([written.status, await written.text()]).toEqual([500, expect.stringContaining('Code: 164')]);
  });

  it('stores rows that stand in the statement, past a blank line', async () => {
    await empty();
    const at = "'2026-03-01 10:00:00.000'";
    await request({ body: `INSERT INTO things VALUES (1, 'a', ${at}, 1),\n\n(2, 'b\n\nc', ${at}, 2);` });
    await request({ body: 'INSERT INTO things FORMAT TSV\n3\td\t2026-03-01 10:00:00\t1\n' });
    expect(await things()).toMatchObject([{ name: 'a' }, { name: 'b\n\nc' }, { name: 'd' }]);
  });

  it('refuses two statements, files of the machine, and input()', async () => {
    const statements = [
      'SELECT 1; SELECT 2',
      "SELECT 1 INTO OUTFILE '/tmp/x'",
      "INSERT INTO things SELECT * FROM input('id UInt64')",
    ];
    const answers = await Promise.all(statements.map((body) => request({ body })));
    expect(answers.map((answer) => answer.status)).toEqual([400, 501, 501]);
  });

  it('says which encoding it does not understand, and when a body is damaged', async () => {
    const unknown = await request({ body: 'SELECT 1', headers: { 'content-encoding': 'zstd' } });
    expect(unknown.status).toBe(501);
    const damaged = await request({ body: 'no gzip', headers: { 'content-encoding': 'gzip' } });
    expect(await damaged.text()).toMatch(/damaged/);
    const fine = await request({ body: gzipSync('SELECT 3'), headers: { 'content-encoding': 'gzip' } });
    expect(await fine.text()).toBe('3\n');
  });

  it('answers clickhouse-go: its hello by hand, the rest as the engine writes Native', async () => {
    const parameters = { client_protocol_version: '54460', default_format: 'Native', database: 'poolmeter' };
    const hello = await request({
      body: 'SELECT displayName(), version(), revision(), timezone()',
      parameters,
    });
    const block = Buffer.from(await hello.arrayBuffer());
    expect(block.subarray(0, 10).toString('hex')).toBe('010002ffffffff000401');
    const one = await request({ body: 'SELECT 1', parameters, headers: { 'accept-encoding': 'gzip' } });
    expect(one.headers.get('content-encoding')).toBeNull();
    expect(Buffer.from(await one.arrayBuffer()).toString('latin1')).toContain('\u00011\u0005UInt8\u0001');
  });

  it('compresses when the setting asks for it', async () => {
    const parameters = { enable_http_compression: '1', default_format: 'JSON', query: 'SELECT 4 AS x' };
    const address = new URL(test.server.url);
    for (const [name, value] of Object.entries(parameters)) address.searchParams.set(name, value);
    const { get } = await import('node:http');
    const authorization = `Basic ${Buffer.from(`${test.server.username}:${test.server.password}`).toString('base64')}`;
    const body = await new Promise<Buffer>((resolve, reject) => {
      get(address, { headers: { authorization, 'accept-encoding': 'gzip' } }, (response) => {
        expect(response.headers['content-encoding']).toBe('gzip');
        response.toArray().then((chunks) => resolve(Buffer.concat(chunks as Buffer[])), reject);
      }).on('error', reject);
    });
    expect(gunzipSync(body).toString()).toContain('"x": 4');
  });
});

describe('the reader', () => {
  const ask = (body: string, parameters: Record<string, string> = {}) =>
    request({ body, parameters, user: test.server.reader });

  it('reads tables', async () => {
    expect(await (await ask('SELECT count() FROM gpu_latest', { max_execution_time: '64' })).text()).toBe(
      '0\n',
    );
  });

  it.each([
    ['INSERT INTO things VALUES (1)', '164'],
    ['DROP TABLE things', '164'],
    ['CREATE TEMPORARY TABLE mine (a UInt8)', '164'],
    ["SELECT * FROM file('/etc/passwd', 'LineAsString')", '497'],
    ["SELECT file('/etc/passwd')", '497'],
    ["SELECT * FROM url('http://127.0.0.1/', 'LineAsString')", '497'],
    ['SELECT 1 SETTINGS max_threads = 64', '164'],
  ])('is refused: %s', async (sql, code) => {
    const answer = await ask(sql);
    expect(answer.headers.get('x-clickhouse-exception-code')).toBe(code);
  });

  it('may not lift its limits', async () => {
    const answer = await ask('SELECT 1', { max_insert_threads: '64' });
    expect(answer.headers.get('x-clickhouse-exception-code')).toBe('164');
  });
});

it('the query log names the user, the agent, the comment and the fault of each query', async () => {
  await request({
    body: 'SELECT 42 AS answer FROM nowhere',
    parameters: { log_comment: 'panel-7' },
    headers: { 'user-agent': 'Grafana/12 grafana_panel/7' },
    user: test.server.reader,
  });
  const found = async () => {
    const lines = (await readFile(join(test.dataDir, 'query-log.jsonl'), 'utf8')).trim().split('\n');
    return lines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .find((line) => line['log_comment'] === 'panel-7');
  };
  await expect.poll(found, { timeout: 5_000 }).toMatchObject({
    user: 'grafana_reader',
    http_user_agent: 'Grafana/12 grafana_panel/7',
    query: 'SELECT 42 AS answer FROM nowhere',
    exception_code: 60,
  });
});
