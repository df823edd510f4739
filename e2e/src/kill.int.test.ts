/** kill -9 at random moments, of each process alone and of all at once: what was acknowledged is there, exactly once. */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '@poolmeter/domain';
import { createLogBus } from '@poolmeter/event-bus';
import { createLogger } from '@poolmeter/service';
import { decodeSampleBatchHeader, decodeSampleRows, topics } from '@poolmeter/telemetry-schema';
import { describe, expect, it, vi } from 'vitest';
import { askClickHouse } from './ask-clickhouse.js';
import { childrenOf, commandLineOf, descendantsOf, processesOf } from './process-tree.js';
import { newFolder, startUp, type RunningUp } from './running-up.js';

const linux = existsSync('/proc/self/task');
if (!linux) console.log('Skipped: the processes to kill are found through /proc, which is not here.');

const DEMO = ['--demo', '--scrape-interval', '1s'];
const STOP_LIMIT_MS = 10_000;
const VICTIMS = ['clickhouse', 'postgres', 'all', 'postgres', 'up', 'clickhouse'] as const;
/** Leases per request; each of them begins and ends in it. */
const LEASES_PER_REQUEST = 4;
const SEED = Date.now() % 1_000_000;

interface Counts {
  readonly rows: string | number;
  readonly keys: string | number;
  readonly minutes: string | number;
  readonly hours: string | number;
  readonly latest: string | number;
  readonly latest_keys: string | number;
  readonly gpus: string | number;
}

const COUNTS = `
  SELECT
    (SELECT count() FROM gpu_samples) AS rows,
    (SELECT uniqExact((gpu_uuid, gpu_instance, ts)) FROM gpu_samples) AS keys,
    (SELECT sum(sample_count) FROM gpu_samples_1m) AS minutes,
    (SELECT sum(sample_count) FROM gpu_samples_1h) AS hours,
    (SELECT count() FROM gpu_latest FINAL) AS latest,
    (SELECT uniqExact((gpu_uuid, gpu_instance)) FROM gpu_latest) AS latest_keys,
    (SELECT uniqExact((gpu_uuid, gpu_instance)) FROM gpu_samples) AS gpus`;

/** mulberry32: the same moments again for the same seed, as far as the machine allows. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** The process that a person would kill: the engine's front, or the PostgreSQL server itself. */
function childThat(up: RunningUp, pattern: RegExp): number {
  const pid = childrenOf(up.process.pid ?? 0).find((child) => pattern.test(commandLineOf(child)));
  if (pid === undefined) throw new Error(`No child of poolmeter up matches ${pattern.source}.`);
  return pid;
}

const PATTERNS = { clickhouse: /front-main\.js/, postgres: /postgres -D / };

/** SIGKILL; true when `up` itself is among the dead. */
function kill(up: RunningUp, victim: (typeof VICTIMS)[number]): boolean {
  if (victim === 'clickhouse' || victim === 'postgres') {
    process.kill(childThat(up, PATTERNS[victim]), 'SIGKILL');
    return false;
  }
  const root = up.process.pid ?? 0;
  const victims = victim === 'all' ? [root, ...descendantsOf(root)] : [root];
  for (const pid of victims) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (fault) {
      // It ended because its parent did.
      if ((fault as NodeJS.ErrnoException).code !== 'ESRCH') throw fault;
    }
  }
  return true;
}

function leaseEvents(lease: number, span: { startedAt: string; endedAt: string }) {
  const lease_id = `kill-lease-${lease}`;
  const started = {
    customer_id: 'kill',
    provider_id: 'north',
    pool: 'main',
    node: 'gpu-kill',
    gpu_uuid: `GPU-kill-${lease}`,
    gpu_index: 0,
    gpu_model: 'NVIDIA H100 80GB HBM3',
    share: '1',
    pricing_mode: 'on_demand',
    project: 'p',
  };
  return [
    { event_id: `kill-${lease}-started`, lease_id, at: span.startedAt, type: 'started', ...started },
    { event_id: `kill-${lease}-ended`, lease_id, at: span.endedAt, type: 'ended' },
  ];
}

/** A scheduler's hook: sends one request after another, each until it is acknowledged, whatever is down. */
class Hook {
  requests = 0;
  retried = 0;
  /** undefined while poolmeter is being started again. */
  up: RunningUp | undefined;
  readonly #beganAtMs = Date.now() - 3_600_000;
  #stopped = false;
  #running: Promise<void> | undefined;

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  get leases(): number {
    return this.requests * LEASES_PER_REQUEST;
  }

  span(lease: number): { startedAt: string; endedAt: string } {
    const at = (second: number) => new Date(this.#beganAtMs + second * 1_000).toISOString();
    return { startedAt: at(lease), endedAt: at(lease + 60) };
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      if (await this.#send(this.requests)) this.requests += 1;
      else this.retried += 1;
      await sleep(20);
    }
  }

  #body(request: number): string {
    const first = request * LEASES_PER_REQUEST;
    const leases = Array.from({ length: LEASES_PER_REQUEST }, (_, n) => first + n);
    return JSON.stringify(leases.flatMap((lease) => leaseEvents(lease, this.span(lease))));
  }

  async #send(n: number): Promise<boolean> {
    if (this.up === undefined) return false;
    const { url, token } = this.up.endpoint;
    try {
      const answer = await fetch(new URL('/v1/lease-events', url), {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: this.#body(n),
        signal: AbortSignal.timeout(5_000),
      });
      const text = await answer.text();
      if (answer.status >= 400 && answer.status < 500)
        throw new Error(`Request ${n} was refused with ${answer.status}: ${text}`);
      return answer.ok;
    } catch (fault) {
      if (fault instanceof Error && fault.message.startsWith('Request ')) throw fault;
      // Cut connections and timeouts: it is not known whether it was recorded, so it is sent again.
      return false;
    }
  }
}

interface Lease {
  readonly lease_id: string;
  readonly started_at: string;
  readonly ended_at: string | null;
}

async function allLeases(up: RunningUp): Promise<Lease[]> {
  const leases: Lease[] = [];
  for (let cursor: string | null = ''; cursor !== null;) {
    const query = `customer_id=kill&limit=1000${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`;
    const page: { data: Lease[]; next_cursor: string | null } = await up.get(`/v1/leases?${query}`);
    leases.push(...page.data);
    cursor = page.next_cursor;
  }
  return leases;
}

/** Every sample that the bus acknowledged, by GPU or instance and instant. Nobody else may have the bus open. */
async function samplesOnBus(directory: string): Promise<Set<string>> {
  const keys = new Set<string>();
  const logger = createLogger({ service: 'kill-test', level: 'silent' });
  const bus = createLogBus({ directory, logger, clock: systemClock });
  const [range] = await bus.ranges(topics.gpuSamples);
  expect(range?.earliestOffset).toBe(0n);
  let next = 0n;
  const reader = await bus.subscribe({
    group: 'kill-test',
    topics: [topics.gpuSamples],
    startAt: 'earliest',
    onBatch({ messages }) {
      for (const { value, offset } of messages) {
        const { rows, rowCount } = decodeSampleBatchHeader(value);
        for (const { gpuUuid, gpuInstance, ts } of decodeSampleRows(rows, rowCount))
          keys.add(`${gpuUuid}|${gpuInstance}|${ts}`);
        next = offset + 1n;
      }
      return Promise.resolve();
    },
  });
  await vi.waitUntil(() => next === range?.nextOffset, { timeout: 30_000 });
  await reader.stop();
  await bus.close();
  return keys;
}

async function readable(up: RunningUp): Promise<string[]> {
  const rows = await askClickHouse<{ key: string }>(
    up.endpoint,
    "SELECT concat(gpu_uuid, '|', gpu_instance, '|', toString(toUnixTimestamp64Milli(ts))) AS key FROM gpu_samples",
  );
  return rows.map((row) => row.key);
}

/** Kills in turn, each time after poolmeter has acknowledged something again; the one that runs at last. */
async function killInTurn(first: RunningUp, hook: Hook): Promise<RunningUp> {
  const random = randomFrom(SEED);
  let up = first;
  const untilAcknowledged = async () => {
    const before = hook.requests;
    await vi.waitUntil(() => hook.requests > before, { timeout: 30_000 });
  };
  for (const victim of VICTIMS) {
    await untilAcknowledged();
    await sleep(random() * 1_500);
    if (!kill(up, victim)) continue;
    hook.up = undefined;
    await vi.waitUntil(() => up.process.signalCode !== null, { timeout: 5_000 });
    up = await startUp(DEMO, up.dataDir);
    hook.up = up;
  }
  await untilAcknowledged();
  await hook.stop();
  return up;
}

async function stopsWhole(up: RunningUp): Promise<void> {
  const pids = descendantsOf(up.process.pid ?? 0);
  expect(pids.length).toBeGreaterThan(3);
  const from = performance.now();
  expect(await up.terminate()).toBe(0);
  expect(performance.now() - from).toBeLessThan(STOP_LIMIT_MS);
  expect(processesOf(up.dataDir)).toEqual([]);
  // PostgreSQL's own children name no folder.
  expect(pids.map(commandLineOf).filter((command) => command.includes('postgres'))).toEqual([]);
}

/** A view's rows become visible a moment after those of its table, so the counts are asked until they agree, or never do. */
async function expectSamplesAre(published: ReadonlySet<string>, up: RunningUp): Promise<void> {
  const gpus = new Set([...published].map((key) => key.slice(0, key.lastIndexOf('|')))).size;
  const samples = published.size;
  const counts = async () => {
    const [row] = await askClickHouse<Counts>(up.endpoint, COUNTS);
    return Object.fromEntries(Object.entries(row ?? {}).map(([name, count]) => [name, Number(count)]));
  };
  await expect.poll(counts, { timeout: 30_000, interval: 500 }).toEqual({
    rows: samples,
    keys: samples,
    minutes: samples,
    hours: samples,
    latest: gpus,
    latest_keys: gpus,
    gpus,
  });
  expect((await readable(up)).filter((key) => !published.has(key))).toEqual([]);
}

async function expectLeasesOf(hook: Hook, up: RunningUp): Promise<void> {
  const expected = Array.from({ length: hook.leases }, (_, lease) => {
    const { startedAt, endedAt } = hook.span(lease);
    return [`kill-lease-${lease}`, Date.parse(startedAt), Date.parse(endedAt)];
  });
  const leases = await allLeases(up);
  expect(
    leases.map((one) => [one.lease_id, Date.parse(one.started_at), Date.parse(one.ended_at ?? '')]),
  ).toEqual(expected);
  const copies = async () => {
    const [row] = await askClickHouse<{ leases: string | number }>(
      up.endpoint,
      "SELECT count() AS leases FROM leases FINAL WHERE customer_id = 'kill' AND ended_at IS NOT NULL",
    );
    return Number(row?.leases);
  };
  await expect.poll(copies, { timeout: 20_000 }).toBe(expected.length);
}

describe.skipIf(!linux)('kill -9', () => {
  it('of each process alone and of all at once loses nothing and doubles nothing', async () => {
    console.log(`Moments of the kills: seed ${SEED}.`);
    const folder = await newFolder();
    const hook = new Hook();
    let up = await startUp(DEMO, folder);
    try {
      hook.up = up;
      hook.start();
      up = await killInTurn(up, hook);
      expect(hook.retried).toBeGreaterThan(0);
      await stopsWhole(up);

      const published = await samplesOnBus(join(folder, 'data', 'bus'));
      expect(published.size).toBeGreaterThan(1_000);
      // Without the demo nothing new is measured, so that the two sides can be compared as they are.
      up = await startUp(['--no-demo'], folder);
      await expectSamplesAre(published, up);
      await expectLeasesOf(hook, up);
      await stopsWhole(up);
      console.log(
        `${VICTIMS.length} kills; ${hook.leases} leases acknowledged in ${hook.requests} requests, ${hook.retried} sent again; ${published.size} samples.`,
      );
    } finally {
      await hook.stop();
      if (up.process.exitCode === null && up.process.signalCode === null) await up.terminate();
      await rm(folder, { recursive: true, force: true });
    }
  }, 200_000);
});
