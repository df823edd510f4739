import { instantFromMs } from '@poolmeter/domain';
import { createSimulatedPool, type Scenario } from '@poolmeter/pool-simulator';
import {
  decodeSampleRows,
  encodeSampleRows,
  type GpuEvent,
  type GpuSample,
} from '@poolmeter/telemetry-schema';
import { parseMetrics } from 'dcgm-exporter-client';
import { describe, expect, it } from 'vitest';
import { agentEventIdentity } from './event-identity.js';
import { KernelLogEvents } from './kernel-log-events.js';
import { normalPciBusId } from './pci-bus-id.js';
import { createSampleBuilder, instanceName } from './sample-builder.js';

const start = Date.parse('2026-03-01T10:00:00Z');
const at = (minutes: number) => instantFromMs(start + minutes * 60_000);

const scenario: Scenario = {
  leases: [
    { leaseId: 'lease-1', customerId: 'acme', node: 'gpu-01', gpuIndex: 3, startsAt: at(5), endsAt: at(120) },
    {
      leaseId: 'lease-2',
      customerId: 'acme',
      node: 'gpu-03',
      gpuIndex: 0,
      gpuInstanceId: 9,
      startsAt: at(0),
      endsAt: at(120),
    },
  ],
  faults: [
    { kind: 'xid_79', node: 'gpu-01', gpuIndex: 3, at: instantFromMs(at(40) + 250), healthyAt: at(70) },
  ],
};

/** Two hours of one node, a scrape a minute, through the same pieces that the agent uses. */
function collectNode(node: string) {
  const pool = createSimulatedPool({ seed: 7, startAt: at(0), scenario });
  const builder = createSampleBuilder({
    fallbackNode: 'unknown',
    pool: 'main',
    providerId: 'north',
    identity: agentEventIdentity('test', 1n),
    demo: true,
  });
  const log = new KernelLogEvents({
    node,
    pool: 'main',
    providerId: 'north',
    findGpu: (pci) =>
      Object.entries(builder.gpus()).find(([, gpu]) => normalPciBusId(gpu.pciBusId) === pci)?.[0],
    nameInstance: (uuid, id) => instanceName(builder.gpus()[uuid], id),
  });
  const samples: GpuSample[] = [];
  const events: GpuEvent[] = [];
  let badLines = 0;
  for (let minute = 0; minute < 120; minute += 1) {
    pool.advanceTo(at(minute));
    const scrape = pool.scrape(node, at(minute));
    if (scrape.kind === 'text') {
      const parsed = parseMetrics(scrape.text);
      badLines += parsed.faultCount;
      const built = builder.samplesFrom(parsed.readings, { ts: at(minute), ingestedAt: at(minute) });
      samples.push(...built.samples);
      events.push(...built.events);
    }
    const lines = minute === 0 ? [] : pool.kernelLines(node, at(minute - 1), at(minute));
    events.push(...log.eventsFrom(lines, at(minute)));
  }
  const implausible: string[] = [];
  const rows = encodeSampleRows(samples, { onImplausible: (column) => implausible.push(column.unitColumn) });
  return { pool, samples: decodeSampleRows(rows, samples.length), events, badLines, implausible };
}

describe('a simulated node, collected', () => {
  it('gives every GPU every minute, without a bad line or an impossible value', () => {
    const { samples, badLines, implausible } = collectNode('gpu-05');
    expect({ badLines, implausible }).toEqual({ badLines: 0, implausible: [] });
    expect(samples).toHaveLength(8 * 120);
    expect(new Set(samples.map((sample) => sample.gpuUuid)).size).toBe(8);
    expect(samples.every((sample) => sample.node === 'gpu-05' && sample.energyJoules !== null)).toBe(true);
  });

  it('tells the fault to the millisecond, of the right GPU, and the GPU that went', () => {
    const { pool, events, samples } = collectNode('gpu-01');
    const [fault] = pool.faults();
    const xid = events.find((event) => event.kind === 'xid' && event.code === 79);
    expect(xid).toMatchObject({ ts: at(40) + 250, gpuUuid: fault?.gpuUuid, node: 'gpu-01' });
    const lost = events.find((event) => event.kind === 'gpu.lost');
    expect(lost).toMatchObject({ gpuUuid: fault?.gpuUuid });
    // The first scrape without it is that of minute 41; the second one says so.
    expect(lost?.ts).toBe(at(42));
    const own = samples.filter((sample) => sample.gpuUuid === fault?.gpuUuid);
    expect(own.some((sample) => sample.ts > at(41) && sample.ts < at(70))).toBe(false);
    expect(own.filter((sample) => sample.leaseId === 'lease-1').length).toBeGreaterThan(30);
    expect(
      events.filter((event) => event.kind === 'gpu.appeared' && event.gpuUuid === fault?.gpuUuid),
    ).toHaveLength(2);
  });

  it('keeps a MIG board and its instances apart, with one energy counter', () => {
    const { samples } = collectNode('gpu-03');
    const first = samples.filter((sample) => sample.ts === at(10));
    const boards = first.filter((sample) => sample.gpuInstance === '');
    const instances = first.filter((sample) => sample.gpuInstance !== '');
    expect(boards).toHaveLength(8);
    expect(instances.filter((sample) => sample.gpuIndex === 0)).toHaveLength(7);
    expect(boards.every((sample) => sample.energyJoules !== null)).toBe(true);
    expect(instances.every((sample) => sample.energyJoules === null && sample.powerWatts === null)).toBe(
      true,
    );
    expect(
      instances.filter((sample) => sample.leaseId === 'lease-2').map((sample) => sample.gpuInstance),
    ).toEqual(['9/0']);
  });
});
