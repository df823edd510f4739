import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { serveAnswers, type Answer, type ApiStandIn } from './api-stand-in.js';
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

describe('things that do not hold end with 1', () => {
  const verification = (match: boolean) => ({
    match,
    input_digest: 'd',
    recomputed_total: { amount: '1.00', currency: 'USD' },
    differences: match ? [] : [{ line_id: 'l1', field: 'amount', stored: '2', recomputed: '1' }],
  });
  const closed = (outcome: string) => ({
    data: [{ customer_id: 'acme', outcome, invoice: null, code: null, message: null }],
  });
  it.each([
    ['invoices verify i1', 'POST /v1/invoices/i1/verify', verification(true), 0],
    ['invoices verify i1', 'POST /v1/invoices/i1/verify', verification(false), 1],
    [
      'decisions replay d1',
      'POST /v1/decisions/d1/replay',
      { id: 'd1', identical: true, differences: [] },
      0,
    ],
    [
      'decisions replay d1',
      'POST /v1/decisions/d1/replay',
      { id: 'd1', identical: false, differences: [] },
      1,
    ],
    ['invoices finalize --period 2026-03', 'POST /v1/invoices/finalize', closed('finalized'), 0],
    ['invoices finalize --period 2026-03', 'POST /v1/invoices/finalize', closed('held'), 1],
    [
      'ledger check --period 2026-03',
      'GET /v1/reconciliation',
      { period: '2026-03', ok: true, checks: [] },
      0,
    ],
    [
      'ledger check --period 2026-03',
      'GET /v1/reconciliation',
      { period: '2026-03', ok: false, checks: [] },
      1,
    ],
  ])('%s, answered %#', async (line, route, body, exitCode) => {
    const run = await against({ [route]: { body } }, [...line.split(' '), '--json']);
    expect(run.exitCode).toBe(exitCode);
    expect(JSON.parse(run.stdout)).toEqual(body);
    if (exitCode === 1) expect(run.stderr).toMatch(oneSentence);
    else expect(run.stderr).toBe('');
  });
});

describe('leases', () => {
  const imported = { imported: 1, unchanged: 0, created_customers: ['acme'], created_providers: [] };
  const answer = {
    ...imported,
    rejected: [{ line: 3, reason: 'no gpu_uuid' }],
    rejected_csv: 'lease_id,reason\r\nb,no gpu_uuid\r\n',
  };

  it('import sends the file as it is, tells of new customers, and writes the bad rows beside it', async () => {
    const file = join(folder, 'leases.csv');
    await writeFile(file, 'lease_id\r\na\r\nb\r\n');
    const run = await against({ 'POST /v1/leases/import': { body: answer } }, [
      'leases',
      'import',
      file,
      '--skip-bad-rows',
    ]);
    expect(api?.seen[0]).toMatchObject({
      path: '/v1/leases/import?skip_bad_rows=true',
      contentType: 'text/csv',
      body: 'lease_id\r\na\r\nb\r\n',
    });
    expect(run.exitCode).toBe(0);
    expect(run.stdout).toContain('Created customers that were not known before: acme.');
    expect(run.stdout).toContain('line 3: no gpu_uuid');
    expect(await readFile(`${file}.rejected.csv`, 'utf8')).toBe(answer.rejected_csv);
  });

  it('export gives every label a column and leaves cancelled leases out', async () => {
    const lease = (id: string, more: object) => ({
      lease_id: id,
      state: 'ended',
      labels: {},
      share: '1',
      ended_at: null,
      ...more,
    });
    const data = [
      lease('a', { labels: { team: 'x' } }),
      lease('b', { state: 'cancelled' }),
      lease('c', { labels: { job: '7' } }),
    ];
    const run = await against({ 'GET /v1/leases': { body: { data, next_cursor: null } } }, [
      'leases',
      'export',
    ]);
    const rows = run.stdout
      .trimEnd()
      .split('\r\n')
      .map((line) => line.split(','));
    expect(rows[0]?.slice(-2)).toEqual(['job', 'team']);
    expect(rows.slice(1).map((row) => [row[0], ...row.slice(-2)])).toEqual([
      ['a', '', 'x'],
      ['c', '7', ''],
    ]);
    expect(run.stderr).toContain('1 cancelled');
  });
});

describe('prices apply', () => {
  it('sends the checked file, and tells the line of a fault without asking the API', async () => {
    const file = join(folder, 'prices.yaml');
    await writeFile(
      file,
      'currency: USD\neffective_from: 2026-01-01T00:00:00Z\nrates:\n  - {per_gpu_hour: 2.50}\n',
    );
    const wrong = await against({}, ['prices', 'apply', file]);
    expect(wrong.exitCode).toBe(2);
    expect(wrong.stderr).toContain('prices.yaml:4: rates.0.per_gpu_hour');
    expect(api?.seen).toEqual([]);
    await api?.close();
    await writeFile(
      file,
      'currency: USD\neffective_from: 2026-01-01T00:00:00Z\nrates:\n  - {per_gpu_hour: "2.50"}\n',
    );
    const right = await against({ 'POST /v1/prices': { body: { version: 1, outcome: 'created' } } }, [
      'prices',
      'apply',
      file,
    ]);
    expect(right.exitCode).toBe(0);
    expect(JSON.parse(api?.seen[0]?.body ?? '')).toMatchObject({
      currency: 'USD',
      rates: [{ per_gpu_hour: '2.50', pool: '*' }],
    });
  });
});

describe('dashboards', () => {
  it('check tells every difference and ends with 1, until build has written the files', async () => {
    const dir = await mkdtemp(join(folder, 'boards-'));
    const before = await runRecorded(['dashboards', 'check', '--dir', dir, '--json']);
    expect(before.exitCode).toBe(1);
    const { mismatches } = JSON.parse(before.stdout) as { mismatches: { file: string; reason: string }[] };
    expect(mismatches.length).toBeGreaterThan(0);
    expect(mismatches.every((one) => one.reason === 'is missing')).toBe(true);
    expect(await runRecorded(['dashboards', 'build', '--dir', dir])).toMatchObject({
      exitCode: 0,
      stderr: '',
    });
    expect(await runRecorded(['dashboards', 'check', '--dir', dir])).toMatchObject({
      exitCode: 0,
      stderr: '',
    });
    await writeFile(join(dir, mismatches[0]?.file ?? ''), '{}\n');
    const after = await runRecorded(['dashboards', 'check', '--dir', dir]);
    expect(after.exitCode).toBe(1);
    expect(after.stdout).toContain('differs in line 1');
  });
});
