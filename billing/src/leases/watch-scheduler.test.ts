/** The watcher and the bus: facts arrive late, twice and after an outage, and count once. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fraction, instantFromMs, parseInstant, PoolmeterError, type EpochMs } from '@poolmeter/domain';
import { createLogBus, type EventBus } from '@poolmeter/event-bus';
import type { HeldShare, Scheduler } from '@poolmeter/scheduler';
import { createTelemetry } from '@poolmeter/service';
import { topics } from '@poolmeter/telemetry-schema';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createBusMeterPosition } from '../invoicing/meter-position.js';
import { startTestBilling, type TestBilling } from '../start-test-billing.js';
import { createLeaseEventConsumer } from './consume-lease-events.js';
import { lookAtScheduler } from './watch-scheduler.js';

let billing: TestBilling;

beforeAll(async () => {
  billing = await startTestBilling();
});
afterAll(() => billing.stop());
beforeEach(() => billing.clear());

const T0 = parseInstant('2026-06-01T00:00:00Z');
const MINUTE = 60_000;
const at = (minutes: number): EpochMs => instantFromMs(T0 + minutes * MINUTE);

function share(leaseId: string, from: number, to?: number): HeldShare {
  return {
    leaseId,
    customerId: 'acme',
    project: '',
    providerId: 'north',
    pool: 'main',
    node: 'gpu-01',
    gpuUuid: `GPU-${leaseId}`,
    gpuInstance: '',
    gpuIndex: 0,
    gpuModel: 'H100',
    share: fraction(1n),
    pricingMode: 'on_demand',
    startedAt: at(from),
    endedAt: to === undefined ? undefined : at(to),
  };
}

/** A scheduler in which each job is there from its start to its end, seen at minute `now`. */
function schedulerAt(
  jobs: readonly HeldShare[],
  now: number,
  { accounts }: { accounts: boolean },
): Scheduler {
  const seen = jobs
    .filter((job) => job.startedAt <= at(now))
    .map((job) =>
      job.endedAt !== undefined && job.endedAt > at(now) ? { ...job, endedAt: undefined } : job,
    );
  return {
    kind: 'fake',
    capabilities: new Set(accounts ? ['accounting'] : []),
    observe: () =>
      Promise.resolve({
        observedAt: at(now),
        nodes: [],
        pending: [],
        held: seen.filter((job) => job.endedAt === undefined),
      }),
    act: () => Promise.resolve({ ok: false, reason: 'unsupported', detail: '' }),
    accounting: (since) =>
      Promise.resolve(seen.filter((job) => job.endedAt === undefined || job.endedAt > since)),
  };
}

const jobs = [share('A', 0, 30), share('B', 10, 500), share('C', 200, 210), share('D', 490)];

/** A scheduler that forgets what is older than a number of minutes, and says so as the simulator's does. */
function forgetfulAt(now: number, remembers: number): Scheduler {
  const whole = schedulerAt(jobs, now, { accounts: true });
  return {
    ...whole,
    accounting: (since) =>
      since < at(now - remembers)
        ? Promise.reject(new PoolmeterError('not_found', 'The accounting reaches back to then only.'))
        : whole.accounting(since),
  };
}

function look(now: number, options: { accounts: boolean }) {
  return lookAtScheduler(billing.deps, { pool: 'main', scheduler: schedulerAt(jobs, now, options) });
}

async function leases(): Promise<unknown[]> {
  const { rows } = await sql`
    SELECT lease_id, extract(epoch FROM started_at - ${new Date(T0)}::timestamptz)::int / 60 AS from_min,
      extract(epoch FROM ended_at - ${new Date(T0)}::timestamptz)::int / 60 AS to_min
    FROM billing.leases ORDER BY lease_id`.execute(billing.store.db);
  return rows.map((row) => Object.values(row as Record<string, unknown>));
}

describe('the watcher', () => {
  it('finds the same events however often it looks, and bridges an outage by accounting', async () => {
    expect((await look(20, { accounts: true })).newEvents).toBe(2);
    expect((await look(20, { accounts: true })).newEvents).toBe(0);
    // Away from minute 20 to 520: A ended, B ended, C came and went, D began.
    const after = await look(520, { accounts: true });
    expect(after).toEqual({ newEvents: 5, inferredEnds: 0 });
    expect((await look(521, { accounts: true })).newEvents).toBe(0);
    expect(await leases()).toEqual([
      ['A', 0, 30],
      ['B', 10, 500],
      ['C', 200, 210],
      ['D', 490, null],
    ]);
  });

  it('without accounting, ends a vanished lease at its last sight and marks it as inferred', async () => {
    await look(20, { accounts: false });
    await look(25, { accounts: false });
    expect(await look(520, { accounts: false })).toMatchObject({ inferredEnds: 2 });
    expect(await leases()).toEqual([
      ['A', 0, 25],
      ['B', 10, 25],
      ['D', 490, null],
    ]);
    const { rows } = await sql`SELECT DISTINCT source FROM billing.lease_events WHERE type = 'ended'`.execute(
      billing.store.db,
    );
    expect(rows).toEqual([{ source: 'watcher-inferred' }]);
  });

  it('takes what a forgetful accounting has, infers the rest and says so', async () => {
    await look(20, { accounts: true });
    // Back after 500 minutes; the accounting remembers the last 320: A and B ended or ran, C at minute 200 is known.
    const scheduler = forgetfulAt(520, 320);
    expect(await lookAtScheduler(billing.deps, { pool: 'main', scheduler })).toMatchObject({
      inferredEnds: 1,
    });
    expect(await leases()).toEqual([
      ['A', 0, 20],
      ['B', 10, 500],
      ['C', 200, 210],
      ['D', 490, null],
    ]);
    const findings = await billing.store.db.selectFrom('billing.findings').selectAll().execute();
    expect(findings).toMatchObject([{ object_id: 'main', resolved_at: null }]);
    expect(findings[0]!.message).toContain('from 2026-06-01T00:20:00Z on');
    // The next look is an ordinary one.
    const again = forgetfulAt(525, 320);
    expect(await lookAtScheduler(billing.deps, { pool: 'main', scheduler: again })).toMatchObject({
      newEvents: 0,
    });
  });

  it('a scheduler that fails ends nothing', async () => {
    await look(20, { accounts: true });
    const broken = {
      ...schedulerAt(jobs, 30, { accounts: true }),
      observe: () => Promise.reject(new Error('no answer')),
    };
    await expect(lookAtScheduler(billing.deps, { pool: 'main', scheduler: broken })).rejects.toThrow(
      'no answer',
    );
    expect(await leases()).toEqual([
      ['A', 0, null],
      ['B', 10, null],
    ]);
  });
});

describe('the bus', () => {
  let folder: string;
  let bus: EventBus;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'poolmeter-bus-'));
    bus = createLogBus({ directory: folder, logger: billing.deps.logger });
    const names = [topics.leaseEvents, topics.deadLetter];
    await bus.ensureTopics(names.map((name) => ({ name, partitions: 1 })));
  });
  afterAll(async () => {
    await bus.close();
    await rm(folder, { recursive: true });
  });

  const started = {
    event_id: 'e1',
    type: 'started',
    lease_id: 'L1',
    at: '2026-06-01T00:00:00Z',
    customer_id: 'acme',
    provider_id: 'north',
    pool: 'main',
    node: 'gpu-01',
    gpu_uuid: 'GPU-1',
    gpu_model: 'H100',
  };
  const ended = { event_id: 'e2', type: 'ended', lease_id: 'L1', at: '2026-06-01T01:00:00Z' };

  it('records good events in any order, sets bad ones aside, and says how far it is', async () => {
    const values = [ended, started, { ...started, at: '2026-06-02T00:00:00Z' }, { nonsense: true }, ended];
    await bus.publish(
      topics.leaseEvents,
      values.map((value) => ({ key: 'L1', headers: {}, value: Buffer.from(JSON.stringify(value)) })),
    );
    const position = createBusMeterPosition(bus, [{ group: 'test', topics: [topics.leaseEvents] }]);
    const ends = await position.ends();
    expect(await position.missing(ends)).toEqual(['test is at poolmeter.lease-events/0:0 of 5']);
    const telemetry = createTelemetry({ service: 'test', processMetrics: false });
    const consumer = createLeaseEventConsumer({ ...billing.deps, bus, telemetry, group: 'test' });
    await consumer.start();
    await expect.poll(() => position.missing(ends), { timeout: 10_000 }).toEqual([]);
    await consumer.stop();
    expect(await leases()).toEqual([['L1', 0, 60]]);
    const [letters] = await bus.ranges(topics.deadLetter);
    expect(letters!.nextOffset - letters!.earliestOffset).toBe(2n);
    expect(await telemetry.metricsText()).toMatch(/lease_events.*outcome="refused".* 2/);
    await telemetry.shutdown();
  });
});
