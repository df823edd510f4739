import { instantFromMs } from '@poolmeter/domain';
import { describe, expect, it } from 'vitest';
import { createTextLocator, decodeSampleRows, storedRowAt } from './decode-samples.js';
import { encodeSampleRows } from './encode-samples.js';
import type { GpuSample } from './gpu-sample.js';
import { nodeMatches } from './node-pattern.js';
import { replaceText } from './replace-text.js';
import { decodeSampleBatchHeader, encodeSampleBatch } from './sample-batch.js';
import type { SampleColumn } from './sample-columns.js';
import { sampleSchemaOf, sampleSchemas, sampleSchemaV1, type SampleSchema } from './sample-schemas.js';
import { parseAgentTopic, topicOfProvider, topics } from './topics.js';

const header = { producer: 'agent-a', producerEpoch: 3n, sequence: 7n };

/** Only what these tests look at; every other field is missing or zero. */
function sample(over: Partial<GpuSample>): GpuSample {
  const empty = sampleSchemaV1.columns.map((column) => {
    const absent = column.missing === undefined ? 0 : null;
    return [column.field, column.type === 'String' ? '' : absent] as const;
  });
  const blank = Object.fromEntries(empty) as Record<keyof GpuSample, string | number | null>;
  return { ...blank, ts: instantFromMs(1_000), ...over } as GpuSample;
}

const extra: SampleColumn = {
  field: 'powerLimitWatts',
  unitColumn: 'power_limit_default_watts',
  storedColumn: 'raw_power_limit_default_watts',
  type: 'UInt16',
  scale: 1,
  missing: 65_535n,
};
const v2: SampleSchema = { version: 2, columns: [...sampleSchemaV1.columns, extra] };

describe('versions of sample rows', () => {
  it('are read side by side, each by its own columns', () => {
    const rows = [sample({ node: 'a', powerLimitWatts: 700 }), sample({ node: 'b' })];
    const known = [sampleSchemaV1, v2];
    for (const schema of known) {
      const batch = decodeSampleBatchHeader(encodeSampleBatch(header, rows, { schema }), known);
      expect(batch).toMatchObject({ schemaVersion: schema.version, rowCount: 2, schema });
      expect(decodeSampleRows(batch.rows, 2, schema)).toEqual(rows);
    }
    expect(encodeSampleRows(rows, { schema: v2 }).length - encodeSampleRows(rows).length).toBe(2 * 2);
  });

  it('that are not known are refused with their number and what is known', () => {
    expect(() => decodeSampleBatchHeader(encodeSampleBatch(header, [], { schema: v2 }))).toThrow(
      'Sample schema version 2 is not known here, only 1: upgrade the reader first.',
    );
    expect(() => sampleSchemaOf(9, [sampleSchemaV1, v2])).toThrow(/version 9 .* only 1 and 2/);
    expect(sampleSchemas.map(({ version }) => version)).toEqual([1]);
  });

  it('rows of one version are not taken for another', () => {
    const bytes = encodeSampleBatch(header, [sample({})], { schema: v2 });
    bytes.writeUInt16LE(1, 4);
    expect(() => decodeSampleBatchHeader(bytes)).toThrow('2 bytes follow the last of 1 sample rows.');
  });
});

describe('a row that is not decoded', () => {
  const rows = encodeSampleRows([
    sample({ node: 'gpu-1', providerId: 'south' }),
    sample({ node: 'x'.repeat(200), providerId: '', gpuUuid: 'GPU-7', powerWatts: 612.3 }),
  ]);
  const firstEnd = encodeSampleRows([sample({ node: 'gpu-1', providerId: 'south' })]).length;

  it('tells its node and provider', () => {
    const at = (field: 'node' | 'providerId', start: number) => {
      const { textStart, end } = createTextLocator(sampleSchemaV1, field)(rows, start);
      return rows.toString('utf8', textStart, end);
    };
    expect([at('node', 0), at('providerId', 0)]).toEqual(['gpu-1', 'south']);
    expect([at('node', firstEnd), at('providerId', firstEnd)]).toEqual(['x'.repeat(200), '']);
  });

  it.each(['north', '', 'p'.repeat(300)])(
    'takes another provider, here "%s", and stays a row',
    (provider) => {
      const place = createTextLocator(sampleSchemaV1, 'providerId')(rows, firstEnd);
      const changed = replaceText(rows, { start: firstEnd, end: rows.length, place }, provider);
      const [before] = decodeSampleRows(rows.subarray(firstEnd), 1);
      expect(decodeSampleRows(changed, 1)).toEqual([{ ...before, providerId: provider }]);
    },
  );

  it('can be shown by its stored columns', () => {
    expect(storedRowAt(rows, firstEnd, sampleSchemaV1)).toMatchObject({
      gpu_uuid: 'GPU-7',
      raw_power_watts: 6_123,
      raw_energy_joules: '18446744073709551615',
    });
  });
});

describe('topics of agents', () => {
  it.each([
    [topics.gpuSamples, { topic: topics.gpuSamples, provider: undefined }],
    ['poolmeter.gpu-samples.north', { topic: topics.gpuSamples, provider: 'north' }],
    ['poolmeter.gpu-events.north.eu', { topic: topics.gpuEvents, provider: 'north.eu' }],
    ['poolmeter.gpu-samplesnorth', undefined],
    [topics.billing, undefined],
  ])('%s', (name, expected) => {
    expect(parseAgentTopic(name)).toEqual(expected);
  });

  it('go both ways', () => {
    expect(parseAgentTopic(topicOfProvider(topics.gpuEvents, 'a_b-c.d'))?.provider).toBe('a_b-c.d');
  });
});

describe('patterns of nodes', () => {
  it.each([
    ['gpu-1', 'gpu-1', true],
    ['gpu-1', 'gpu-12', false],
    ['gpu-*', 'gpu-', true],
    ['h?.rack*', 'h1.rack7', true],
    ['h?.rack*', 'h1xrack7', false],
    ['gpu-*', 'agpu-1', false],
  ])('%s and %s: %s', (pattern, node, expected) => {
    expect(nodeMatches(pattern, node)).toBe(expected);
  });
});
