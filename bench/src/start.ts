/**
 * From `poolmeter up` on an empty folder to its "ready" line, and from a scrape's stamp to the row that a reader gets,
 * while the back-fill goes on behind.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { openMetricsStore, type MetricsStore } from '@poolmeter/metrics-store';
import { readEndpoint } from 'poolmeter';
import type { Figures } from './bench.js';
import { median } from './median.js';

const COMMAND = fileURLToPath(new URL('../../cli/bin/poolmeter.mjs', import.meta.url));
const RUNS = 3;
const READY_LIMIT_MS = 60_000;
const SCRAPES_SEEN = 40;
const POLL_MS = 25;

export async function benchStart(): Promise<Figures> {
  const runs = [];
  for (let run = 0; run < RUNS; run += 1) runs.push(await oneStart());
  return {
    ready_ms: median(runs.map((one) => one.readyMs)),
    sample_visible_ms: median(runs.map((one) => one.visibleMs)),
    stop_ms: median(runs.map((one) => one.stopMs)),
  };
}

async function oneStart(): Promise<{ readyMs: number; visibleMs: number; stopMs: number }> {
  const dataDir = await mkdtemp(join(tmpdir(), 'poolmeter-bench-'));
  const from = performance.now();
  const child = spawn(process.execPath, [COMMAND, 'up', '--data-dir', dataDir, '--port', '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await untilReady(child);
    const readyMs = performance.now() - from;
    const visibleMs = await worstVisibleMs(dataDir);
    const stopping = performance.now();
    child.kill('SIGTERM');
    await once(child, 'exit');
    return { readyMs, visibleMs, stopMs: performance.now() - stopping };
  } finally {
    if (child.exitCode === null) child.kill('SIGKILL');
    await rm(dataDir, { recursive: true, force: true });
  }
}

async function untilReady(child: ChildProcess): Promise<void> {
  if (child.stdout === null) throw new Error('The child has no output.');
  const timer = setTimeout(() => child.kill('SIGKILL'), READY_LIMIT_MS);
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith('poolmeter is ready at ')) continue;
    clearTimeout(timer);
    return;
  }
  throw new Error('poolmeter ended before it was ready.');
}

/** 95th percentile of the wait over the scrapes of the first half minute. */
async function worstVisibleMs(dataDir: string): Promise<number> {
  const endpoint = await readEndpoint(dataDir);
  if (endpoint === undefined) throw new Error('There is no endpoint file.');
  const store = openMetricsStore({ url: endpoint.clickhouse.url, applicationName: 'bench' });
  try {
    return await watchScrapes(store);
  } finally {
    await store.close();
  }
}

async function watchScrapes(store: MetricsStore): Promise<number> {
  const newest = new Map<string, number>();
  const waits: number[] = [];
  const startedAt = Date.now();
  while (waits.length < SCRAPES_SEEN) {
    const { rows } = await store.select(
      'SELECT node, toUnixTimestamp64Milli(max(ts)) AS at FROM poolmeter.gpu_latest WHERE ts > now() - INTERVAL 5 MINUTE GROUP BY node',
      { name: 'bench.start', maxRows: 1_000 },
    );
    const now = Date.now();
    for (const row of rows) {
      const [node, at] = [String(row[0]), Number(row[1])];
      if (at > startedAt && at > (newest.get(node) ?? 0)) {
        newest.set(node, at);
        waits.push(now - at);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  waits.sort((a, b) => a - b);
  return waits[Math.floor(waits.length * 0.95)] ?? Number.NaN;
}
