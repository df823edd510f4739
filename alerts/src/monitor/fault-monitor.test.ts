import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createIdSource, formatInstant, ManualClock, type EpochMs } from '@poolmeter/domain';
import { accessMigrations, createApi } from '@poolmeter/http-api';
import {
  openRelationalStore,
  runMigrations,
  startEmbeddedPostgres,
  type EmbeddedPostgres,
  type RelationalStore,
} from '@poolmeter/relational-store';
import { createLogger, createTelemetry } from '@poolmeter/service';
import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { incidentRoutes } from '../http/incident-routes.js';
import { defaultPolicyFile, loadFaultPolicy } from '../policy/load-policy.js';
import { alertsMigrations, type AlertsDatabase } from '../store/alerts-database.js';
import { createIncidentStore } from '../store/incident-store.js';
import type { EventEvidence } from '../verdict/evidence.js';
import {
  at,
  evidenceOf,
  GPU,
  happens,
  lease,
  msAfter,
  NODE,
  OTHER_GPU,
  signal,
  xid,
} from '../verdict/evidence-in-words.js';
import { verdicts } from '../verdict/verdicts.js';
import { MonitorEngine } from './fault-monitor.js';
import { InMemoryEvidence } from './in-memory-evidence.js';
import { monitorDefaults } from './monitor-config.js';
import { createMonitorMetrics } from './monitor-metrics.js';

const policy = loadFaultPolicy(defaultPolicyFile);
const logger = createLogger({ service: 'alerts-test', level: 'silent' });
const folder = mkdtempSync(join(tmpdir(), 'poolmeter-alerts-'));
let postgres: EmbeddedPostgres;
let store: RelationalStore<AlertsDatabase>;
let source: InMemoryEvidence;
let clock: ManualClock;

beforeAll(async () => {
  postgres = await startEmbeddedPostgres({ dataDir: join(folder, 'pg'), logger });
  await runMigrations({ url: postgres.url, sets: [accessMigrations, alertsMigrations] });
  store = openRelationalStore<AlertsDatabase>({ url: postgres.url, applicationName: 'alerts-test' });
  // The view of billing that the monitor reads, as the brief of both services states it.
  await sql`CREATE SCHEMA billing`.execute(store.db);
  await sql`CREATE TABLE billing.leases_v1 (lease_id text PRIMARY KEY, customer_id text NOT NULL, project text,
    provider_id text, pool text, node text NOT NULL, gpu_uuid text NOT NULL, gpu_instance text NOT NULL DEFAULT '',
    gpu_index int, gpu_model text, share text, pricing_mode text, started_at timestamptz(3) NOT NULL,
    ended_at timestamptz(3), recorded_at timestamptz(3) NOT NULL)`.execute(store.db);
}, 90_000);

afterAll(async () => {
  await store.close();
  await postgres.stop();
  rmSync(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  await emptyDatabase();
  source = new InMemoryEvidence(policy.telemetry.proof_gap);
  clock = new ManualClock(at('10:00'));
});

async function emptyDatabase(): Promise<void> {
  await sql`ALTER TABLE alerts.operator_actions DISABLE TRIGGER ALL`.execute(store.db);
  await sql`TRUNCATE alerts.positions, alerts.evaluated_hours, alerts.lease_mark, alerts.incidents,
    alerts.incident_evidence, alerts.verdicts, alerts.gpu_health, alerts.operator_actions, alerts.outbox, alerts.told, alerts.peer_findings, alerts.peer_mark,
    billing.leases_v1`.execute(store.db);
  await sql`ALTER TABLE alerts.operator_actions ENABLE TRIGGER ALL`.execute(store.db);
}

let telemetry = createTelemetry({ service: 'alerts-test', processMetrics: false });

const newEngine = () => {
  telemetry = createTelemetry({ service: 'alerts-test', processMetrics: false });
  return new MonitorEngine({
    source,
    incidents: createIncidentStore(store),
    policy,
    clock,
    logger,
    metrics: createMonitorMetrics(telemetry.meter),
    config: { ...monitorDefaults(), signalLookMs: 1_000 },
  });
};

/** Samples every ten seconds from the first to the last time, both included. */
function seen(from: string, to: string, gpuUuid = GPU): void {
  const times: EpochMs[] = [];
  for (let ts = at(from); ts <= at(to); ts = msAfter(ts, 10_000)) times.push(ts);
  source.addSamples({ node: NODE, gpuUuid, times });
}

async function turnAt(engine: MonitorEngine, time: string): Promise<void> {
  clock.set(at(time));
  await engine.turn();
}

const short = (date: Date | null) =>
  date === null ? 'open' : new Date(date).toISOString().slice('2026-03-02T'.length, -1);

async function incidentBoard(): Promise<string[]> {
  const rows = await store.db.selectFrom('alerts.incidents').selectAll().where('withdrawn', '=', false).orderBy('opened_at').execute(); // prettier-ignore
  return rows.map((row) => `${row.code} ${row.status} ${short(row.opened_at)} to ${short(row.cleared_at)}`);
}

async function verdictBoard(): Promise<string[]> {
  const { rows } = await sql<{
    code: string;
    gpu_uuid: string;
    billing_class: string;
    started_at: Date;
    ended_at: Date;
  }>`
    SELECT * FROM alerts.verdicts_v1 WHERE ended_at IS NULL OR ended_at > started_at
    ORDER BY started_at, gpu_uuid`.execute(store.db);
  return rows.map(
    (row) =>
      `${row.code} ${row.gpu_uuid} ${row.billing_class} ${short(row.started_at)} to ${short(row.ended_at)}`,
  );
}

async function health(): Promise<string> {
  const { rows } = await sql<{ state: string; since: Date }>`
    SELECT state, since FROM alerts.gpu_health_v1 WHERE gpu_uuid = ${GPU}`.execute(store.db);
  return rows.map((row) => `${row.state} since ${short(row.since)}`).join();
}

async function addLease(
  leaseId: string,
  facts: { customer: string; gpu: string; from: string; to?: string },
) {
  const ended = facts.to === undefined ? null : new Date(at(facts.to));
  await sql`INSERT INTO billing.leases_v1 (lease_id, customer_id, node, gpu_uuid, started_at, ended_at, recorded_at)
    VALUES (${leaseId}, ${facts.customer}, ${NODE}, ${facts.gpu}, ${new Date(at(facts.from))}, ${ended},
      ${new Date(clock.now())})`.execute(store.db);
}

const fallen = xid('10:40:00.250', 79, {
  message: 'NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.',
});

describe('the monitor, live', () => {
  it('follows the worked example xid 79 from the kernel line to the verified return', async () => {
    const engine = newEngine();
    await addLease('lease-1', { customer: 'acme', gpu: GPU, from: '10:00', to: '12:00' });
    seen('09:00:00.250', '10:39:50.250');
    seen('09:00:00.250', '10:40:50.250', OTHER_GPU);
    await turnAt(engine, '10:40:00');
    expect(await incidentBoard()).toEqual([]);
    expect(await health()).toBe('healthy since 09:00:00.250');

    source.addEvents([fallen]);
    await turnAt(engine, '10:40:01');
    expect(await incidentBoard()).toEqual(['xid-79 open 10:40:00.250 to open']);
    expect(await health()).toBe('lost since 10:40:00.250');
    const [row] = await store.db.selectFrom('alerts.incidents').selectAll().execute();
    expect(row?.affected_lease_ids).toEqual(['lease-1']);

    seen('10:41:00.250', '11:07:00.250', OTHER_GPU);
    seen('11:05:00.250', '11:07:00.250');
    await turnAt(engine, '11:07:01');
    expect(await incidentBoard()).toEqual(['xid-79 verifying 10:40:00.250 to open']);
    expect(await health()).toBe('verifying since 11:05:00.250');

    seen('11:07:10.250', '11:11:00.250', OTHER_GPU);
    seen('11:07:10.250', '11:11:00.250');
    await turnAt(engine, '11:11:01');
    expect(await incidentBoard()).toEqual(['xid-79 resolved 10:40:00.250 to 11:10:00.250']);
    expect(await verdictBoard()).toEqual([`xid-79 ${GPU} C 10:40:00.250 to 11:10:00.250`]);
    expect(await health()).toBe('healthy since 11:10:00.250');
  });

  it('stores a position only with its effects, and takes up again after a crash without doubling anything', async () => {
    seen('09:00', '10:40');
    source.addEvents([fallen]);
    const failing = newEngine();
    const telemetryOfNode = source.telemetryOfNode.bind(source);
    source.telemetryOfNode = () => Promise.reject(new Error('the store is away'));
    clock.set(at('10:40:01'));
    await expect(failing.turn()).rejects.toThrow('the store is away');
    expect(await store.db.selectFrom('alerts.positions').selectAll().execute()).toEqual([]);
    expect(await telemetry.metricsText()).toContain('poolmeter_alerts_position_lag{partition="0"} 1\n');
    source.telemetryOfNode = telemetryOfNode;
    clock.advance(11_000);
    await failing.turn();
    const metrics = await telemetry.metricsText();
    expect(metrics).toContain('poolmeter_alerts_position_lag{partition="0"} 0\n');
    expect(metrics).toContain('poolmeter_alerts_open_incidents{severity="fatal"} 1\n');
    const stateOf = async () => ({
      positions: (await store.db.selectFrom('alerts.positions').selectAll().execute()).map(
        (row) => row.bus_offset,
      ),
      incidents: await store.db.selectFrom('alerts.incidents').select(['incident_id', 'revision']).execute(),
      outbox: (await sql`SELECT position FROM alerts.outbox`.execute(store.db)).rows.length,
    });
    const before = await stateOf();
    expect(before).toMatchObject({ positions: [0n], outbox: 1 });
    await newEngine().turn();
    expect(await stateOf()).toEqual(before);
  });

  it('tells the bus of each change with a growing version', async () => {
    const engine = newEngine();
    seen('10:00', '10:20');
    source.addEvents([xid('10:10', 94)]);
    await turnAt(engine, '10:12');
    await turnAt(engine, '10:20');
    const { rows } = await sql<{ topic: string; key: string; value: Uint8Array }>`
      SELECT topic, key, value FROM alerts.outbox ORDER BY position`.execute(store.db);
    const copies = rows.map((row) => JSON.parse(Buffer.from(row.value).toString('utf8')) as { table: string; version: string; row: Record<string, unknown> }); // prettier-ignore
    expect(rows.map((row) => row.topic)).toEqual(['poolmeter.incidents', 'poolmeter.incidents']);
    expect(
      copies.map((copy) => `${copy.table} ${String(copy.row['status'])} ${String(copy.row['cleared_at'])}`),
    ).toEqual(['incidents verifying null', `incidents resolved ${formatInstant(at('10:15'))}`]);
    expect(BigInt(copies[1]?.version ?? 0)).toBeGreaterThan(BigInt(copies[0]?.version ?? 0));
  });

  it('amends an incident when late evidence names its cause, under the same id', async () => {
    const engine = newEngine();
    seen('09:00', '10:30');
    source.addEvents([xid('10:00:02', 45)]);
    await turnAt(engine, '10:30');
    expect(await incidentBoard()).toEqual(['xid-45 expired 10:00:02.000 to 10:10:02.000']);
    const [before] = await store.db.selectFrom('alerts.incidents').select('incident_id').execute();
    source.addEvents([xid('10:00:01', 31)]);
    await turnAt(engine, '10:31');
    expect(await incidentBoard()).toEqual(['xid-31 expired 10:00:01.000 to 10:10:02.000']);
    expect(await store.db.selectFrom('alerts.incidents').select('incident_id').execute()).toEqual([before]);
  });

  it('withdraws what late evidence merges, and leaves an empty verdict for readers by revision', async () => {
    const engine = newEngine();
    seen('09:00', '10:30');
    source.addEvents([xid('10:00:00', 43), xid('10:12:00', 43)]);
    await turnAt(engine, '10:30');
    expect(await verdictBoard()).toHaveLength(2);
    source.addEvents([xid('10:06:00', 43)]);
    await turnAt(engine, '10:31');
    expect(await verdictBoard()).toEqual([`xid-43 ${GPU} B 10:00:00.000 to 10:22:00.000`]);
    const empty = await store.db.selectFrom('alerts.verdicts').selectAll().whereRef('ended_at', '=', 'started_at').execute(); // prettier-ignore
    expect(empty).toHaveLength(1);
  });

  it('says unknown of a silent node, never faulty nor healthy, and notices its return', async () => {
    const engine = newEngine();
    seen('09:50', '10:00');
    await turnAt(engine, '10:00:01');
    await turnAt(engine, '10:03:05');
    expect(await incidentBoard()).toEqual(['node-silent open 10:00:00.000 to open']);
    expect(await health()).toBe('unknown since 10:00:00.000');
    seen('10:08', '10:09');
    await turnAt(engine, '10:09:01');
    expect(await incidentBoard()).toEqual(['node-silent resolved 10:00:00.000 to 10:08:00.000']);
    expect(await health()).toMatch(/^healthy/);
    // The samples had only been held up: nothing was silent after all.
    seen('10:00', '10:09');
    await turnAt(engine, '10:11');
    expect(await incidentBoard()).toEqual([]);
  });

  it('reads back-filled history that arrives after the present, by what is stored', async () => {
    const engine = newEngine();
    clock.set(at('20:00'));
    seen('19:50', '20:00');
    seen('19:50', '20:00', OTHER_GPU);
    await engine.turn();
    seen('01:00', '05:00');
    seen('01:00', '04:00', OTHER_GPU);
    await turnAt(engine, '20:01');
    expect(await incidentBoard()).toContain('gpu-lost resolved 04:00:00.000 to 19:55:00.000');
    expect(await incidentBoard()).toContain('node-silent resolved 05:00:00.000 to 19:50:00.000');
    seen('04:00', '05:00', OTHER_GPU);
    seen('05:00', '19:50');
    seen('05:00', '19:50', OTHER_GPU);
    source.addEvents([xid('02:00', 31)]);
    await turnAt(engine, '20:02');
    expect(await incidentBoard()).toEqual(['xid-31 expired 02:00:00.000 to 02:10:00.000']);
  });

  it('opens an incident for an idle GPU only while it is leased', async () => {
    const engine = newEngine();
    seen('09:00', '11:00');
    source.setSignals([signal('activity_ratio', ['09:00', '10:50'])]);
    await turnAt(engine, '10:50:30');
    expect(await incidentBoard()).toEqual([]);
    await addLease('lease-1', { customer: 'acme', gpu: GPU, from: '09:40' });
    seen('11:00', '11:05');
    await turnAt(engine, '10:50:50');
    expect(await incidentBoard()).toEqual(['gpu-idle-leased open 09:40:00.000 to open']);
    source.setSignals([signal('activity_ratio', ['09:00', '10:52'])]);
    await turnAt(engine, '11:05');
    expect(await incidentBoard()).toEqual(['gpu-idle-leased resolved 09:40:00.000 to 10:52:00.000']);
  });

  it('keeps what comparisons with peers found, and judges it once it has lasted', async () => {
    const step = (from: string) => ({ ...signal('temperature_outlier_z', [from, from], { extreme: 6 }), during: { start: at(from), end: msAfter(at(from), 300_000) } }); // prettier-ignore
    source.setPeers(['10:00', '10:05', '10:10', '10:15', '10:20', '10:25'].map(step));
    let engine = newEngine();
    seen('09:50', '12:00');
    for (const now of ['10:07', '10:12', '10:17', '10:22', '10:27']) await turnAt(engine, now);
    expect(await incidentBoard()).toEqual([]);
    engine = newEngine();
    await turnAt(engine, '10:32');
    expect(await incidentBoard()).toEqual(['gpu-hot-outlier open 10:00:00.000 to open']);
    for (const now of ['10:37', '10:42', '10:47', '10:52', '11:00']) await turnAt(engine, now);
    expect(await incidentBoard()).toEqual(['gpu-hot-outlier resolved 10:00:00.000 to 10:30:00.000']);
  });

  it('comes to what a replay of all evidence says, however the evidence arrived', async () => {
    const event = fc
      .record({
        half: fc.integer({ min: 0, max: 20_000 }),
        code: fc.constantFrom(13, 31, 43, 45, 48, 63, 64, 79, 94, 95, 119, 136),
        gpuUuid: fc.constantFrom(GPU, OTHER_GPU),
        sign: fc.boolean(),
      })
      .map(({ half, code, gpuUuid, sign }): EventEvidence => {
        const time = msAfter(at('01:00'), half * 1_000);
        const made = sign
          ? happens('01:00', { kind: 'driver.restarted', gpuUuid: '' })
          : xid('01:00', code, { gpuUuid });
        return { event: { ...made.event, ts: time, sequence: BigInt(time) } };
      });
    const arrivals = fc.array(fc.array(event, { minLength: 1, maxLength: 6 }), {
      minLength: 1,
      maxLength: 5,
    });
    await fc.assert(
      fc.asyncProperty(arrivals, async (batches) => {
        await emptyDatabase();
        source = new InMemoryEvidence(policy.telemetry.proof_gap);
        clock = new ManualClock(at('10:00'));
        for (const gpu of [GPU, OTHER_GPU]) {
          seen('00:00', '03:00', gpu);
          seen(gpu === GPU ? '03:20' : '03:00', '12:00', gpu);
        }
        let engine = newEngine();
        for (const [index, batch] of batches.entries()) {
          source.addEvents(batch);
          clock.advance(61_000);
          await engine.turn();
          if (index % 2 === 1) engine = newEngine();
        }
        const span = { node: NODE, from: at('00:00'), to: clock.now() };
        const replay = verdicts(
          evidenceOf({
            asOf: clock.now(),
            events: await source.eventsOfNode(NODE, at('00:00')),
            telemetry: await source.telemetryOfNode(span),
          }),
          policy,
        );
        const expected = replay
          .flatMap((one) =>
            one.verdicts.map(
              (each) =>
                `${one.code} ${each.gpuUuid} ${one.fault.billing_class} ${short(new Date(each.start))} to ${short(each.end === undefined ? null : new Date(each.end))}`,
            ),
          ) // prettier-ignore
          .sort();
        expect((await verdictBoard()).sort()).toEqual(expected);
      }),
      { numRuns: 12 },
    );
  }, 60_000);
});

describe('what people do to incidents', () => {
  const tokens: Record<
    string,
    { binding: { kind: 'operator' } | { kind: 'customer' | 'provider'; id: string } }
  > = {
    operator: { binding: { kind: 'operator' } },
    acme: { binding: { kind: 'customer', id: 'acme' } },
    rival: { binding: { kind: 'customer', id: 'rival' } },
    north: { binding: { kind: 'provider', id: 'north' } },
    south: { binding: { kind: 'provider', id: 'south' } },
  };

  function newApi() {
    const verify = (token: string) =>
      Promise.resolve(
        tokens[token] === undefined ? undefined : { tokenId: token, scopes: ['*'], ...tokens[token] },
      );
    const api = createApi({ logger, clock, tokens: { verify } });
    api.route('/', incidentRoutes({ store, clock, ids: createIdSource(clock) }));
    return async (path: string, by = 'operator', body?: unknown) => {
      const headers = { authorization: `Bearer ${by}`, 'content-type': 'application/json' };
      const init = body === undefined ? { headers } : { method: 'POST', headers, body: JSON.stringify(body) };
      const answer = await api.request(path, init);
      const json = (await answer.json()) as Record<string, unknown> & { data: Record<string, unknown>[] };
      return { status: answer.status, json };
    };
  }

  async function oneIncident(code = 95): Promise<{ engine: MonitorEngine; id: string }> {
    const engine = newEngine();
    await addLease('lease-1', { customer: 'acme', gpu: GPU, from: '09:00' });
    seen('09:50', '10:10');
    source.addEvents([xid('10:00', code)]);
    await turnAt(engine, '10:01');
    const [row] = await store.db.selectFrom('alerts.incidents').select('incident_id').execute();
    return { engine, id: row?.incident_id ?? '' };
  }

  it('lists, shows and explains an incident to whom it concerns', async () => {
    const { id } = await oneIncident();
    const call = newApi();
    const ids = async (by: string, query = '') =>
      (await call(`/v1/incidents${query}`, by)).json.data.map((one) => one['id']);
    expect(await ids('operator')).toEqual([id]);
    expect(await ids('operator', `?status=open&gpu=${GPU}&node=${NODE}&code=xid-95`)).toEqual([id]);
    expect(await ids('operator', '?status=resolved')).toEqual([]);
    expect(await ids('acme')).toEqual([id]);
    expect(await ids('north')).toEqual([id]);
    expect([await ids('rival'), await ids('south')]).toEqual([[], []]);
    expect((await call(`/v1/incidents/${id}`, 'rival')).status).toBe(404);
    const { json } = await call(`/v1/incidents/${id}`, 'acme');
    expect(json).toMatchObject({
      code: 'xid-95',
      severity: 'fatal',
      status: 'open',
      blame: 'hardware',
      billing_class: 'C',
      gpu_uuids: [GPU],
      affected_lease_ids: ['lease-1'],
      evidence_count: 1,
      runbook_url: 'docs/runbooks/xid-95.md',
      policy_version: policy.version,
      opened_at: '2026-03-02T10:00:00Z',
      cleared_at: null,
    });
    expect(json['explanation']).toEqual([
      `Uncontained memory error on GPU ${GPU} of node ${NODE}.`,
      "It says so at 2026-03-02T10:00:00Z: NVRM: Xid (PCI:0000:3b:00): 95, pid='<unknown>', name=<unknown>, as the kernel wrote it",
      'The hardware is to blame. The time is credited: it is cut out of every lease that it touches (class C).',
      'It has been open since 2026-03-02T10:00:00Z. No reset or reboot has been seen since the last evidence.',
      'Affected leases: lease-1.',
      `The policy ${policy.version} decided; docs/runbooks/xid-95.md says what to do.`,
    ]);
    const evidence = await call(`/v1/incidents/${id}/evidence`);
    expect(evidence.json.data).toMatchObject([
      { kind: 'xid', code: 95, ts: '2026-03-02T10:00:00Z', bus_offset: '0' },
    ]);
  });

  it('pages through a long list by cursor', async () => {
    const engine = newEngine();
    seen('09:00', '13:00');
    source.addEvents(['10:00', '11:00', '12:00'].map((time) => xid(time, 31)));
    await turnAt(engine, '13:00');
    const call = newApi();
    const first = await call('/v1/incidents?limit=2');
    expect(first.json.data.map((one) => one['opened_at'])).toEqual([
      '2026-03-02T12:00:00Z',
      '2026-03-02T11:00:00Z',
    ]);
    const rest = await call(`/v1/incidents?limit=2&cursor=${String(first.json['next_cursor'])}`);
    expect(rest.json.data.map((one) => one['opened_at'])).toEqual(['2026-03-02T10:00:00Z']);
    expect(rest.json['next_cursor']).toBeNull();
  });

  it('acknowledges, and the mark outlives the next judgement', async () => {
    const { engine, id } = await oneIncident();
    const call = newApi();
    expect((await call(`/v1/incidents/${id}/ack`, 'operator', {})).json['status']).toBe('acknowledged');
    expect(
      (await call(`/v1/incidents/${id}/ack`, 'operator', { reason: 'again' })).json['actions'],
    ).toHaveLength(1);
    expect((await call(`/v1/incidents/${id}/ack`, 'acme', {})).status).toBe(403);
    source.addEvents([xid('10:02', 95)]);
    await turnAt(engine, '10:03');
    expect(await incidentBoard()).toEqual(['xid-95 acknowledged 10:00:00.000 to open']);
  });

  it('resolves at the operator’s word, and new evidence opens a new incident', async () => {
    const { engine, id } = await oneIncident();
    const call = newApi();
    const wrong = await call(`/v1/incidents/${id}/resolve`, 'operator', {
      reason: 'x',
      cleared_at: '2026-03-02T09:00:00Z',
    });
    expect(wrong).toMatchObject({ status: 400, json: { code: 'input.invalid' } });
    expect((await call(`/v1/incidents/${id}/resolve`, 'operator', {})).status).toBe(400);
    const done = await call(`/v1/incidents/${id}/resolve`, 'operator', { reason: 'Board swapped.' });
    expect(done.json).toMatchObject({ status: 'resolved', cleared_at: '2026-03-02T10:01:00Z' });
    expect((await call(`/v1/incidents/${id}/resolve`, 'operator', { reason: 'Again.' })).status).toBe(409);
    source.addEvents([xid('10:05', 95)]);
    await turnAt(engine, '10:06');
    expect(await verdictBoard()).toEqual([
      `xid-95 ${GPU} C 10:00:00.000 to 10:01:00.000`,
      `xid-95 ${GPU} C 10:05:00.000 to open`,
    ]);
  });

  it('classifies with a reason that is kept, for verdicts and for every later judgement', async () => {
    const { engine, id } = await oneIncident(61);
    const call = newApi();
    const before = await verdictBoard();
    expect(before).toEqual([`xid-unlisted ${GPU} H 10:00:00.000 to open`]);
    expect((await call(`/v1/incidents/${id}/classify`, 'operator', { billing_class: 'B' })).status).toBe(400);
    const body = { billing_class: 'B', blame: 'application', reason: 'The tenant wrote past its buffer.' };
    const answer = await call(`/v1/incidents/${id}/classify`, 'operator', body);
    expect(answer.json).toMatchObject({ billing_class: 'B', blame: 'application' });
    seen('10:10', '10:30');
    await turnAt(engine, '10:30');
    expect(await verdictBoard()).toEqual([`xid-unlisted ${GPU} B 10:00:00.000 to 10:10:00.000`]);
    const audit = await sql<{ action: string; details: unknown }>`
      SELECT action, details FROM access.audit_log WHERE object_id = ${id}`.execute(store.db);
    expect(audit.rows).toMatchObject([
      {
        action: 'incident.classify',
        details: { reason: 'The tenant wrote past its buffer.', before: { billing_class: 'H' } },
      },
    ]);
    await expect(sql`UPDATE alerts.operator_actions SET reason = 'other'`.execute(store.db)).rejects.toThrow(
      'only ever added to',
    );
  });
});

it('leases of the evidence-in-words kind are what the store gives back', async () => {
  clock.set(at('10:00'));
  await addLease('lease-9', { customer: 'acme', gpu: GPU, from: '09:00', to: '09:30' });
  expect(await createIncidentStore(store).leasesOf(NODE, at('08:00'))).toEqual([
    lease('lease-9', '09:00', '09:30'),
  ]);
});
