import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { problem, serveAnswers, type Answer, type ApiStandIn } from './api-stand-in.js';
import { runRecorded } from './run-recorded.js';

let folder: string;
let api: ApiStandIn | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'poolmeter-cli-'));
});

afterEach(async () => {
  await api?.close();
  api = undefined;
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

async function against(
  answers: Readonly<Record<string, Answer | ((url: URL) => Answer)>>,
  args: readonly string[],
  isTerminal = false,
) {
  api = await serveAnswers(answers);
  return runRecorded(args, { env: { POOLMETER_URL: api.url, POOLMETER_TOKEN: 'pm_test' }, isTerminal });
}

const oneSentence = /^[^\n]+\.\n$/;

describe('wrong usage ends with 2 and one sentence on stderr', () => {
  it.each([
    [['gpu'], 'Unknown command \'gpu\' (did you mean gpus?): see "poolmeter --help".'],
    [['gpus', 'lst'], 'Unknown command \'lst\' (did you mean list?): see "poolmeter gpus --help".'],
    [
      ['gpus', 'list', '--nod', 'x'],
      'Unknown option \'--nod\' (did you mean --node?): see "poolmeter gpus --help".',
    ],
    [['gpus'], 'Say what to do with gpus: list, show.'],
    [['gpus', 'show'], 'Missing required argument \'id\': see "poolmeter gpus --help".'],
    [['gpus', 'list', '--limit', '1e3'], '--limit must be a whole number above 0, not "1e3".'],
    [
      ['export', 'focus', '--from', 'a', '--to', 'b'],
      "Command-argument value 'focus' is invalid for argument 'format'. Allowed choices are csv: see \"poolmeter export --help\".",
    ],
    [['tokens', 'create', '--name', 'x'], 'Give at least one --scope, such as --scope invoices:read.'],
    [['migrate'], 'There is nothing to migrate: give --clickhouse URL, --postgres URL or both.'],
  ])('%j', async (args, sentence) => {
    const run = await runRecorded(args, {
      env: { POOLMETER_URL: 'http://127.0.0.1:9', POOLMETER_TOKEN: 'pm_x' },
    });
    expect(run).toEqual({ exitCode: 2, stdout: '', stderr: `${sentence}\n` });
  });

  it('names every wrong flag of "up" at once', async () => {
    const run = await runRecorded([
      'up',
      '--port',
      '99999',
      '--scrape-interval',
      '10',
      '--kafka',
      'broker',
      '--postgres',
      'x',
    ]);
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toMatch(oneSentence);
    for (const flag of ['--port', '--scrape-interval', '--kafka', '--postgres'])
      expect(run.stderr).toContain(flag);
  });

  it('names every fault of a role’s configuration at once', async () => {
    const env = { POOLMETER_PIPELINE_FLUSH_ROWS: 'many', POOLMETER_PIPELINE_OPS_PROT: '1' };
    const run = await runRecorded(['pipeline', '--check-config'], { env });
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toMatch(oneSentence);
    for (const name of ['FLUSH_ROWS', 'OPS_PROT', 'CLICKHOUSE_URL']) expect(run.stderr).toContain(name);
  });
});

describe('--check-config', () => {
  it('prints the settings with secrets masked; a variable wins over the file', async () => {
    const file = join(folder, 'pipeline.yaml');
    await writeFile(file, 'clickhouseUrl: http://127.0.0.1:8123\nclickhousePassword: s3cret\nopsPort: 1\n');
    const run = await runRecorded(['pipeline', '--config', file, '--check-config'], {
      env: { POOLMETER_PIPELINE_OPS_PORT: '2' },
    });
    expect(run.stderr).toBe('');
    expect(run.stdout).not.toContain('s3cret');
    expect(JSON.parse(run.stdout)).toMatchObject({ clickhouseUrl: 'http://127.0.0.1:8123', opsPort: 2 });
    expect(run.exitCode).toBe(0);
  });
});

describe('where the API is', () => {
  it('an unreachable one ends with 3', async () => {
    const run = await runRecorded(['gpus', 'list'], {
      env: { POOLMETER_URL: 'http://127.0.0.1:9', POOLMETER_TOKEN: 'pm_x' },
    });
    expect(run).toMatchObject({ exitCode: 3, stdout: '' });
    expect(run.stderr).toMatch(oneSentence);
    expect(run.stderr).toContain('cannot be reached at http://127.0.0.1:9');
  });

  it('no endpoint file ends with 3 and says what to do', async () => {
    const run = await runRecorded(['gpus', 'list', '--data-dir', folder]);
    expect(run).toMatchObject({ exitCode: 3, stdout: '' });
    expect(run.stderr).toContain('start one with "poolmeter up"');
  });

  it('half of the environment is refused', async () => {
    const run = await runRecorded(['gpus', 'list'], { env: { POOLMETER_URL: 'http://127.0.0.1:9' } });
    expect(run).toEqual({
      exitCode: 2,
      stdout: '',
      stderr: 'POOLMETER_URL is set and POOLMETER_TOKEN is not: set both or neither.\n',
    });
  });

  it.each(['{', '{"url":"nowhere"}', ''])(
    'a damaged endpoint file (%j) is told apart from none',
    async (text) => {
      const damaged = await mkdtemp(join(folder, 'damaged-'));
      await writeFile(join(damaged, 'endpoint.json'), text);
      const run = await runRecorded(['gpus', 'list', '--data-dir', damaged]);
      expect(run.exitCode).toBe(3);
      expect(run.stderr).toContain('endpoint.json is damaged');
    },
  );

  it('endpoint.json of the data folder is enough', async () => {
    const running = await mkdtemp(join(folder, 'running-'));
    api = await serveAnswers({
      'GET /v1/gpus': { body: { data: [{ gpu_uuid: 'GPU-0' }], next_cursor: null } },
    });
    const clickhouse = { url: 'http://127.0.0.1:9', database: 'poolmeter' };
    const endpoint = {
      url: api.url,
      token: 'pm_file',
      clickhouse,
      postgres: 'postgres://x',
      pid: process.pid,
    };
    await writeFile(join(running, 'endpoint.json'), JSON.stringify(endpoint));
    expect(await runRecorded(['gpus', 'list', '--data-dir', running])).toMatchObject({
      exitCode: 0,
      stderr: '',
    });
    expect(api.seen[0]?.authorization).toBe('Bearer pm_file');
  });
});

describe('answers of the API', () => {
  it.each([
    [
      problem(403, 'forbidden', 'This token lacks the scope gpus:read.'),
      2,
      'This token lacks the scope gpus:read.\n',
    ],
    [problem(404, 'not_found', 'There is no GPU x.'), 2, 'There is no GPU x.\n'],
    [
      problem(400, 'input.invalid', 'The input is wrong.', [
        { path: 'query.from', message: 'is no instant' },
      ]),
      2,
      'The input is wrong: query.from: is no instant.\n',
    ],
    [
      problem(503, 'dependency.unavailable', 'ClickHouse does not answer.'),
      3,
      'ClickHouse does not answer.\n',
    ],
    [{ status: 502, contentType: 'text/html', body: '<h1>Bad gateway</h1>' }, 3, '<h1>Bad gateway</h1>\n'],
  ])('%j', async (answer, exitCode, stderr) => {
    expect(await against({ 'GET /v1/gpus/x': answer }, ['gpus', 'show', 'x'])).toEqual({
      exitCode,
      stdout: '',
      stderr,
    });
  });

  it('show their stack only with --debug', async () => {
    const run = await against({}, ['gpus', 'show', 'x', '--debug']);
    expect(run.stderr).toContain('    at ');
  });
});
