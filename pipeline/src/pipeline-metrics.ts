/** What the pipeline tells about itself. Names and labels are listed in docs/metrics.md. */
import type { Meter } from '@opentelemetry/api';
import { isPoolmeterError, type Clock } from '@poolmeter/domain';
import type { MessageBatch } from '@poolmeter/event-bus';
import type { MessageRange, Refused } from './range-buffer.js';

export interface PipelineMetrics {
  onBatch(batch: MessageBatch): void;
  onRows(table: string, rowCount: number): void;
  onRefused(topic: string, refused: readonly Refused[]): void;
  onStored(topic: string, range: MessageRange): void;
  onTrouble(topic: string, step: string, fault: unknown): void;
  /** Partitions that are given away are no longer our lag to tell. */
  onRevoked(topic: string, partition: number): void;
}

export interface PipelineMetricsOptions {
  readonly meter: Meter;
  readonly clock: Clock;
  readonly bufferedBytes: () => number;
}

interface Progress {
  readonly topic: string;
  readonly partition: number;
  endOffset: bigint;
  readOffset: bigint;
}

export function createPipelineMetrics({
  meter,
  clock,
  bufferedBytes,
}: PipelineMetricsOptions): PipelineMetrics {
  const progress = new Map<string, Progress>();
  const rows = meter.createCounter('poolmeter.pipeline.rows', { description: 'Rows stored, by table.' });
  const messages = meter.createCounter('poolmeter.pipeline.messages', {
    description: 'Messages read to the end, by topic and outcome: settled (stored or dead letter) or repeat.',
  });
  const deadLetters = meter.createCounter('poolmeter.pipeline.dead_letters', {
    description: 'Messages sent to the dead-letter topic, by topic and code.',
  });
  const troubles = meter.createCounter('poolmeter.pipeline.troubles', {
    description: 'Steps that failed and are tried again, by topic, step and code.',
  });
  const freshness = meter.createHistogram('poolmeter.pipeline.freshness', {
    description:
      'From storing a message on the bus to its rows being readable; the oldest message of each range.',
    unit: 'ms',
    advice: { explicitBucketBoundaries: [50, 100, 250, 500, 1_000, 2_000, 5_000, 15_000, 60_000, 600_000] },
  });
  meter
    .createObservableGauge('poolmeter.pipeline.lag', {
      description: 'Messages in a partition that were not yet read, when its last batch was.',
    })
    .addCallback((result) => {
      for (const { topic, partition, endOffset, readOffset } of progress.values()) {
        result.observe(Number(endOffset - readOffset), { topic, partition });
      }
    });
  meter
    .createObservableGauge('poolmeter.pipeline.buffered_bytes', {
      description: 'Bytes of messages in memory that are not stored yet.',
    })
    .addCallback((result) => result.observe(bufferedBytes()));
  return {
    onBatch({ topic, partition, endOffset, messages: batch }) {
      const readOffset = (batch.at(-1)?.offset ?? endOffset - 1n) + 1n;
      progress.set(`${topic}/${partition}`, { topic, partition, endOffset, readOffset });
    },
    onRows(table, rowCount) {
      rows.add(rowCount, { table });
    },
    onRefused(topic, refused) {
      for (const { code } of refused) deadLetters.add(1, { topic, code });
    },
    onStored(topic, range) {
      messages.add(range.messages - range.repeats, { topic, outcome: 'settled' });
      messages.add(range.repeats, { topic, outcome: 'repeat' });
      freshness.record(Math.max(0, clock.now() - range.oldestAtMs), { topic });
    },
    onTrouble(topic, step, fault) {
      troubles.add(1, { topic, step, code: isPoolmeterError(fault) ? fault.code : 'internal' });
    },
    onRevoked(topic, partition) {
      progress.delete(`${topic}/${partition}`);
    },
  };
}
