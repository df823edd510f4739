import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isPoolmeterError } from '@poolmeter/domain';
import { encodeSampleRows } from '@poolmeter/telemetry-schema';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { column } from './column.js';
import { defineQuery } from './define-query.js';
import { startEmbeddedClickHouse } from './embedded-clickhouse.js';
import { migrateMetricsStore } from './migrate.js';
import type { MetricsStore } from './metrics-store.js';
import { isProcessAlive } from './process-alive.js';
import { sampleAt, TEN_O_CLOCK_MS } from './sample-rows.js';
import { openStoreOn, silentLogger } from './start-test-store.js';
import { gpuSamplesInsert } from './tables.js';

let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'poolmeter-embedded-'));
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

const start = (port = 0, path = dataDir) =>
  startEmbeddedClickHouse({ dataDir: path, logger: silentLogger, port });

const batches = defineQuery({
  name: 'stored-batches',
  sql: `
    SELECT raw.gpu_uuid AS gpu_uuid, raw.rows AS raw, minutes.rows AS minutes, hours.rows AS hours
    FROM (SELECT gpu_uuid, count() AS rows FROM gpu_samples GROUP BY gpu_uuid) AS raw
    LEFT JOIN (SELECT gpu_uuid, sum(sample_count) AS rows FROM gpu_samples_1m GROUP BY gpu_uuid) AS minutes USING gpu_uuid
    LEFT JOIN (SELECT gpu_uuid, sum(sample_count) AS rows FROM gpu_samples_1h GROUP BY gpu_uuid) AS hours USING gpu_uuid
  `,
  params: z.object({}),
  row: z.object({
    gpu_uuid: column.text,
    raw: column.wideInteger,
    minutes: column.wideInteger,
    hours: column.wideInteger,
  }),
});

const ROWS_PER_BATCH = 2_000;

/** One GPU per batch, so that a batch can be found again; over two days, so that one insert makes two parts. */
function batchOf(index: number): Buffer {
  const from = TEN_O_CLOCK_MS - (ROWS_PER_BATCH / 2) * 10_000 - 10 * 3_600_000;
  return encodeSampleRows(
    Array.from({ length: ROWS_PER_BATCH }, (_, row) =>
      sampleAt(from + row * 10_000, { gpuUuid: `GPU-${index}` }),
    ),
  );
}

/** Sends a batch with its token until it is acknowledged. */
async function insertUntilStored(store: MetricsStore, index: number): Promise<number> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await store.insert({ ...gpuSamplesInsert, values: batchOf(index), token: `samples:0:${index}` });
      return attempt;
    } catch (fault) {
      if (!isPoolmeterError(fault) || !fault.retriable) throw fault;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

describe('the embedded ClickHouse', () => {
  it('keeps its data and its credentials over a restart and stops within 3 s', async () => {
    const first = await start();
    const store = openStoreOn(first);
    await migrateMetricsStore(store);
    await insertUntilStored(store, 1);
    await store.close();
    const from = performance.now();
    await first.stop();
    expect(performance.now() - from).toBeLessThan(3_000);
    expect(isProcessAlive(first.pid)).toBe(false);

    const second = await start();
    expect([second.password, second.reader]).toEqual([first.password, first.reader]);
    const again = openStoreOn(second);
    expect(await again.query(batches, {})).toMatchObject([{ raw: ROWS_PER_BATCH }]);
    await again.close();
    await second.stop();
  });

  it('is started again on its port when it is killed; no acknowledged batch is lost, none is stored twice', async () => {
    const server = await start();
    const store = openStoreOn(server);
    await migrateMetricsStore(store);
    const pids = new Set<number>();
    const killing = (async () => {
      for (let kill = 0; kill < 3; kill += 1) {
        await new Promise((resolve) => setTimeout(resolve, 350 + kill * 37));
        pids.add(server.pid);
        process.kill(server.pid, 'SIGKILL');
        await expect.poll(() => pids.has(server.pid), { timeout: 10_000, interval: 10 }).toBe(false);
      }
    })();
    const state = { killed: false };
    void killing.then(() => (state.killed = true));
    const attempts: number[] = [];
    for (let index = 0; !state.killed || index < 10; index += 1)
      attempts.push(await insertUntilStored(store, index));
    await killing;
    const stored = await store.query(batches, {});
    const exact = { raw: ROWS_PER_BATCH, minutes: ROWS_PER_BATCH, hours: ROWS_PER_BATCH };
    expect(stored).toHaveLength(attempts.length);
    expect(
      stored.filter(
        (row) => row.raw !== exact.raw || row.minutes !== exact.minutes || row.hours !== exact.hours,
      ),
    ).toEqual([]);
    expect(pids.size).toBe(3);
    expect(Math.max(...attempts)).toBeGreaterThan(1);
    expect(await readdir(join(dataDir, 'spool'))).toEqual([]);
    await store.close();
    await server.stop();
  });

  it('refuses a folder that another process holds, and says which', async () => {
    const first = await start();
    await expect(start()).rejects.toMatchObject({
      code: 'storage.locked',
      details: { pid: first.pid, parentPid: process.pid },
    });
    const store = openStoreOn(first);
    await store.ping();
    await store.close();
    await first.stop();
  });

  it('says when its port is taken', async () => {
    const other = createServer();
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    await expect(start(port)).rejects.toMatchObject({ code: 'port.in_use', details: { port } });
    other.close();
  });

  it('says when its folder cannot be used', async () => {
    const file = join(dataDir, 'a-file');
    await writeFile(file, '');
    await expect(start(0, file)).rejects.toMatchObject({ code: 'config.invalid' });
    await mkdir(join(dataDir, 'damaged'));
    await writeFile(join(dataDir, 'damaged', 'credentials.json'), '{"default":');
    await expect(start(0, join(dataDir, 'damaged'))).rejects.toMatchObject({ code: 'storage.corrupt' });
  });

  it('ends when its parent was killed, and the folder can be taken over at once', async () => {
    const script = `
      const { startEmbeddedClickHouse } = await import(${JSON.stringify(built('embedded-clickhouse.js'))});
      const { silentLogger } = await import(${JSON.stringify(built('start-test-store.js'))});
      const server = await startEmbeddedClickHouse({ dataDir: ${JSON.stringify(dataDir)}, logger: silentLogger });
      console.log(server.pid);
    `;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [printed] = (await once(parent.stdout, 'data')) as [Buffer];
    const orphan = Number(printed.toString());
    parent.kill('SIGKILL');
    await once(parent, 'exit');
    const server = await start();
    expect(isProcessAlive(orphan)).toBe(false);
    await server.stop();
  });
});

function built(name: string): string {
  return fileURLToPath(new URL(`../dist/${name}`, import.meta.url));
}
