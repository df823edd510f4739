// Bodies are read as they came, so that a wrong shape fails a test instead of the compiler.
/* eslint-disable @typescript-eslint/no-explicit-any, @typescript-eslint/no-unsafe-assignment, @typescript-eslint/no-unsafe-call, @typescript-eslint/no-unsafe-member-access */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { instantFromMs, ManualClock } from '@poolmeter/domain';
import { createApi, type Binding } from '@poolmeter/http-api';
import {
  gpuSamplesInsert,
  migrateMetricsStore,
  openMetricsStore,
  startEmbeddedClickHouse,
} from '@poolmeter/metrics-store';
import { openRelationalStore, startEmbeddedPostgres } from '@poolmeter/relational-store';
import { createLogger } from '@poolmeter/service';
import { encodeSampleRows, sampleColumnsV1, sampleFlags, type GpuSample } from '@poolmeter/telemetry-schema';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PoolDatabase } from './pool-database.js';
import { poolRoutes } from './pool-routes.js';

/** 2026-03-01T10:00:00Z. */
const TEN = Date.UTC(2026, 2, 1, 10);
const NOW = TEN + 60_000;
const H100 = 'NVIDIA H100 80GB HBM3';

const panel = (id: number, type: string, rawSql: string) => ({
  id,
  type,
  title: `Panel ${id}`,
  gridPos: { x: 0, y: 0, w: 12, h: 8 },
  targets: [{ refId: 'A', rawSql }],
});

const BOARD = {
  uid: 'pm-test',
  title: 'Test',
  templating: {
    list: [
      {
        name: 'pool',
        type: 'query',
        multi: true,
        includeAll: true,
        query: { rawSql: 'SELECT DISTINCT pool FROM gpu_latest ORDER BY pool' },
        current: { value: ['$__all'] },
      },
      {
        name: 'samples',
        type: 'query',
        hide: 2,
        query: {
          rawSql:
            "SELECT if(dateDiff('second', $__fromTime, $__toTime) > 86400, 'gpu_samples_1h', 'gpu_samples')",
        },
        current: { value: 'gpu_samples_1h' },
      },
    ],
  },
  panels: [
    panel(
      1,
      'timeseries',
      `SELECT $__timeInterval(ts) AS time, gpu_uuid, max(power_watts) AS power, sum(memory_used_bytes) AS used
       FROM \${samples} WHERE $__timeFilter(ts) AND $__conditionalAll(pool IN (\${pool:singlequote}), $pool)
       GROUP BY time, gpu_uuid ORDER BY time, gpu_uuid`,
    ),
    panel(2, 'stat', 'SELECT number FROM system.numbers LIMIT 1000000'),
    panel(3, 'stat', "INSERT INTO gpu_events (node) VALUES ('x')"),
  ],
};

/** Every reading missing, as from an exporter that says only which GPU there is. */
function sample(fields: Partial<GpuSample>): GpuSample {
  const missing = Object.fromEntries(
    Object.keys(EXAMPLE).map((name) => [name, null]),
  ) as unknown as GpuSample;
  return {
    ...missing,
    ts: instantFromMs(TEN + 55_000),
    ingestedAt: instantFromMs(TEN + 55_040),
    node: 'gpu-01',
    gpuUuid: 'GPU-a',
    gpuInstance: '',
    gpuInstanceProfile: '',
    gpuModel: H100,
    pool: 'main',
    providerId: 'north',
    gpuIndex: 0,
    leaseId: '',
    energyEpoch: 0,
    flags: 0,
    ...fields,
  };
}

const EXAMPLE = Object.fromEntries(sampleColumnsV1.map((one) => [one.field, null]));

const SAMPLES = [
  sample({ ts: instantFromMs(TEN + 45_000), powerWatts: 600.5, smActiveRatio: 0.5 }),
  sample({ ts: instantFromMs(TEN + 50_000), powerWatts: 610, smActiveRatio: 0.75 }),
  sample({
    ts: instantFromMs(TEN + 55_000),
    powerWatts: 620,
    smActiveRatio: 0.8123,
    memoryUsedBytes: 61_000 * 1_048_576,
  }),
  // Silent for longer than three intervals, though its monitor calls it healthy.
  sample({ gpuUuid: 'GPU-b', gpuIndex: 1, ts: instantFromMs(TEN), flags: sampleFlags.demo }),
  sample({ gpuUuid: 'GPU-c', node: 'gpu-02', providerId: 'south', pool: 'spare', powerWatts: 90 }),
  sample({ gpuUuid: 'GPU-m', node: 'gpu-02', gpuIndex: 1, pool: 'spare' }),
  sample({
    gpuUuid: 'GPU-m',
    node: 'gpu-02',
    gpuIndex: 1,
    pool: 'spare',
    gpuInstance: '1/0',
    gpuInstanceProfile: '1g.10gb',
    smActiveRatio: 0.25,
  }),
  sample({
    gpuUuid: 'GPU-m',
    node: 'gpu-02',
    gpuIndex: 1,
    pool: 'spare',
    gpuInstance: '2/0',
    gpuInstanceProfile: '1g.10gb',
  }),
  // Taken apart ten minutes ago.
  sample({
    gpuUuid: 'GPU-m',
    node: 'gpu-02',
    gpuIndex: 1,
    pool: 'spare',
    gpuInstance: '9/0',
    ts: instantFromMs(TEN - 600_000),
  }),
];

const VIEWS = `
  CREATE SCHEMA billing; CREATE SCHEMA alerts; CREATE SCHEMA autoscaler;
  CREATE TABLE billing.leases_v1 (lease_id text, customer_id text, project text, provider_id text, gpu_uuid text,
    gpu_instance text, share text, pricing_mode text, started_at timestamptz(3), ended_at timestamptz(3));
  CREATE TABLE alerts.gpu_health_v1 (gpu_uuid text, state text, since timestamptz(3), incident_id text);
  CREATE TABLE autoscaler.pools_v1 (id text, nodes jsonb);
  INSERT INTO billing.leases_v1 VALUES
    ('lease-old', 'zeta', 'p', 'north', 'GPU-a', '', '1', 'on_demand', '2026-03-01T08:00:00Z', '2026-03-01T10:00:50Z'),
    ('lease-1', 'acme', 'p', 'north', 'GPU-a', '', '1', 'on_demand', '2026-03-01T10:00:50Z', NULL),
    ('lease-2', 'acme', 'p', 'north', 'GPU-m', '1/0', '1/7', 'spot', '2026-03-01T09:00:00Z', NULL);
  INSERT INTO alerts.gpu_health_v1 VALUES
    ('GPU-a', 'faulty', '2026-03-01T09:59:00Z', 'inc-1'), ('GPU-b', 'healthy', '2026-03-01T09:00:00Z', NULL);
  INSERT INTO autoscaler.pools_v1 VALUES ('main', '[{"node":"gpu-01","state":"draining"}]');`;

const BINDINGS: Readonly<Record<string, Binding>> = {
  operator: { kind: 'operator' },
  acme: { kind: 'customer', id: 'acme' },
  zeta: { kind: 'customer', id: 'zeta' },
  north: { kind: 'provider', id: 'north' },
};

async function startWorld() {
  const folder = await mkdtemp(join(tmpdir(), 'poolmeter-console-'));
  const logger = createLogger({ service: 'test', level: 'silent' });
  const [clickhouse, postgres] = await Promise.all([
    startEmbeddedClickHouse({ dataDir: join(folder, 'clickhouse'), logger }),
    startEmbeddedPostgres({ dataDir: join(folder, 'postgres'), logger }),
  ]);
  const { url } = clickhouse;
  const metrics = openMetricsStore({
    url,
    username: clickhouse.username,
    password: clickhouse.password,
    applicationName: 'test',
  });
  const reader = openMetricsStore({ url, ...clickhouse.reader, applicationName: 'test-reader' });
  await migrateMetricsStore(metrics);
  await metrics.insert({ ...gpuSamplesInsert, values: encodeSampleRows(SAMPLES), token: 'samples' });
  const store = openRelationalStore<PoolDatabase>({ url: postgres.url, applicationName: 'test' });
  for (const statement of VIEWS.split(';').filter((one) => one.trim() !== ''))
    await sql.raw(statement).execute(store.db);
  const stop = async () => {
    await Promise.all([metrics.close(), reader.close(), store.close()]);
    await Promise.all([clickhouse.stop(), postgres.stop()]);
    await rm(folder, { recursive: true });
  };
  const clock = new ManualClock(instantFromMs(NOW));
  const deps = { metrics, store, boards: [BOARD], clock, expectedIntervalMs: 10_000 };
  const verify = (token: string) => {
    const binding = BINDINGS[token];
    return Promise.resolve(
      binding === undefined ? undefined : { tokenId: token, binding, scopes: ['*:read'] },
    );
  };
  const api = createApi({ logger, clock, tokens: { verify } });
  api.route('/', poolRoutes({ ...deps, reader }));
  const asWriter = createApi({ logger, clock, tokens: { verify } });
  asWriter.route('/', poolRoutes(deps));
  return { api, asWriter, metrics, stop };
}

interface Answer {
  readonly status: number;
  readonly body: any;
}

let world: Awaited<ReturnType<typeof startWorld>>;
beforeAll(async () => {
  world = await startWorld();
}, 60_000);
afterAll(async () => {
  await world.stop();
});

async function get(path: string, { token = 'operator', api = world.api } = {}): Promise<Answer> {
  const response = await api.request(path, { headers: { authorization: `Bearer ${token}` } });
  return { status: response.status, body: await response.json() };
}

const uuids = ({ body }: Answer) =>
  (body as { data: { gpu_uuid: string }[] }).data.map((gpu) => gpu.gpu_uuid);

describe('GPUs', () => {
  it('are all there, whatever the monitor knows of them', async () => {
    const { body } = await get('/v1/gpus');
    const facts = body.data.map((gpu: Record<string, unknown>) => [
      gpu['gpu_uuid'],
      gpu['state'],
      gpu['stale'],
      gpu['demo'],
    ]);
    expect(facts).toEqual([
      ['GPU-a', 'faulty', false, false],
      ['GPU-b', 'unknown', true, true],
      ['GPU-c', 'unknown', false, false],
      ['GPU-m', 'unknown', false, false],
    ]);
    expect(body.next_cursor).toBeNull();
  });

  it('carry lease, readings and null for what the exporter did not give', async () => {
    const { body } = await get('/v1/gpus/GPU-a');
    expect(body).toMatchObject({
      gpu_index: 0,
      gpu_model: H100,
      node: 'gpu-01',
      pool: 'main',
      provider_id: 'north',
      state: 'faulty',
      incident_id: 'inc-1',
      lease: { lease_id: 'lease-1', customer_id: 'acme', share: '1' },
      latest: {
        ts: '2026-03-01T10:00:55Z',
        power_watts: 620,
        sm_active_ratio: 0.8123,
        memory_used_bytes: 63963136000,
      },
      instances: [],
    });
    expect(body.leases).toHaveLength(1);
    expect(body.latest.temperature_celsius).toBeNull();
    expect(body.latest.last_xid).toBeNull();
  });

  it('hold their MIG instances, but not those that were taken apart', async () => {
    const { body } = await get('/v1/gpus/GPU-m');
    const parts = body.instances.map((one: Record<string, unknown>) => [one['gpu_instance'], one['profile']]);
    expect(parts).toEqual([
      ['1/0', '1g.10gb'],
      ['2/0', '1g.10gb'],
    ]);
    expect(body.instances[0].latest.sm_active_ratio).toBe(0.25);
  });

  it.each([
    ['node=gpu-02', ['GPU-c', 'GPU-m']],
    ['pool=main', ['GPU-a', 'GPU-b']],
    ['state=faulty', ['GPU-a']],
    ['state=healthy', []],
    [`gpu_model=${encodeURIComponent(H100)}&node=gpu-01`, ['GPU-a', 'GPU-b']],
  ])('filter by %s', async (query, expected) => {
    expect(uuids(await get(`/v1/gpus?${query}`))).toEqual(expected);
  });

  it('come page by page, each once', async () => {
    const seen: string[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const answer = await get(
        `/v1/gpus?limit=3${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`,
      );
      seen.push(...uuids(answer));
      cursor = answer.body.next_cursor as string | null;
    }
    expect(seen).toEqual(['GPU-a', 'GPU-b', 'GPU-c', 'GPU-m']);
  });

  it('of somebody else are not there', async () => {
    expect(uuids(await get('/v1/gpus', { token: 'acme' }))).toEqual(['GPU-a', 'GPU-m']);
    expect(uuids(await get('/v1/gpus', { token: 'zeta' }))).toEqual([]);
    expect(uuids(await get('/v1/gpus', { token: 'north' }))).toEqual(['GPU-a', 'GPU-b', 'GPU-m']);
    expect((await get('/v1/gpus/GPU-c', { token: 'acme' })).status).toBe(404);
    expect((await get('/v1/gpus/GPU-a', { token: 'zeta' })).status).toBe(404);
    expect((await get('/v1/gpus/GPU-c', { token: 'north' })).status).toBe(404);
    expect((await get('/v1/gpus/none')).status).toBe(404);
  });

  it('show a customer only the MIG instance that it leases, and a provider not to whom', async () => {
    const { body: own } = await get('/v1/gpus/GPU-m', { token: 'acme' });
    expect(own.latest).toBeNull();
    expect(own.instances.map((one: Record<string, unknown>) => one['gpu_instance'])).toEqual(['1/0']);
    const { body: lent } = await get('/v1/gpus/GPU-a', { token: 'north' });
    expect(lent.lease).toMatchObject({ lease_id: 'lease-1', customer_id: null, project: null });
  });
});

describe('samples', () => {
  const path = '/v1/gpus/GPU-a/samples?from=2026-03-01T10:00:00Z&to=2026-03-01T10:01:00Z';
  const powers = ({ body }: Answer) =>
    (body as { data: { power_watts: number }[] }).data.map((one) => one.power_watts);

  it('are oldest first, and end before `to`', async () => {
    const answer = await get(`${path}&step=0`);
    expect(powers(answer)).toEqual([600.5, 610, 620]);
    expect(answer.body.data[0]).toMatchObject({
      ts: '2026-03-01T10:00:45Z',
      sample_count: 1,
      temperature_celsius: null,
    });
    expect(powers(await get(path.replace('10:01:00Z', '10:00:55Z')))).toEqual([600.5, 610]);
  });

  it('come page by page', async () => {
    const first = await get(`${path}&step=0&limit=2`);
    expect(powers(first)).toEqual([600.5, 610]);
    const rest = await get(
      `${path}&step=0&limit=2&cursor=${encodeURIComponent(first.body.next_cursor as string)}`,
    );
    expect(powers(rest)).toEqual([620]);
    expect(rest.body.next_cursor).toBeNull();
  });

  it('are averaged over a step', async () => {
    const { body } = await get(`${path}&step=1m`);
    expect(body.data).toHaveLength(1);
    expect(body.data[0]).toMatchObject({ ts: '2026-03-01T10:00:00Z', sample_count: 3 });
  });

  it('of a MIG instance are its own', async () => {
    const { body } = await get(`${path.replace('GPU-a', 'GPU-m')}&step=0&gpu_instance=1%2F0`);
    expect(body.data.map((one: Record<string, unknown>) => one['sm_active_ratio'])).toEqual([0.25]);
  });

  it('of before the own lease are not told, nor those of another instance', async () => {
    expect(powers(await get(`${path}&step=0`, { token: 'acme' }))).toEqual([610, 620]);
    const other = await get(`${path.replace('GPU-a', 'GPU-m')}&step=0&gpu_instance=2%2F0`, { token: 'acme' });
    expect(other.body.data).toEqual([]);
  });

  it.each([
    ['from=2026-03-01T10:01:00Z&to=2026-03-01T10:00:00Z', 'query.from'],
    ['step=1.5s', 'query.step'],
    ['step=250ms', 'query.step'],
    ['limit=0', 'query.limit'],
    ['nonsense=1', 'query.nonsense'],
  ])('refuse %s', async (query, fault) => {
    const { status, body } = await get(`/v1/gpus/GPU-a/samples?${query}`);
    expect(status).toBe(400);
    expect(body.errors[0].path).toBe(fault);
  });
});

describe('nodes', () => {
  it('are as healthy as their worst GPU', async () => {
    const { body } = await get('/v1/nodes');
    expect(body.data).toEqual([
      {
        node: 'gpu-01',
        pool: 'main',
        provider_id: 'north',
        gpu_count: 2,
        last_seen_at: '2026-03-01T10:00:55Z',
        states: { healthy: 0, faulty: 1, verifying: 0, unknown: 1, lost: 0 },
        health: 'faulty',
        scheduler_state: 'draining',
        demo: true,
      },
      expect.objectContaining({
        node: 'gpu-02',
        gpu_count: 2,
        health: 'unknown',
        scheduler_state: null,
        demo: false,
      }),
    ]);
  });

  it('are none of a customer’s business', async () => {
    expect((await get('/v1/nodes', { token: 'acme' })).status).toBe(403);
    expect((await get('/v1/nodes', { token: 'north' })).body.data).toHaveLength(2);
  });
});

describe('boards and their data', () => {
  const range = 'from=2026-03-01T10:00:00Z&to=2026-03-01T10:01:00Z&interval_ms=60000';

  it('are as they were given', async () => {
    const list = await get('/v1/boards');
    expect(list.body.data).toEqual([{ uid: 'pm-test', title: 'Test', description: '', tags: [] }]);
    expect((await get('/v1/boards/pm-test')).body).toEqual(BOARD);
    expect((await get('/v1/boards/none')).status).toBe(404);
  });

  it('come from the panel’s statement: computed variables anew, all pools unless chosen', async () => {
    const { status, body } = await get(`/v1/queries/pm-test/1?${range}`);
    expect(status).toBe(200);
    const [frame] = body.data;
    expect(frame.columns.map((one: Record<string, unknown>) => one['name'])).toEqual([
      'time',
      'gpu_uuid',
      'power',
      'used',
    ]);
    expect(frame.rows).toContainEqual(['2026-03-01T10:00:00Z', 'GPU-a', 620, String(61_000 * 1_048_576)]);
    expect(frame.rows.map((row: unknown[]) => row[1])).toEqual(['GPU-a', 'GPU-b', 'GPU-c', 'GPU-m']);
    // GPU-b gave no power: null, not zero.
    expect(frame.rows[1][2]).toBeNull();
  });

  it('take the values of variables, escaped', async () => {
    const one = await get(`/v1/queries/pm-test/1?${range}&var-pool=spare`);
    expect(one.body.data[0].rows.map((row: unknown[]) => row[1])).toEqual(['GPU-c', 'GPU-m']);
    const two = await get(`/v1/queries/pm-test/1?${range}&var-pool=spare&var-pool=main`);
    expect(two.body.data[0].rows).toHaveLength(4);
    const hostile = await get(
      `/v1/queries/pm-test/1?${range}&var-pool=${encodeURIComponent("x') OR 1=1 --")}`,
    );
    expect(hostile.body.data[0].rows).toEqual([]);
    expect(
      (await get(`/v1/queries/pm-test/1?${range}&var-samples=${encodeURIComponent('gpu_latest; DROP')}`))
        .status,
    ).toBe(400);
    expect((await get(`/v1/queries/pm-test/1?${range}&var-other=1`)).status).toBe(400);
  });

  it('list what a variable may be', async () => {
    const { body } = await get('/v1/boards/pm-test/variables/pool');
    expect(body.data).toEqual([
      { value: 'main', text: 'main' },
      { value: 'spare', text: 'spare' },
    ]);
  });

  it('never write and never cut an answer short, with or without a reading user', async () => {
    for (const api of [world.api, world.asWriter]) {
      expect((await get(`/v1/queries/pm-test/2?${range}`, { api })).status).toBeGreaterThanOrEqual(400);
      expect((await get(`/v1/queries/pm-test/3?${range}`, { api })).status).toBeGreaterThanOrEqual(400);
    }
    const { rows } = await world.metrics.select('SELECT count() FROM gpu_events', {
      name: 'test',
      maxRows: 1,
    });
    expect(rows).toEqual([['0']]);
  });

  it('are for operators', async () => {
    for (const path of ['/v1/boards', '/v1/boards/pm-test', `/v1/queries/pm-test/1?${range}`]) {
      expect((await get(path, { token: 'acme' })).status).toBe(403);
      expect((await get(path, { token: 'north' })).status).toBe(403);
    }
  });

  it('refuse ranges and intervals that make no sense', async () => {
    expect(
      (await get('/v1/queries/pm-test/1?from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z')).status,
    ).toBe(400);
    expect((await get('/v1/queries/pm-test/1?from=2025-03-02T00:00:00Z&interval_ms=1')).status).toBe(400);
    expect((await get(`/v1/queries/pm-test/99?${range}`)).status).toBe(404);
  });
});

it('is described in /openapi.json', async () => {
  const { body } = await get('/openapi.json');
  expect(Object.keys(body.paths as object).sort()).toEqual([
    '/v1/boards',
    '/v1/boards/{board}/variables/{name}',
    '/v1/boards/{uid}',
    '/v1/gpus',
    '/v1/gpus/{uuid}',
    '/v1/gpus/{uuid}/samples',
    '/v1/nodes',
    '/v1/queries/{board}/{panel}',
  ]);
});
