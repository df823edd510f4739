import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openQueryLog, type QueryLogEntry } from './query-log.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'poolmeter-query-log-'));
});
afterEach(() => rm(directory, { recursive: true }));

const entry: QueryLogEntry = {
  startedAtMs: Date.UTC(2026, 2, 1),
  queryId: 'q-1',
  user: 'grafana_reader',
  userAgent: 'Grafana/12 grafana_dashboard/fleet',
  logComment: 'gpu-list',
  query: 'SELECT 1',
  durationMs: 12.34,
  readRows: 5,
  readBytes: 40,
  resultBytes: 2,
  exceptionCode: 0,
};

it('writes one JSON line per query, with who asked and what it cost', async () => {
  const path = join(directory, 'query-log.jsonl');
  const log = openQueryLog({
    path,
    maxFileBytes: 1_000_000,
    onFault: (fault) => expect(fault).toBeUndefined(),
  });
  log.write(entry);
  log.close();
  expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({
    event_time: '2026-03-01T00:00:00.000Z',
    user: 'grafana_reader',
    http_user_agent: 'Grafana/12 grafana_dashboard/fleet',
    log_comment: 'gpu-list',
    query_duration_ms: 12.3,
    read_rows: 5,
  });
});

it('keeps two files of bounded size', async () => {
  const path = join(directory, 'query-log.jsonl');
  const log = openQueryLog({ path, maxFileBytes: 10_000, onFault: (fault) => expect(fault).toBeUndefined() });
  for (let index = 0; index < 300; index += 1) {
    log.write({ ...entry, query: 'x'.repeat(5_000) });
    log.flush();
  }
  log.close();
  const sizes = await Promise.all([path, `${path}.1`].map(async (file) => (await stat(file)).size));
  expect(Math.max(...sizes)).toBeLessThan(13_000);
});
