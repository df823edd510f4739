import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeSampleRows, sampleColumnsV1 } from '@poolmeter/telemetry-schema';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clusterDdlText } from './cluster-ddl-text.js';
import { clusterFiles } from './cluster-ddl.js';
import { loadEngine, type Engine } from './front/engine.js';
import { migrateMetricsStore, statementsOf } from './migrate.js';
import { sampleAt, TEN_O_CLOCK_MS } from './sample-rows.js';
import { startTestStore, type TestStore } from './start-test-store.js';

const place = { cluster: 'fleet', database: 'metrics' };
const render = (...statements: string[]) => clusterFiles([statements], place).flat();
const flat = (sql: string) => sql.replace(/\s+/g, ' ');

/** A door, what it feeds, and a table of its own. */
const door = `CREATE TABLE IF NOT EXISTS seen_in (gpu_uuid String COMMENT 'FROM seen_in', v Int32)\nENGINE = Null`;
const seen = `-- Notes.\nCREATE TABLE IF NOT EXISTS seen (gpu_uuid String, v Int32)\nENGINE = ReplacingMergeTree(v)\nORDER BY gpu_uuid\nSETTINGS non_replicated_deduplication_window = 9\nCOMMENT 'What was seen.'`;
const view = `CREATE MATERIALIZED VIEW IF NOT EXISTS seen_from_in TO seen AS\nSELECT seen_in.gpu_uuid AS gpu_uuid, v FROM seen_in WHERE v > 0`;
const notes = `CREATE TABLE IF NOT EXISTS notes (id String)\nENGINE = MergeTree\nORDER BY id`;

describe('clusterFiles', () => {
  it('replicates a table that no view touches to every node', () => {
    expect(render(notes).map(flat)).toEqual([
      `CREATE TABLE IF NOT EXISTS metrics.notes ON CLUSTER 'fleet' (id String) ENGINE = ReplicatedMergeTree('/clickhouse/tables/all/{database}/{table}', '{shard}-{replica}') ORDER BY id`,
    ]);
  });

  it('shards by GPU what a view reads or fills, with the view between the local tables', () => {
    expect(render(door, seen, view).map(flat)).toEqual([
      `CREATE TABLE IF NOT EXISTS metrics.seen_in_local ON CLUSTER 'fleet' (gpu_uuid String COMMENT 'FROM seen_in', v Int32) ENGINE = Null`,
      `CREATE TABLE IF NOT EXISTS metrics.seen_in ON CLUSTER 'fleet' AS metrics.seen_in_local ENGINE = Distributed('fleet', 'metrics', 'seen_in_local', cityHash64(gpu_uuid))`,
      `CREATE TABLE IF NOT EXISTS metrics.seen_local ON CLUSTER 'fleet' (gpu_uuid String, v Int32) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}', v) ORDER BY gpu_uuid SETTINGS replicated_deduplication_window = 9, replicated_deduplication_window_seconds = 604800 COMMENT 'What was seen.'`,
      `CREATE TABLE IF NOT EXISTS metrics.seen ON CLUSTER 'fleet' AS metrics.seen_local ENGINE = Distributed('fleet', 'metrics', 'seen_local', cityHash64(gpu_uuid)) COMMENT 'What was seen.'`,
      `CREATE MATERIALIZED VIEW IF NOT EXISTS metrics.seen_from_in ON CLUSTER 'fleet' TO metrics.seen_local AS SELECT seen_in.gpu_uuid AS gpu_uuid, v FROM metrics.seen_in_local AS seen_in WHERE v > 0`,
    ]);
  });

  it.each([
    ['ALTER TABLE seen ADD COLUMN w Int32', ['seen_local', 'seen']],
    ['ALTER TABLE seen MODIFY TTL t + INTERVAL 3 DAY', ['seen_local']],
    ['ALTER TABLE notes ADD COLUMN w Int32', ['notes']],
  ])('%s concerns %j', (alter, expected) => {
    const rendered = render(door, seen, notes, view, alter).slice(6);
    const targets = rendered.map((sql) => /^ALTER TABLE metrics\.(\w+) ON CLUSTER 'fleet' /.exec(sql)?.[1]);
    expect(targets).toEqual(expected);
  });

  it('drops the table over the shards before what it stands on', () => {
    const rendered = render(door, seen, view, 'DROP TABLE IF EXISTS seen').slice(-2);
    expect(rendered).toEqual([
      "DROP TABLE IF EXISTS metrics.seen ON CLUSTER 'fleet' SYNC",
      "DROP TABLE IF EXISTS metrics.seen_local ON CLUSTER 'fleet' SYNC",
    ]);
  });

  it('refuses a statement that it does not know, a table without a GPU, and a name that is none', () => {
    expect(() => render('OPTIMIZE TABLE seen')).toThrow(/teach cluster-ddl/);
    expect(() => render(door, view, seen.replaceAll('gpu_uuid', 'id'))).toThrow(/no gpu_uuid/);
    expect(() => clusterFiles([[notes]], { cluster: "x' --", database: 'metrics' })).toThrow(/not a name/);
  });
});

describe('the migrations on a cluster', () => {
  it('are what cluster/poolmeter.sql shows; write it anew with dist/cluster-ddl-main.js', async () => {
    const golden = await readFile(new URL('../cluster/poolmeter.sql', import.meta.url), 'utf8');
    expect(await clusterDdlText()).toBe(golden);
  });

  let test: TestStore;
  beforeAll(async () => {
    test = await startTestStore();
  });
  afterAll(() => test.stop());

  it('are read by the parser of ClickHouse, statement by statement', async () => {
    for (const statement of statementsOf(await clusterDdlText())) {
      await test.store.select(`EXPLAIN AST ${statement}`, { name: 'parse', maxRows: 10_000 });
    }
  });

  it('leave a store alone that was made without a cluster', async () => {
    await expect(migrateMetricsStore(test.store, { cluster: 'fleet' })).rejects.toMatchObject({
      code: 'precondition_failed',
    });
  });
});

/**
 * A cluster of one shard and one replica inside the engine. It has no replication, so the tables lose that word, and
 * nothing here shows ON CLUSTER or ZooKeeper at work; the Distributed tables and the views between local ones are real.
 */
describe('the tables of a cluster', () => {
  let directory: string;
  let engine: Engine;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'poolmeter-cluster-'));
    const config = join(directory, 'config.xml');
    const replica = '<replica><host>127.0.0.1</host><port>9000</port></replica>';
    await writeFile(
      config,
      `<clickhouse><tcp_port>9000</tcp_port><remote_servers><poolmeter><shard>${replica}</shard></poolmeter></remote_servers></clickhouse>`,
    );
    engine = loadEngine(join(directory, 'store'), [`--config-file=${config}`]);
    for (const statement of statementsOf(await clusterDdlText())) await run(onOneNode(statement));
  });
  afterAll(() => rm(directory, { recursive: true }));

  async function run(sql: string, settings: readonly string[] = []): Promise<string> {
    const connection = engine.open();
    try {
      for (const setting of ["session_timezone = 'UTC'", ...settings]) await connection.run(`SET ${setting}`);
      return (await connection.run(sql)).bytes.toString().trim();
    } finally {
      connection.close();
    }
  }

  function onOneNode(statement: string): string {
    return statement
      .replace(/ ON CLUSTER 'poolmeter'/g, '')
      .replace(/Replicated(\w*MergeTree)\('[^']*', '[^']*'(?:, )?/, '$1(')
      .replace(
        /replicated_deduplication_window = (\d+), replicated_\w+ = \d+/,
        'non_replicated_deduplication_window = $1',
      );
  }

  it('take samples through the door of all shards, once for the same token, and roll them up on theirs', async () => {
    const rows = [0, 10_000, 60_000].map((offset) => sampleAt(TEN_O_CLOCK_MS + offset, { gpuUuid: 'GPU-1' }));
    const file = join(directory, 'rows.bin');
    await writeFile(file, encodeSampleRows([...rows, sampleAt(TEN_O_CLOCK_MS, { gpuUuid: '' })]));
    const columns = sampleColumnsV1.map((each) => each.storedColumn).join(', ');
    const exactlyOnce = [
      'distributed_foreground_insert = 1',
      'insert_deduplicate = 1',
      'deduplicate_blocks_in_dependent_materialized_views = 1',
      "insert_deduplication_token = 'range-1'",
    ];
    for (let attempt = 0; attempt < 2; attempt += 1) {
      await run(
        `INSERT INTO poolmeter.gpu_samples_in (${columns}) FROM INFILE '${file}' FORMAT RowBinary`,
        exactlyOnce,
      );
    }
    const counts = await run(`
      SELECT
        (SELECT count() FROM poolmeter.gpu_samples),
        (SELECT sum(sample_count) FROM poolmeter.gpu_samples_1m),
        (SELECT count() FROM poolmeter.gpu_samples_1m FINAL),
        (SELECT sum(sample_count) FROM poolmeter.gpu_samples_1h),
        (SELECT toUnixTimestamp64Milli(ts) FROM poolmeter.gpu_latest FINAL),
        (SELECT count() FROM poolmeter.ingest_rejects)`);
    expect(counts.split('\t')).toEqual(['3', '3', '2', '3', String(TEN_O_CLOCK_MS + 60_000), '1']);
  });

  it('answer a question about GPUs of another table on the shard where both lie', async () => {
    const sql = `
      SELECT count() FROM poolmeter.gpu_samples
      WHERE gpu_uuid IN (SELECT gpu_uuid FROM poolmeter.gpu_samples_1h WHERE node != '')`;
    expect(await run(sql, ["distributed_product_mode = 'local'"])).toBe('3');
  });
});
