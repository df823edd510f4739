import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StoredMessage } from '@poolmeter/event-bus';
import { tables } from '@poolmeter/metrics-store';
import {
  decodeSampleRows,
  encodeGpuEvent,
  encodeSampleBatch,
  sampleSchemas,
  topics,
  type GpuSample,
} from '@poolmeter/telemetry-schema';
import { describe, expect, it } from 'vitest';
import {
  busPartitionOf,
  createAgentTopicRules,
  PIPELINE_PRODUCER,
  topicsOfProviders,
  type ForeignClaim,
  type SharedTopicRule,
} from './agent-topic-rules.js';
import { createLearnedNodes, createNodeTable, readNodeOwners, type NodeRegistry } from './node-registry.js';
import { createMessageReader } from './rows-of-message.js';
import { sampleAt } from './test-samples.js';

const owners = createNodeTable([
  { nodes: ['north-*'], provider: 'north' },
  { nodes: ['south-?', 'shared'], provider: 'south' },
]);

function readerWith(registry: NodeRegistry = owners, sharedTopic: SharedTopicRule = 'trust') {
  const claims: ForeignClaim[] = [];
  let relabelled = 0;
  const rules = createAgentTopicRules({
    registry,
    sharedTopic,
    onForeign: (claim) => claims.push(claim),
    onRelabelled: () => (relabelled += 1),
  });
  return {
    read: createMessageReader({ schemas: sampleSchemas, rules }),
    claims,
    relabelled: () => relabelled,
  };
}

function samples(topic: string, rows: readonly Partial<GpuSample>[], producer = 'agent-1'): StoredMessage {
  const header = { producer, producerEpoch: 1n, sequence: 1n };
  const value = encodeSampleBatch(
    header,
    rows.map((row) => ({ ...sampleAt(0), ...row })),
  );
  return { topic, partition: 3, offset: 9n, storedAtMs: 0, key: 'k', headers: { producer }, value };
}

/** What is stored (node, provider, GPU index) and what is rejected, of one message. */
function outcome(read: ReturnType<typeof readerWith>['read'], message: StoredMessage) {
  const content = read(message);
  if (!content.ok) return { code: content.code };
  const stored = content.rows.flatMap((rows) =>
    'bytes' in rows
      ? decodeSampleRows(rows.bytes, rows.rowCount).map(
          ({ node, providerId, gpuIndex }) => `${node} ${providerId} ${gpuIndex}`,
        )
      : [],
  );
  const rejects = content.rows.flatMap((rows) => ('row' in rows ? [rows.row] : []));
  return { stored, rejects };
}

const north = `${topics.gpuSamples}.north`;

describe('on a topic of one provider', () => {
  it('rows of its nodes are stored under its name, whatever they say', () => {
    const { read, relabelled, claims } = readerWith();
    const message = samples(north, [
      { node: 'north-1', providerId: 'north', gpuIndex: 0 },
      { node: 'north-1', providerId: 'south-and-longer', gpuIndex: 1 },
      { node: 'north-2', providerId: '', gpuIndex: 2 },
      { node: 'north-2', providerId: 'north', gpuIndex: 3 },
    ]);
    expect(outcome(read, message)).toEqual({
      stored: ['north-1 north 0', 'north-1 north 1', 'north-2 north 2', 'north-2 north 3'],
      rejects: [],
    });
    expect([relabelled(), claims.length]).toEqual([2, 0]);
  });

  it('rows of other nodes become rejects with a reason, and are told; the others are stored', () => {
    const { read, claims } = readerWith();
    const message = samples(north, [
      { node: 'north-1', providerId: 'north' },
      { node: 'south-1', providerId: 'north', gpuUuid: 'GPU-7', powerWatts: 612.3 },
      { node: 'nobody', providerId: 'north' },
    ]);
    const { stored, rejects } = outcome(read, message);
    expect(stored).toEqual(['north-1 north 0']);
    expect(rejects).toMatchObject([
      {
        source: 'provider check',
        reasons: ['node belongs to another provider than north'],
        node: 'south-1',
        gpu_uuid: 'GPU-7',
        provider_id: 'north',
        topic: north,
        bus_partition: 3,
        bus_offset: '9',
      },
      { reasons: ['node is not known to belong to provider north'], node: 'nobody' },
    ]);
    expect(JSON.parse(String(rejects?.[0]?.['row']))).toMatchObject({
      node: 'south-1',
      raw_power_watts: 6_123,
    });
    expect(claims.map(({ provider, node }) => `${provider} ${node}`)).toEqual([
      'north south-1',
      'north nobody',
    ]);
  });

  it('events are held to the same, and follow positions of their own', () => {
    const { read } = readerWith();
    const event = (node: string): StoredMessage => ({
      ...samples(`${topics.gpuEvents}.north`, []),
      value: encodeGpuEvent({
        ts: sampleAt(0).ts,
        bootId: 'b',
        sequence: 1n,
        node,
        gpuUuid: 'GPU-1',
        gpuInstance: '',
        pool: 'main',
        providerId: 'south',
        kind: 'xid',
        code: 79,
        message: 'NVRM: Xid 79',
        detail: {},
        demo: false,
      }),
    });
    const partition = busPartitionOf(`${topics.gpuEvents}.north`, 3);
    expect(read(event('north-1'))).toMatchObject({
      ok: true,
      rows: [{ table: tables.gpuEvents, row: { provider_id: 'north', bus_partition: partition } }],
    });
    expect(read(event('shared'))).toMatchObject({
      ok: true,
      rows: [{ table: tables.ingestRejects, row: { node: 'shared', source: 'provider check' } }],
    });
  });
});

describe('on the topics that all share', () => {
  it('the provider in the row is taken as it is while the setting says so', () => {
    const { read } = readerWith();
    const message = samples(topics.gpuSamples, [{ node: 'south-1', providerId: 'north' }]);
    expect(outcome(read, message)).toEqual({ stored: ['south-1 north 0'], rejects: [] });
  });

  it('agents are refused when it does not; the pipeline’s own events are not', () => {
    const { read } = readerWith(owners, 'refuse');
    expect(outcome(read, samples(topics.gpuSamples, [{}]))).toEqual({ code: 'forbidden' });
    expect(outcome(read, samples(topics.gpuSamples, [{}], PIPELINE_PRODUCER))).toMatchObject({ rejects: [] });
    expect(outcome(read, samples(north, [{ node: 'north-1' }]))).toMatchObject({ rejects: [] });
  });
});

describe('whose a node is', () => {
  it('is its that spoke for it first, where no file says it', () => {
    const registry = createLearnedNodes([['old', 'south']]);
    expect([
      registry.ownerOf('new', 'north'),
      registry.ownerOf('new', 'south'),
      registry.ownerOf('old', 'north'),
    ]).toEqual(['north', 'north', 'south']);
  });

  it('is read from the pools file, the first pattern that fits deciding', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'poolmeter-pools-'));
    const path = join(folder, 'pools.yaml');
    await writeFile(
      path,
      'pools:\n  - {id: a, nodes: ["gpu-1?"], provider: south, mode: act}\n  - {id: b, nodes: ["gpu-*"], provider: north}\n',
    );
    const registry = createNodeTable(readNodeOwners(path));
    const of = (node: string) => registry.ownerOf(node, 'x');
    expect(['gpu-12', 'gpu-1', 'gpu-123', 'cpu-1'].map(of)).toEqual(['south', 'north', 'north', undefined]);
    await writeFile(path, 'pools:\n  - {id: a, nodes: ["x"]}\n');
    expect(() => readNodeOwners(path)).toThrow(/pools\.0\.provider/);
    await rm(folder, { recursive: true });
  });
});

describe('topics of providers', () => {
  it('are two each, and their events never share a position with those of another topic', () => {
    expect(topicsOfProviders(['north', 'south'])).toEqual([
      `${topics.gpuSamples}.north`,
      `${topics.gpuSamples}.south`,
      `${topics.gpuEvents}.north`,
      `${topics.gpuEvents}.south`,
    ]);
    const numbers = ['north', 'south', 'east'].map((name) =>
      busPartitionOf(`${topics.gpuEvents}.${name}`, 0),
    );
    expect(new Set([...numbers, busPartitionOf(topics.gpuEvents, 0)]).size).toBe(4);
    expect(Math.max(...numbers)).toBeLessThan(2 ** 31 - 1_024);
    expect(() => topicsOfProviders(['nor th'])).toThrow(/cannot be part of a topic/);
  });
});
