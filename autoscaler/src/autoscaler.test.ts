import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createIdSource, instantFromMs, ManualClock } from '@poolmeter/domain';
import { accessMigrations, createApi, type Principal } from '@poolmeter/http-api';
import {
  openRelationalStore,
  runMigrations,
  startEmbeddedPostgres,
  type EmbeddedPostgres,
} from '@poolmeter/relational-store';
import type {
  ActionOutcome,
  NodeState,
  PendingDemand,
  Scheduler,
  SchedulerAction,
  SchedulerObservation,
} from '@poolmeter/scheduler';
import { createLogger } from '@poolmeter/service';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { autoscalerMigrations, type AutoscalerDatabase } from './autoscaler-database.js';
import { decisionView, type DecisionView } from './decision-row.js';
import type { AutoscalerStore } from './decision-store.js';
import { explainDecision } from './explain-decision.js';
import { H100, NOW_MS } from './observation-fixture.js';
import { registerPool } from './pool-memory.js';
import { createLeadership } from './leadership.js';
import { takePoolTurn } from './pool-turn.js';
import type { Pool } from './pools-file.js';
import { replayDecision } from './replay-decision.js';
import { autoscalerRoutes } from './routes.js';
import { scalingPolicySchema } from './scaling-policy.js';

/** A scheduler of nodes with two GPUs each, that does what it is told and writes it down. */
class FakeScheduler implements Scheduler {
  readonly kind = 'fake';
  readonly capabilities = new Set(['cordon', 'uncordon', 'drain', 'remove', 'add'] as const);
  readonly nodes = new Map<string, { state: NodeState; sinceMs: number; leases: string[] }>();
  readonly done: string[] = [];
  readonly keys = new Set<string>();
  pending: PendingDemand[] = [];
  failing = false;
  /** Runs before an action is carried out: what happens in the world meanwhile. */
  meanwhile: (action: SchedulerAction) => void = () => undefined;
  readonly #clock: ManualClock;

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  node(name: string, leases: string[] = [], state: NodeState = 'ready'): void {
    this.nodes.set(name, { state, sinceMs: NOW_MS - 86_400_000, leases });
  }

  observe(): Promise<SchedulerObservation> {
    if (this.failing) return Promise.reject(new Error('HTTP 500'));
    const nodes = [...this.nodes].map(([node, { state, sinceMs, leases }]) => ({
      node,
      state,
      reason: '',
      since: instantFromMs(sinceMs),
      gpus: [0, 1].map((gpuIndex) => ({
        gpuUuid: `GPU-${node}-${gpuIndex}`,
        gpuIndex,
        gpuModel: H100,
        leaseIds: leases.slice(gpuIndex, gpuIndex + 1),
      })),
    }));
    return Promise.resolve({ observedAt: this.#clock.now(), nodes, pending: this.pending, held: [] });
  }

  act(action: SchedulerAction, { idempotencyKey }: { idempotencyKey: string }): Promise<ActionOutcome> {
    if (this.keys.has(idempotencyKey)) return Promise.resolve({ ok: true, detail: 'done before', nodes: [] });
    this.keys.add(idempotencyKey);
    this.done.push(action.kind === 'add' ? `add ${action.count}` : `${action.kind} ${action.node}`);
    const nodes = this.#change(action);
    this.meanwhile(action);
    return Promise.resolve({ ok: true, detail: 'as asked', nodes });
  }

  #change(action: SchedulerAction): string[] {
    if (action.kind === 'add') {
      return Array.from({ length: action.count }, () => {
        const name = `new-${this.nodes.size}`;
        this.nodes.set(name, { state: 'booting', sinceMs: this.#clock.now(), leases: [] });
        return name;
      });
    }
    const node = this.nodes.get(action.node);
    if (node === undefined) return [];
    if (action.kind === 'cordon') node.state = 'cordoned';
    if (action.kind === 'uncordon') node.state = 'ready';
    if (action.kind === 'drain') node.state = 'draining';
    if (action.kind === 'remove') this.nodes.delete(action.node);
    return [action.node];
  }

  accounting(): Promise<[]> {
    return Promise.resolve([]);
  }
}

const logger = createLogger({ service: 'test', level: 'silent' });
const rules = scalingPolicySchema.parse({
  headroom: { gpus: 0, ratio: 0 },
  scale_in: { idle_for_s: 60, after_restart_s: 60, cooldown_s: 60 },
  forecast: { window_s: 60 },
});
let folder: string;
let server: EmbeddedPostgres;
let store: AutoscalerStore;
let clock: ManualClock;
let scheduler: FakeScheduler;
let pools = 0;
let pool: Pool;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'poolmeter-autoscaler-'));
  server = await startEmbeddedPostgres({ dataDir: join(folder, 'pg'), logger });
  await runMigrations({ url: server.url, sets: [accessMigrations, autoscalerMigrations] });
  store = openRelationalStore<AutoscalerDatabase>({ url: server.url, applicationName: 'test' });
  // Stand-ins for what alerts and billing publish, with the columns of their views.
  await sql
    .raw(
      `CREATE SCHEMA alerts; CREATE SCHEMA billing;
       CREATE TABLE alerts.gpu_health_v1 (gpu_uuid text, node text, pool text, state text, since timestamptz, incident_id text);
       CREATE TABLE billing.leases_v1 (lease_id text, pool text, node text, gpu_uuid text, started_at timestamptz, ended_at timestamptz);`,
    )
    .execute(store.db);
});

afterAll(async () => {
  await store.close();
  await server.stop();
  await rm(folder, { recursive: true });
});

beforeEach(async () => {
  clock = new ManualClock(instantFromMs(NOW_MS));
  scheduler = new FakeScheduler(clock);
  pools += 1;
  pool = {
    id: `pool-${pools}`,
    nodePatterns: ['*'],
    providerId: 'north',
    scheduler: { kind: 'fake', url: 'http://x' },
    mode: 'full',
    policy: rules,
  };
  await registerPool(store, { pool, at: new Date(NOW_MS) });
});

/** Telemetry that sees every GPU of the scheduler, idle, a second ago. */
const samples = () =>
  Promise.resolve(
    [...scheduler.nodes.keys()].flatMap((node) =>
      [0, 1].map((index) => ({
        gpuUuid: `GPU-${node}-${index}`,
        latestMs: clock.now() - 1_000,
        busiestRatio: 0,
      })),
    ),
  );

async function turn(times = 1): Promise<void> {
  for (let each = 0; each < times; each += 1) {
    clock.advance(15_000);
    const deps = { store, samples, clock, ids: createIdSource(clock), logger };
    await takePoolTurn(deps, { pool, scheduler, decidingSinceMs: NOW_MS - 86_400_000 });
  }
}

async function decisions(): Promise<DecisionView[]> {
  const query = store.db.selectFrom('autoscaler.decisions').selectAll().where('pool', '=', pool.id);
  return (await query.orderBy('decided_at').orderBy('id').execute()).map(decisionView);
}

const short = async () => (await decisions()).map(({ action, status }) => `${action}: ${status}`);

const setHealth = (node: string, state: string) =>
  sql`INSERT INTO alerts.gpu_health_v1 VALUES (${`GPU-${node}-0`}, ${node}, ${pool.id}, ${state}, ${new Date(NOW_MS - 60_000)}, NULL)`.execute(
    store.db,
  );

const waitingFor = (gpus: number): PendingDemand => ({
  id: 'w',
  gpus,
  gpuModel: H100,
  gang: false,
  priority: 0,
  customerId: 'acme',
  since: instantFromMs(NOW_MS - 600_000),
});

describe('a pool in mode full', () => {
  it('adds nodes for waiting work once, waits for them, and finds that it helped', async () => {
    scheduler.node('a', ['l1', 'l2']);
    scheduler.pending = [waitingFor(3)];
    await turn(6);
    expect(scheduler.done).toEqual(['add 2']);
    for (const node of scheduler.nodes.values()) node.state = 'ready';
    await turn();
    const [added] = (await decisions()).filter((each) => each.action === 'scale_out');
    expect(added).toMatchObject({
      status: 'done',
      outcome: { effective: true },
      targets: [{ gpu_model: H100, count: 2 }],
    });
  });

  it('gives an idle node back: cordon, a second look, drain, a second look, remove', async () => {
    scheduler.node('a', ['l1', 'l2']);
    scheduler.node('idle');
    await turn(2);
    expect(scheduler.done).toEqual(['cordon idle', 'drain idle', 'remove idle']);
    expect((await short()).filter((each) => each.startsWith('scale_in'))).toEqual(['scale_in: done']);
  });

  it('lets go of a node that was leased between the decision and the drain', async () => {
    scheduler.node('a', ['l1', 'l2']);
    scheduler.node('wanted');
    scheduler.meanwhile = (action) => {
      if (action.kind === 'cordon') scheduler.nodes.get('wanted')?.leases.push('just-now');
    };
    await turn();
    expect(scheduler.done).toEqual(['cordon wanted', 'uncordon wanted']);
    expect(scheduler.nodes.get('wanted')?.state).toBe('ready');
    const [refused] = await decisions();
    expect(refused).toMatchObject({
      status: 'refused',
      outcome: { detail: '1 GPUs of wanted are leased or at work.' },
    });
  });

  it('does not remove what only billing knows to be leased', async () => {
    scheduler.node('a');
    await sql`INSERT INTO billing.leases_v1 VALUES ('l', ${pool.id}, 'a', 'GPU-a-1', ${new Date(NOW_MS - 1_000)}, NULL)`.execute(
      store.db,
    );
    await turn(3);
    expect(scheduler.done).toEqual([]);
    expect((await decisions())[0]?.rejected).toEqual([
      { candidate: 'a', code: 'leased', reason: '1 leases run on it.' },
    ]);
  });

  it('replaces a faulty node: closes it at once, adds another, removes it when its lease has ended', async () => {
    scheduler.node('a', ['l1', 'l2']);
    scheduler.node('sick', ['long']);
    await setHealth('sick', 'faulty');
    await turn(3);
    expect(scheduler.done).toEqual(['cordon sick', 'add 1']);
    expect(await short()).toContain('replace: acting');
    scheduler.nodes.get('sick')?.leases.pop();
    for (const [name, node] of scheduler.nodes) if (name.startsWith('new')) node.leases.push('moved', 'here');
    await turn();
    expect(scheduler.done).toEqual(['cordon sick', 'add 1', 'drain sick', 'remove sick']);
    expect(await short()).toContain('replace: done');
  });

  it('goes on after a crash half-way without doing a step twice', async () => {
    scheduler.node('a', ['l1', 'l2']);
    scheduler.node('idle');
    let crashed = false;
    const act = scheduler.act.bind(scheduler);
    scheduler.act = async (action, options) => {
      const outcome = await act(action, options);
      // The scheduler did it, but the answer is lost with the process.
      if (action.kind === 'drain' && !crashed) {
        crashed = true;
        throw new Error('connection reset');
      }
      return outcome;
    };
    await turn();
    expect(await short()).toEqual(['scale_in: acting']);
    await turn();
    expect(scheduler.done).toEqual(['cordon idle', 'drain idle', 'remove idle']);
  });
});

describe('what holds it back', () => {
  it('does nothing while the scheduler does not answer, and says so once', async () => {
    scheduler.node('a');
    scheduler.failing = true;
    await turn(5);
    expect(scheduler.done).toEqual([]);
    expect(await decisions()).toMatchObject([{ action: 'none', reasons: [{ code: 'scheduler_failed' }] }]);
  });

  it('stores a quiet decision again only after five minutes or when its reasons change', async () => {
    scheduler.node('a', ['l1', 'l2']);
    await turn(20);
    expect(await short()).toEqual(['none: none']);
    await turn(2);
    expect(await short()).toEqual(['none: none', 'none: none']);
  });

  it('a process whose term is over decides nothing, and its successor does', async () => {
    scheduler.node('idle');
    const deps = { store, samples, clock, ids: createIdSource(clock), logger };
    const first = createLeadership({ store, clock });
    const term = await first.take();
    const second = createLeadership({ store, clock });
    expect(await second.take()).toBeUndefined();
    // The lock goes without a word, as for a process that is stopped for a while.
    await first.release();
    const later = await second.take();
    const target = { pool, scheduler, decidingSinceMs: NOW_MS - 86_400_000 };
    const epochOf = (one: typeof term) => one?.epoch ?? 0n;
    await expect(takePoolTurn(deps, { ...target, epoch: epochOf(term) })).rejects.toThrow(/taken over/);
    expect(scheduler.done).toEqual([]);
    await takePoolTurn(deps, { ...target, epoch: epochOf(later) });
    expect((await decisions()).length).toBe(1);
    await second.release();
  });

  it('the kill switch stops every pool; a pause of scale-in alone keeps the pool from shrinking', async () => {
    scheduler.node('idle');
    await store.db.updateTable('autoscaler.kill_switch').set({ pulled: true }).execute();
    await turn();
    await store.db.updateTable('autoscaler.kill_switch').set({ pulled: false }).execute();
    await store.db.updateTable('autoscaler.pools').set({ scale_in_paused: true }).execute();
    await turn();
    await store.db.updateTable('autoscaler.pools').set({ scale_in_paused: false }).execute();
    const said = (await decisions()).flatMap((one) => one.guards.map((hit) => hit.guard));
    expect(said.sort()).toEqual(['paused', 'scale_in_paused']);
    expect(scheduler.done).toEqual([]);
  });

  it('removes nothing in the first time after a start', async () => {
    scheduler.node('idle');
    const deps = { store, samples, clock, ids: createIdSource(clock), logger };
    await takePoolTurn(deps, { pool, scheduler, decidingSinceMs: NOW_MS - 30_000 });
    expect(await decisions()).toMatchObject([
      { action: 'scale_in', status: 'held', guards: [{ guard: 'restart_window' }] },
    ]);
    expect(scheduler.done).toEqual([]);
  });
});

it('every stored decision replays to the same, and a changed input is found out', async () => {
  scheduler.node('a', ['l1', 'l2']);
  scheduler.node('sick', ['x']);
  scheduler.pending = [waitingFor(4)];
  await setHealth('sick', 'lost');
  await turn(8);
  const all = await decisions();
  expect(new Set(all.map((each) => each.action)).size).toBeGreaterThan(1);
  for (const each of all) {
    expect(await replayDecision(store, each.id)).toMatchObject({ identical: true, differences: [] });
  }
  const victim = all[0]?.id ?? '';
  await sql`UPDATE autoscaler.decisions SET reasons = '[{"code":"x","text":"y"}]' WHERE id = ${victim}`.execute(
    store.db,
  );
  expect(await replayDecision(store, victim)).toMatchObject({
    identical: false,
    differences: [{ field: 'reasons' }],
  });
});

it('announces each decision and each change of it with a growing version, in the same transaction', async () => {
  scheduler.node('a', ['l1', 'l2']);
  scheduler.node('idle');
  await turn();
  const [decision] = await decisions();
  const { rows } = await sql<{ topic: string; value: Buffer }>`
    SELECT topic, value FROM autoscaler.outbox WHERE key = ${decision?.id} ORDER BY position`.execute(
    store.db,
  );
  const messages = rows.map(
    (row) =>
      JSON.parse(row.value.toString()) as {
        table: string;
        version: string;
        row: { status: string; pool: string };
      },
  );
  expect(rows.every((row) => row.topic === 'poolmeter.scaling-decisions')).toBe(true);
  expect(messages.map((each) => each.row.status)).toEqual(['acting', 'acting', 'acting', 'acting', 'done']);
  const versions = messages.map((each) => Number(each.version));
  expect(versions).toEqual([...versions].sort((a, b) => a - b));
  expect(new Set(versions).size).toBe(versions.length);
  expect(messages[0]).toMatchObject({ table: 'scaling_decisions', row: { pool: pool.id } });
});

describe('over HTTP', () => {
  const operator: Principal = { tokenId: 'tok_1', binding: { kind: 'operator' }, scopes: ['*'] };
  const api = () => {
    const customer: Principal = {
      tokenId: 'tok_2',
      binding: { kind: 'customer', id: 'acme' },
      scopes: ['*'],
    };
    const tokens = { verify: (token: string) => Promise.resolve(token === 'op' ? operator : customer) };
    const app = createApi({ logger, clock, tokens });
    app.route('/', autoscalerRoutes({ store, clock }));
    return async (method: string, path: string, options: { token?: string; body?: object } = {}) => {
      const response = await app.request(path, {
        method,
        headers: { authorization: `Bearer ${options.token ?? 'op'}`, 'content-type': 'application/json' },
        ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      });
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    };
  };

  it('a recommendation waits for a person; approved, it is checked again and carried out', async () => {
    const call = api();
    await call('PATCH', `/v1/pools/${pool.id}`, { body: { mode: 'recommend' } });
    scheduler.node('a', ['l1', 'l2']);
    scheduler.node('idle');
    await turn(3);
    expect(scheduler.done).toEqual([]);
    const list = await call('GET', `/v1/decisions?pool=${pool.id}&status=recommended`);
    const [recommended] = list.body['data'] as DecisionView[];
    expect(recommended).toMatchObject({ action: 'scale_in', guards: [{ guard: 'mode', effect: 'advise' }] });
    const id = recommended?.id ?? '';
    expect((await call('POST', `/v1/decisions/${id}/replay`)).body).toMatchObject({ identical: true });
    expect((await call('POST', `/v1/decisions/${id}/approve`)).body).toMatchObject({
      status: 'approved',
      approved_by: 'tok_1',
    });
    expect((await call('POST', `/v1/decisions/${id}/approve`)).body).toMatchObject({
      code: 'decision.refused',
    });
    await turn();
    expect(scheduler.done).toEqual(['cordon idle', 'drain idle', 'remove idle']);
    expect((await call('GET', `/v1/decisions/${id}`)).body).toMatchObject({ status: 'done' });
    const text = String((await call('GET', `/v1/decisions/${id}/explain`)).body['text']);
    expect(text).toContain('give back idle. It is done (mode recommend).');
    expect(text).toContain('a: 2 leases run on it.');
    const { rows } = await sql`SELECT action FROM access.audit_log WHERE object_id = ${id}`.execute(store.db);
    expect(rows).toEqual([{ action: 'decision.approve' }]);
  });

  it('an approval that came too late is refused with the reason', async () => {
    const call = api();
    await call('PATCH', `/v1/pools/${pool.id}`, { body: { mode: 'recommend' } });
    scheduler.node('idle');
    await turn();
    const id = (await decisions())[0]?.id ?? '';
    await call('POST', `/v1/decisions/${id}/approve`);
    scheduler.nodes.get('idle')?.leases.push('new work');
    await turn();
    expect((await call('GET', `/v1/decisions/${id}`)).body).toMatchObject({
      status: 'refused',
      outcome: { effective: false },
    });
    expect(scheduler.done).toEqual([]);
  });

  it('a paused pool stands still, half-way too, and goes on when resumed', async () => {
    const call = api();
    scheduler.node('a', ['l1', 'l2']);
    scheduler.node('sick', ['long']);
    await setHealth('sick', 'faulty');
    await turn();
    expect((await call('POST', `/v1/pools/${pool.id}/pause`)).body).toMatchObject({ paused: true });
    scheduler.nodes.get('sick')?.leases.pop();
    await turn(3);
    expect(scheduler.done).toEqual(['cordon sick', 'add 1']);
    await call('POST', `/v1/pools/${pool.id}/resume`);
    await turn();
    expect(scheduler.done.slice(2, 4)).toEqual(['drain sick', 'remove sick']);
    const shown = await call('GET', `/v1/pools/${pool.id}`);
    expect(shown.body).toMatchObject({ mode: 'full', paused: false, scheduler_kind: 'fake' });
  });

  it('pages through decisions without a gap, and keeps strangers out', async () => {
    const call = api();
    scheduler.node('a', ['l1', 'l2']);
    await turn(61);
    const ids: string[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const { body } = await call(
        'GET',
        `/v1/decisions?pool=${pool.id}&limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`,
      );
      ids.push(...(body['data'] as DecisionView[]).map((each) => each.id));
      cursor = body['next_cursor'] as string | null;
    }
    expect(ids).toEqual((await decisions()).map((each) => each.id).reverse());
    expect(ids.length).toBeGreaterThan(2);
    expect((await call('GET', '/v1/decisions', { token: 'customer' })).status).toBe(403);
    expect((await call('GET', '/v1/decisions?wrong=1')).status).toBe(400);
    expect((await call('GET', '/v1/pools/nowhere')).status).toBe(404);
  });
});

it('explains a decision without anything to do', async () => {
  scheduler.node('a', ['l1', 'l2']);
  await turn();
  const [decision] = await decisions();
  const text = decision === undefined ? '' : explainDecision(decision);
  expect(text).toMatch(/do nothing\. It is none \(mode full\)/);
  expect(text).toContain('2 GPUs are asked for, 2 are healthy, 0 free; 0 should stay free.');
  expect(text).toContain('a: 2 leases run on it.');
});
