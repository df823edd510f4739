import { instantFromMs } from '@poolmeter/domain';
import { MESSAGE_BYTES_MAX } from '@poolmeter/event-bus';
import {
  decodeSampleBatchHeader,
  decodeSampleRows,
  topics,
  type GpuSample,
} from '@poolmeter/telemetry-schema';
import { parseMetrics } from 'dcgm-exporter-client';
import { describe, expect, it } from 'vitest';
import { createMessageProducer, publishSamples, sampleMessages } from './messages.js';
import { sampleFromReading } from './sample-from-reading.js';

const [reading] = parseMetrics('DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-0"} 140\n').readings;

function sampleOf(node: string, more: Partial<GpuSample> = {}): GpuSample {
  const at = instantFromMs(1_767_225_600_000);
  const context = {
    ts: at,
    ingestedAt: at,
    node,
    pool: 'main',
    providerId: 'north',
    gpuInstance: '',
    energyEpoch: 0,
    flags: 0,
  };
  return { ...sampleFromReading(reading!, context), ...more };
}

describe('messages of samples', () => {
  it('go by node, each node with numbers of its own', () => {
    const producer = createMessageProducer('agent', 7n);
    const first = sampleMessages([sampleOf('a'), sampleOf('b'), sampleOf('a')], producer);
    const second = sampleMessages([sampleOf('a')], producer);
    const told = [...first, ...second].map((message) => {
      const { rowCount, sequence, producerEpoch } = decodeSampleBatchHeader(message.value);
      expect(message.headers).toMatchObject({
        sequence: String(sequence),
        'producer-epoch': '7',
        producer: 'agent',
      });
      return [message.key, rowCount, sequence, producerEpoch];
    });
    expect(told).toEqual([
      ['a', 2, 0n, 7n],
      ['b', 1, 0n, 7n],
      ['a', 1, 1n, 7n],
    ]);
  });

  it('stay below what a bus takes, with every row in order, and count an implausible value once', () => {
    const long = 'x'.repeat(250);
    const samples = Array.from({ length: 5_000 }, (_, index) =>
      sampleOf('a', {
        gpuIndex: index % 8,
        gpuModel: long,
        leaseId: long,
        pool: long,
        gpuUuid: `GPU-${index}`,
      }),
    );
    let implausible = 0;
    const messages = sampleMessages(samples, createMessageProducer('agent', 1n), {
      onImplausible: () => (implausible += 1),
    });
    expect(Math.max(...messages.map((message) => message.value.byteLength))).toBeLessThan(MESSAGE_BYTES_MAX);
    const uuids = messages.flatMap((message) => {
      const batch = decodeSampleBatchHeader(message.value);
      return decodeSampleRows(batch.rows, batch.rowCount).map((row) => row.gpuUuid);
    });
    expect(uuids).toEqual(samples.map((sample) => sample.gpuUuid));
    expect(implausible).toBe(5_000);
  });

  it('are published to the topic of samples; nothing is published for nothing', async () => {
    const published: [string, number][] = [];
    const bus = {
      publish: (topic: string, messages: readonly unknown[]) => {
        published.push([topic, messages.length]);
        return Promise.resolve();
      },
    };
    const producer = createMessageProducer('agent', 1n);
    await publishSamples([sampleOf('a'), sampleOf('b')], { bus, producer });
    await publishSamples([], { bus, producer });
    expect(published).toEqual([[topics.gpuSamples, 2]]);
  });
});
