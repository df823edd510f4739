import { copyFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf, systemClock } from '@poolmeter/domain';
import { migrateMetricsStore, openMetricsStore } from '@poolmeter/metrics-store';
import { openRelationalStore, runMigrations, type RelationalStore } from '@poolmeter/relational-store';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CommandContext } from '../command-context.js';
import { migrationSets } from '../migration-sets.js';
import { runCommandLine } from '../program.js';
import { placesToRead, placesToFill, type Places } from './backup-places.js';
import { readManifest, writeManifest, type Manifest } from './manifest.js';
import { checkBackup, restoreBackup } from './restore-backup.js';

import { takeBackup } from './take-backup.js';

interface Tables {
  'billing.customers': { customer_id: string; current_version: number; created_at: Date };
  'billing.customer_versions': {
    customer_id: string;
    version: number;
    name: string;
    zone: string;
    recorded_at: Date;
  };
  'billing.lease_events': {
    event_id: string;
    lease_id: string;
    type: string;
    at: Date;
    columns: object;
    recorded_at: Date;
    source: string;
  };
  'billing.leases': {
    lease_id: string;
    state: string;
    customer_id: string;
    gpu_uuid: string;
    started_at: Date;
    recorded_at: Date;
    position: bigint;
    first_position: bigint;
  };
  'billing.leases_v1': { lease_id: string; gpu_uuid: string };
}

const NOON = new Date('2026-03-01T12:00:00.250Z');
const onTable = () => undefined;

let root: string;
let source: Places;
let manifest: Manifest;
const folder = (name: string) => join(root, name);

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'poolmeter-backup-'));
  source = await placesToFill({ dataDir: folder('a') });
  await Promise.all([fillClickHouse(source), fillPostgres(source)]);
  manifest = await takeBackup({ folder: folder('backup'), places: source, clock: systemClock, onTable });
});
afterAll(async () => {
  await source.close();
  await rm(root, { recursive: true });
});

async function fillClickHouse({ clickhouse }: Places): Promise<void> {
  const store = openMetricsStore({ ...clickhouse, applicationName: 'test' });
  await migrateMetricsStore(store);
  const values = ['GPU-1', 'GPU-2', ''].map((gpu_uuid) => ({ ts: NOON.toISOString(), node: 'n1', gpu_uuid }));
  await store.insert({ table: 'gpu_samples_in', format: 'JSONEachRow', values, token: 'test' });
  await store.close();
}

async function fillPostgres({ postgres }: Places): Promise<void> {
  await runMigrations({ url: postgres, sets: migrationSets });
  await onDatabase(postgres, async ({ db }) => {
    const customer_id = 'acme';
    await db
      .insertInto('billing.customers')
      .values({ customer_id, current_version: 1, created_at: NOON })
      .execute();
    const version = { customer_id, version: 1, name: 'Acme\t"GmbH"\n', zone: 'UTC', recorded_at: NOON };
    await db.insertInto('billing.customer_versions').values(version).execute();
    const lease = { lease_id: 'l-1', recorded_at: NOON };
    const event = {
      ...lease,
      event_id: 'e-1',
      type: 'started',
      at: NOON,
      columns: { customer_id },
      source: 'api',
    };
    await db.insertInto('billing.lease_events').values(event).execute();
    const state = { state: 'running', customer_id, gpu_uuid: 'GPU-1', started_at: NOON };
    await db
      .insertInto('billing.leases')
      .values({ ...lease, ...state, position: 1n, first_position: 1n })
      .execute();
  });
}

async function onDatabase<T>(url: string, work: (store: RelationalStore<Tables>) => Promise<T>): Promise<T> {
  const store = openRelationalStore<Tables>({ url, applicationName: 'test' });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

async function run(...args: string[]) {
  let [out, err] = ['', ''];
  const terminal = {
    write: (text: string) => void (out += text),
    writeError: (text: string) => void (err += text),
    isTerminal: false,
    columns: undefined,
    rows: undefined,
  };
  const context: CommandContext = { env: {}, terminal, clock: systemClock };
  return { code: await runCommandLine(args, context), out, err };
}

const digests = ({ clickhouse, postgres }: Manifest) =>
  [...clickhouse.tables, ...postgres.tables].map(({ table, rows, digest }) => [table, rows, digest]);

describe('poolmeter backup', () => {
  it('holds every table of both stores, for its owner only', async () => {
    const rows = new Map(digests(manifest).map(([table, count]) => [table, count]));
    expect(rows.get('gpu_samples')).toBe(2n);
    expect(rows.get('ingest_rejects')).toBe(1n);
    expect(rows.get('billing.lease_events')).toBe(1n);
    expect(rows.size).toBeGreaterThan(30);
    expect(manifest.clickhouse.settled).toBe(true);
    expect(manifest.bus).not.toBeNull();
    for (const name of ['manifest.json', manifest.files[0]?.name ?? '']) {
      expect((await stat(join(folder('backup'), name))).mode & 0o077).toBe(0);
    }
  });

  it('takes a new folder only, and says when there is nothing to take', async () => {
    const repeated = takeBackup({ folder: folder('backup'), places: source, clock: systemClock, onTable });
    await expect(repeated).rejects.toMatchObject({ code: 'precondition_failed' });
    const none = await run('backup', folder('none'), '--data-dir', folder('nowhere'));
    expect([none.code, none.err]).toEqual([2, expect.stringContaining('holds no data of poolmeter')]);
    const half = await run('backup', folder('none'), '--clickhouse', 'http://127.0.0.1:1');
    expect([half.code, half.err]).toEqual([2, expect.stringContaining('both --clickhouse and --postgres')]);
    await expect(placesToRead({ dataDir: folder('a') })).rejects.toMatchObject({
      code: 'dependency.unavailable',
    });
  });
});

describe('poolmeter restore', () => {
  it('fills an empty folder with the same rows of every table, and refuses it when it is no longer empty', async () => {
    const { code, out, err } = await run('restore', folder('backup'), '--data-dir', folder('b'), '--json');
    expect([code, err]).toEqual([0, '']);
    expect(JSON.parse(out)).toMatchObject({ settled: true, taken_at: manifest.clickhouse.taken_at });
    const places = await placesToRead({ dataDir: folder('b') });
    try {
      const again = await takeBackup({ folder: folder('backup-b'), places, clock: systemClock, onTable });
      expect(digests(again)).toEqual(digests(manifest));
      expect(again.postgres.sequences).toEqual(manifest.postgres.sequences);
      const leases = await onDatabase(places.postgres, ({ db }) =>
        db.selectFrom('billing.leases_v1').select(['lease_id', 'gpu_uuid']).execute(),
      );
      expect(leases).toEqual([{ lease_id: 'l-1', gpu_uuid: 'GPU-1' }]);
      await expect(
        restoreBackup({ folder: folder('backup'), manifest, places, onTable }),
      ).rejects.toMatchObject({
        code: 'precondition_failed',
        message: expect.stringContaining('is not empty') as string,
      });
    } finally {
      await places.close();
    }
  });

  const manifestPath = () => join(folder('backup'), 'manifest.json');
  const refusal = () =>
    checkBackup(folder('backup')).then(
      () => 'none',
      (fault: unknown) => messageOf(fault),
    );

  it('refuses a damaged or a missing manifest, and another version’s tables', async () => {
    const text = await readFile(manifestPath(), 'utf8');
    await writeFile(manifestPath(), text.replace(/"rows": "2"/, '"rows": "3"'));
    expect(await refusal()).toMatch(/manifest\.json is damaged/);
    await writeFile(manifestPath(), text.slice(0, -100));
    expect(await refusal()).toMatch(/manifest\.json is damaged/);
    const [first, ...others] = manifest.clickhouse.migrations;
    const edited = { name: first?.name ?? '', checksum: '0'.repeat(64) };
    const clickhouse = { ...manifest.clickhouse, migrations: [edited, ...others] };
    await writeManifest(folder('backup'), { ...manifest, clickhouse });
    expect(await refusal()).toMatch(
      /taken of poolmeter 0\.1\.0 with other tables than this one has .*0001_gpu_samples/,
    );
    await rm(manifestPath());
    expect(await refusal()).toMatch(/holds no backup: .*manifest\.json is missing/);
    await writeFile(manifestPath(), text);
    expect(await readManifest(folder('backup'))).toEqual(manifest);
  });

  it('refuses a file that is missing, short or changed', async () => {
    const path = join(folder('backup'), manifest.files[0]?.name ?? '');
    await copyFile(path, `${path}.kept`);
    const bytes = await readFile(path);
    await rm(path);
    expect(await refusal()).toMatch(/is missing: restore from another backup/);
    await writeFile(path, bytes.subarray(1));
    expect(await refusal()).toMatch(/has \d+ bytes instead of \d+/);
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
    await writeFile(path, bytes);
    expect(await refusal()).toMatch(/is damaged/);
    await copyFile(`${path}.kept`, path);
    expect(await refusal()).toBe('none');
  });
});
