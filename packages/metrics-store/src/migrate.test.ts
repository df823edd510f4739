import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { encodeSampleRows, roundingLoss, sampleColumnsV1 } from '@poolmeter/telemetry-schema';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { column } from './column.js';
import { defineQuery } from './define-query.js';
import { migrateMetricsStore, readMigrations, statementsOf } from './migrate.js';
import { gpuList } from './queries/gpu-list.js';
import { nothingMeasured, sampleAt, TEN_O_CLOCK_MS } from './sample-rows.js';
import { startTestStore, type TestStore } from './start-test-store.js';
import { gpuSamplesInsert, tables } from './tables.js';

const columnsOf = defineQuery({
  name: 'columns-of',
  sql: `
    SELECT name, type, default_kind, comment
    FROM system.columns
    WHERE database = currentDatabase() AND table = {table:String}
    ORDER BY position
  `,
  params: z.object({ table: z.string() }),
  row: z.object({ name: column.text, type: column.text, default_kind: column.text, comment: column.text }),
});

const WITHOUT_OWN_COLUMNS = new Set(['DEFAULT', 'MATERIALIZED', 'ALIAS']);

describe('the migrations', () => {
  let test: TestStore;
  beforeAll(async () => {
    test = await startTestStore();
  });
  afterAll(() => test.stop());

  it('are applied once, and a second run finds nothing to do', async () => {
    const again = await migrateMetricsStore(test.store);
    expect(again).toHaveLength((await readMigrations()).length);
    expect(again.filter((migration) => migration.isNew)).toEqual([]);
  });

  it('are refused when a file was changed after it had been applied', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'poolmeter-migrations-'));
    await writeFile(join(directory, '0001_gpu_samples.sql'), 'SELECT 1;\n');
    const changed = { directory: pathToFileURL(`${directory}/`) };
    await expect(migrateMetricsStore(test.store, changed)).rejects.toMatchObject({ code: 'storage.corrupt' });
    await rm(directory, { recursive: true });
  });

  it.each([tables.gpuSamples, tables.gpuSamplesIn, tables.gpuLatest])(
    'give %s exactly the columns that travel on the wire, in their order',
    async (table) => {
      const found = await test.store.query(columnsOf, { table });
      const stored = found.filter(
        (each) => !WITHOUT_OWN_COLUMNS.has(each.default_kind) && each.name !== 'stored_at',
      );
      const plain = (type: string) =>
        type.replace(/^LowCardinality\((.*)\)$/, '$1').replace(/^DateTime64\(3, 'UTC'\)$/, 'DateTime64(3)');
      expect(stored.map((each) => [each.name, plain(each.type)])).toEqual(
        sampleColumnsV1.map((each) => [each.storedColumn, each.type]),
      );
    },
  );

  it.each([tables.gpuSamples, tables.gpuLatest])(
    'give %s a unit column for every measurement',
    async (table) => {
      const found = await test.store.query(columnsOf, { table });
      const aliases = found.filter((each) => each.default_kind === 'ALIAS').map((each) => each.name);
      const measured = sampleColumnsV1.filter((each) => each.missing !== undefined);
      expect(aliases).toEqual(measured.map((each) => each.unitColumn));
    },
  );

  it('comment every column, and name the DCGM field where there is one', async () => {
    for (const table of Object.values(tables)) {
      const found = await test.store.query(columnsOf, { table });
      expect(found.filter((each) => each.comment === '').map((each) => `${table}.${each.name}`)).toEqual([]);
    }
    const samples = await test.store.query(columnsOf, { table: tables.gpuSamples });
    for (const { unitColumn, dcgmFieldId } of sampleColumnsV1.filter(
      (each) => each.dcgmFieldId !== undefined,
    )) {
      const comment = samples.find((each) => each.name === unitColumn)?.comment;
      expect(comment).toContain(`DCGM ${dcgmFieldId ?? ''}.`);
    }
  });

  it('read every value back in its unit, within the loss that its column states', async () => {
    const written = sampleAt(TEN_O_CLOCK_MS, { gpuUuid: 'GPU-units', temperatureMarginCelsius: -4 });
    await test.store.insert({ ...gpuSamplesInsert, values: encodeSampleRows([written]), token: 'units' });
    const [read] = await test.store.query(gpuList, { gpu_uuid: 'GPU-units' });
    for (const each of sampleColumnsV1) {
      const value = read?.[each.unitColumn as keyof typeof read];
      const expected = written[each.field];
      if (typeof expected === 'string') expect([each.unitColumn, value]).toEqual([each.unitColumn, expected]);
      else
        expect(Math.abs(Number(value) - Number(expected)), each.unitColumn).toBeLessThanOrEqual(
          roundingLoss(each),
        );
    }
  });

  it('read NULL where the exporter said nothing, never zero', async () => {
    const written = sampleAt(TEN_O_CLOCK_MS, { gpuUuid: 'GPU-silent', ...nothingMeasured });
    await test.store.insert({ ...gpuSamplesInsert, values: encodeSampleRows([written]), token: 'silent' });
    const [read] = await test.store.query(gpuList, { gpu_uuid: 'GPU-silent' });
    const measured = sampleColumnsV1.filter((each) => each.missing !== undefined);
    const notNull = measured.filter((each) => read?.[each.unitColumn as keyof typeof read] !== null);
    expect(notNull.map((each) => each.unitColumn)).toEqual([]);
  });
});

describe('statementsOf', () => {
  it('cuts at a semicolon that ends a line and drops what is only a comment', () => {
    const text = `-- A note; with a semicolon in it\nSELECT ';' AS a,\n  1;\n\n-- nothing more\n`;
    expect(statementsOf(text)).toEqual([`-- A note; with a semicolon in it\nSELECT ';' AS a,\n  1`]);
  });
});
