import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { problem, serveAnswers, type Answer, type ApiStandIn } from './api-stand-in.js';
import { runRecorded } from './run-recorded.js';

const gpu = (index: number, more: object = {}) => ({
  gpu_uuid: `GPU-${index}`,
  gpu_index: index,
  gpu_model: 'NVIDIA H100 80GB HBM3',
  node: 'gpu-1',
  pool: 'main',
  provider_id: 'north',
  state: 'healthy',
  lease: null,
  latest: { ts: '2026-03-01T00:00:00Z', gpu_util_ratio: 0.5, power_watts: 400, temperature_celsius: 60 },
  ...more,
});

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

describe('lists', () => {
  const pages = (url: URL): Answer => {
    const from = Number(url.searchParams.get('cursor') ?? '0');
    const limit = Number(url.searchParams.get('limit'));
    const data = Array.from({ length: Math.min(limit, 2_500 - from) }, (_, index) => gpu(from + index));
    const next = from + data.length;
    return { body: { data, next_cursor: next < 2_500 ? String(next) : null } };
  };

  it('stop right after --limit rows, over several pages', async () => {
    const run = await against({ 'GET /v1/gpus': pages }, [
      'gpus',
      'list',
      '--limit',
      '2100',
      '--node',
      'gpu-1',
      '--json',
    ]);
    const { data, next_cursor } = JSON.parse(run.stdout) as {
      data: { gpu_index: number }[];
      next_cursor: string;
    };
    expect(data.map((row) => row.gpu_index)).toEqual(Array.from({ length: 2_100 }, (_, index) => index));
    expect(next_cursor).toBe('2100');
    expect(run.stderr).toBe('');
    expect(api?.seen.map((one) => one.path)).toEqual([
      '/v1/gpus?node=gpu-1&limit=1000',
      '/v1/gpus?node=gpu-1&cursor=1000&limit=1000',
      '/v1/gpus?node=gpu-1&cursor=2000&limit=100',
    ]);
  });

  it('say on stderr that there is more, and keep stdout to the table', async () => {
    const run = await against({ 'GET /v1/gpus': pages }, ['gpus', 'list', '--limit', '2']);
    const lines = run.stdout.trimEnd().split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[0]?.split(/\s{2,}/).slice(0, 3)).toEqual(['node', 'gpu_index', 'gpu_uuid']);
    expect(run.stderr).toContain('--cursor 2');
  });

  it('are plain in a pipe and bordered on a terminal', async () => {
    const answers = { 'GET /v1/gpus': { body: { data: [gpu(0)], next_cursor: null } } };
    const plain = await against(answers, ['gpus', 'list']);

    expect(plain.stdout).not.toMatch(/[\u001b│┌]/);
    await api?.close();
    expect((await against(answers, ['gpus', 'list'], true)).stdout).toContain('│');
  });

  it('never pass on what a terminal would obey', async () => {
    const row = gpu(0, { node: 'gpu-1\u001b[2J\nx' });
    const run = await against({ 'GET /v1/gpus': { body: { data: [row], next_cursor: null } } }, [
      'gpus',
      'list',
    ]);
    expect(run.stdout).not.toContain('\u001b');
  });

  it('ask nothing about pages where the API answers the whole list', async () => {
    await against({ 'GET /v1/tokens': { body: { data: [], next_cursor: null } } }, ['tokens', 'list']);
    expect(api?.seen[0]?.path).toBe('/v1/tokens');
  });
});

describe('status and top', () => {
  const answers = {
    'GET /v1/gpus': { body: { data: [gpu(0), gpu(1, { state: 'faulty' })], next_cursor: null } },
    'GET /v1/incidents': (url: URL): Answer => ({
      body: {
        data:
          url.searchParams.get('status') === 'open'
            ? [{ id: 'inc1', code: 'xid-79', status: 'open', opened_at: 'x' }]
            : [],
        next_cursor: null,
      },
    }),
    'GET /v1/invoices': problem(403, 'forbidden', 'no'),
    'GET /v1/decisions': { body: { data: [], next_cursor: null } },
  };

  it('sum the pool up and say what the token may not see', async () => {
    const run = await against(answers, ['status']);
    expect(run.exitCode).toBe(0);
    expect(run.stdout).toContain('2 (1 healthy, 1 faulty)');
    expect(run.stdout).toContain('1 unresolved');
    expect(run.stdout).toMatch(/Invoice +not visible to this token/);
    expect(run.stdout).toMatch(/Decision +none yet/);
  });

  it('--json has the same for programs', async () => {
    const run = await against(answers, ['status', '--json']);
    expect(JSON.parse(run.stdout)).toMatchObject({
      gpus: { total: 2, by_state: { healthy: 1, faulty: 1 } },
      freshness: { newest_sample_at: '2026-03-01T00:00:00Z' },
      not_visible_to_this_token: ['invoices'],
    });
  });

  it('top prints once where there is no terminal', async () => {
    const run = await against(answers, ['top']);
    expect(run.stdout).toContain('GPUs by power');
    expect(run.stdout).not.toContain('\u001b');
  });
});

describe('doctor', () => {
  it('is content with an API that is ready', async () => {
    const run = await against({ 'GET /readyz': { body: { status: 'ready' } } }, ['doctor', '--json']);
    expect(run).toMatchObject({ exitCode: 0, stderr: '' });
    expect(JSON.parse(run.stdout)).toMatchObject({ ok: true });
  });

  it('tells every fault with its remedy and ends with 1', async () => {
    const checks = [{ name: 'ClickHouse', status: 'failed', message: 'refused' }];
    api = await serveAnswers({ 'GET /readyz': { status: 503, body: { checks } } });
    const env = { POOLMETER_URL: api.url, POOLMETER_TOKEN: 'pm_x', POOLMETER_PIPELINE_OPS_PORT: 'x' };
    const run = await runRecorded(['doctor', '--json'], { env });
    expect(run.exitCode).toBe(1);
    const { checks: found } = JSON.parse(run.stdout) as {
      checks: { check: string; ok: boolean; found: string; mend: string }[];
    };
    expect(found.map((one) => [one.check, one.ok])).toEqual([
      ['API', false],
      ['pipeline settings', false],
    ]);
    expect(found[0]?.found).toContain('ClickHouse: refused');
    expect(found[1]?.found).toContain('POOLMETER_PIPELINE_CLICKHOUSE_URL');
    expect(found.every((one) => one.mend.length > 0)).toBe(true);
  });

  it('an empty folder is a fault, not a silence', async () => {
    const run = await runRecorded(['doctor', '--data-dir', folder]);
    expect(run.exitCode).toBe(1);
    expect(run.stdout).toContain('There is no endpoint.json');
  });
});
