/** What the pipeline tells about itself. README.md lists names and labels; topic and partition are those that it owns. */
import type { Meter } from '@opentelemetry/api';
import { isPoolmeterError, type Clock } from '@poolmeter/domain';
import type { MessageBatch, PartitionRange } from '@poolmeter/event-bus';
import type { MessageRange, Refused } from './range-buffer.js';
import { storeTroubles, type StoreTrouble } from './store-trouble.js';

export interface PipelineMetrics {
  onBatch(batch: MessageBatch): void;
  /** Where owned partitions end now, also while nothing is read. */
  onEnds(ends: readonly PartitionRange[]): void;
  onRows(table: string, rowCount: number): void;
  onRefused(topic: string, refused: readonly Refused[]): void;
  onStored(topic: string, partition: number, range: MessageRange): void;
  onTrouble(topic: string, step: string, fault: unknown): void;
  /** Messages that retention dropped unread, or numbers that agents sent and nobody got. */
  onLost(topic: string, cause: 'retention' | 'truncated' | 'sequence', messages: bigint): void;
  onLateFilled(topic: string, messages: bigint): void;
  /** Rows, or hours of rollups, that a crash of the store had left out and that were put right. */
  onMended(what: 'rows' | 'rollups', count: number): void;
  onForeign(topic: string): void;
  onRelabelled(topic: string): void;
  /** Partitions that are given away are no longer our lag to tell. */
  onRevoked(topic: string, partition: number): void;
}

export interface PipelineMetricsOptions {
  readonly meter: Meter;
  readonly clock: Clock;
  readonly gauges: PipelineGauges;
}

/** What is asked when metrics are read. */
export interface PipelineGauges {
  bufferedBytes(): number;
  openGaps(): number;
  flushIntervalMs(): number;
  trouble(): StoreTrouble | undefined;
}

interface Progress {
  readonly topic: string;
  readonly partition: number;
  endOffset: bigint;
  settledOffset: bigint;
  /** When the bus stored the last message that is settled; of the first that was read as long as none is. */
  settledAtMs: number;
  newestTsMs: number | undefined;
}

export function createPipelineMetrics({ meter, clock, gauges }: PipelineMetricsOptions): PipelineMetrics {
  const progress = new Map<string, Progress>();
  const counters = createCounters(meter);
  observeProgress(meter, clock, progress);
  observeGauges(meter, gauges);
  return {
    onBatch({ topic, partition, endOffset, messages: batch }) {
      const [first] = batch;
      const known = progress.get(`${topic}/${partition}`);
      if (known !== undefined) known.endOffset = endOffset;
      else if (first !== undefined) {
        progress.set(`${topic}/${partition}`, {
          topic,
          partition,
          endOffset,
          settledOffset: first.offset,
          settledAtMs: first.storedAtMs,
          newestTsMs: undefined,
        });
      }
    },
    onEnds(ends) {
      for (const { topic, partition, nextOffset } of ends) {
        const known = progress.get(`${topic}/${partition}`);
        if (known !== undefined && nextOffset > known.endOffset) known.endOffset = nextOffset;
      }
    },
    onRows: (table, rowCount) => counters.rows.add(rowCount, { table }),
    onRefused(topic, refused) {
      for (const { code } of refused) counters.deadLetters.add(1, { topic, code });
    },
    onStored(topic, partition, range) {
      counters.messages.add(range.messages - range.repeats, { topic, outcome: 'settled' });
      counters.messages.add(range.repeats, { topic, outcome: 'repeat' });
      counters.freshness.record(Math.max(0, clock.now() - range.oldestAtMs), { topic });
      const known = progress.get(`${topic}/${partition}`);
      if (known !== undefined) settle(known, range);
    },
    onTrouble(topic, step, fault) {
      const code = isPoolmeterError(fault) ? fault.code : 'internal';
      counters.troubles.add(1, { topic, step, code });
    },
    onLost: (topic, cause, messages) => counters.lost.add(Number(messages), { topic, cause }),
    onLateFilled: (topic, messages) => counters.lateFilled.add(Number(messages), { topic }),
    onMended: (what, count) => counters.mended.add(count, { what }),
    onForeign: (topic) => counters.foreign.add(1, { topic }),
    onRelabelled: (topic) => counters.relabelled.add(1, { topic }),
    onRevoked: (topic, partition) => void progress.delete(`${topic}/${partition}`),
  };
}

function settle(known: Progress, range: MessageRange): void {
  known.settledOffset = range.last + 1n;
  known.settledAtMs = range.newestAtMs;
  if (known.endOffset < known.settledOffset) known.endOffset = known.settledOffset;
  if (range.newestTsMs === undefined) return;
  known.newestTsMs = Math.max(known.newestTsMs ?? -Infinity, range.newestTsMs);
}

function createCounters(meter: Meter) {
  const counter = (name: string, description: string) =>
    meter.createCounter(`poolmeter.pipeline.${name}`, { description });
  return {
    rows: counter('rows', 'Rows stored, by table.'),
    messages: counter(
      'messages',
      'Messages read to the end, by topic and outcome: settled (stored or dead letter) or repeat.',
    ),
    deadLetters: counter('dead_letters', 'Messages sent to the dead-letter topic, by topic and code.'),
    troubles: counter('troubles', 'Steps that failed and are tried again, by topic, step and code.'),
    lost: counter(
      'lost_messages',
      'Messages that were sent and will not be stored, by topic and cause: retention and truncated (gone from the bus unread), sequence (never arrived).',
    ),
    lateFilled: counter('late_filled_messages', 'Messages counted as lost by sequence that came after all.'),
    mended: counter(
      'mended',
      'Rows, or hours of rollups, that a crash of the store left out and that were put right.',
    ),
    foreign: counter('foreign_rows', 'Rows and events of nodes that are not the provider’s, by topic.'),
    relabelled: counter('relabelled_rows', 'Rows that named another provider than their topic, by topic.'),
    freshness: meter.createHistogram('poolmeter.pipeline.freshness', {
      description:
        'From storing a message on the bus to its rows being readable; the oldest message of each range.',
      unit: 'ms',
      advice: {
        explicitBucketBoundaries: [50, 100, 250, 500, 1_000, 2_000, 5_000, 15_000, 60_000, 600_000],
      },
    }),
  };
}

function observeProgress(meter: Meter, clock: Clock, progress: ReadonlyMap<string, Progress>): void {
  const observe = (name: string, description: string, valueOf: (one: Progress) => number | undefined) =>
    meter.createObservableGauge(`poolmeter.pipeline.${name}`, { description }).addCallback((result) => {
      for (const one of progress.values()) {
        const value = valueOf(one);
        const { topic, partition } = one;
        if (value !== undefined) result.observe(value, { topic, partition });
      }
    });
  const lagOf = ({ endOffset, settledOffset }: Progress) => Number(endOffset - settledOffset);
  observe('lag', 'Messages of a partition that are not stored yet.', lagOf);
  observe(
    'lag_seconds',
    'How long ago the bus got the last message of a partition that is stored; 0 when all of them are.',
    (one) => (lagOf(one) > 0 ? Math.max(0, clock.now() - one.settledAtMs) / 1_000 : 0),
  );
  observe(
    'newest_sample_age_seconds',
    'Age of the newest sample that was stored, by the time in the sample.',
    ({ newestTsMs }) => (newestTsMs === undefined ? undefined : (clock.now() - newestTsMs) / 1_000),
  );
}

function observeGauges(meter: Meter, gauges: PipelineGauges): void {
  const observe = (name: string, description: string, value: () => number) =>
    meter
      .createObservableGauge(`poolmeter.pipeline.${name}`, { description })
      .addCallback((result) => result.observe(value()));
  observe('buffered_bytes', 'Bytes of messages in memory that are not stored yet.', () =>
    gauges.bufferedBytes(),
  );
  observe('open_gaps', 'Gaps in agents’ numbering that were told and are not closed.', () =>
    gauges.openGaps(),
  );
  observe('flush_interval_ms', 'How long a range that is not full waits now.', () =>
    gauges.flushIntervalMs(),
  );
  meter
    .createObservableGauge('poolmeter.pipeline.store_trouble', {
      description: 'What keeps the store from taking rows: 1 for the reason in force, 0 for the others.',
    })
    .addCallback((result) => {
      const trouble = gauges.trouble();
      for (const reason of storeTroubles) result.observe(reason === trouble ? 1 : 0, { reason });
    });
}
