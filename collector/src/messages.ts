import {
  encodeGpuEvent,
  encodeSampleBatchOfRows,
  encodeSampleRows,
  GPU_EVENT_SCHEMA_VERSION,
  messageHeadersFor,
  SAMPLE_SCHEMA_VERSION,
  topics,
  type EncodeSamplesOptions,
  type GpuEvent,
  type GpuSample,
} from '@poolmeter/telemetry-schema';
import { MESSAGE_BYTES_MAX, type BusMessage, type EventBus } from '@poolmeter/event-bus';

/** Who sends: equal (name, epoch, key, sequence) on one topic is the same message sent again, and readers drop it. */
export interface MessageProducer {
  readonly name: string;
  /** Must grow with each start. */
  readonly epoch: bigint;
  /** Counts by one per topic and key, so that a reader keeps one span per sender. */
  nextSequence(topic: string, key: string): bigint;
}

export function createMessageProducer(name: string, epoch: bigint): MessageProducer {
  const next = new Map<string, bigint>();
  return {
    name,
    epoch,
    nextSequence(topic, key) {
      const stream = JSON.stringify([topic, key]);
      const sequence = next.get(stream) ?? 0n;
      next.set(stream, sequence + 1n);
      return sequence;
    },
  };
}

/** A row takes about 200 bytes, with long names up to 2 KiB; a message must stay below MESSAGE_BYTES_MAX. */
const MAX_ROWS_PER_MESSAGE = 2_000;
const MAX_BATCH_BYTES = MESSAGE_BYTES_MAX - 50_000;

/** One message per node, so that the order per GPU holds; more when a node has very many rows. */
export function sampleMessages(
  samples: readonly GpuSample[],
  producer: MessageProducer,
  options: EncodeSamplesOptions = {},
): BusMessage[] {
  return [...groupByNode(samples)].flatMap(([node, rows]) =>
    slices(rows, MAX_ROWS_PER_MESSAGE).flatMap((slice) => messagesOf(node, slice, { producer, options })),
  );
}

function messagesOf(
  node: string,
  rows: readonly GpuSample[],
  by: { readonly producer: MessageProducer; readonly options: EncodeSamplesOptions },
): BusMessage[] {
  const encoded = encodeSampleRows(rows, by.options);
  if (encoded.length > MAX_BATCH_BYTES && rows.length > 1) {
    // What is implausible in these rows was counted by the encoding above.
    const silent = { producer: by.producer, options: {} };
    return slices(rows, Math.ceil(rows.length / 2)).flatMap((half) => messagesOf(node, half, silent));
  }
  const { name, epoch } = by.producer;
  const sequence = by.producer.nextSequence(topics.gpuSamples, node);
  const header = { producer: name, producerEpoch: epoch, sequence };
  const headers = messageHeadersFor({
    ...header,
    schema: 'gpu-sample',
    schemaVersion: SAMPLE_SCHEMA_VERSION,
  });
  return [
    { key: node, headers, value: encodeSampleBatchOfRows(header, { rowCount: rows.length, rows: encoded }) },
  ];
}

export function eventMessages(events: readonly GpuEvent[], producer: MessageProducer): BusMessage[] {
  return events.map((event) => ({
    key: event.node,
    headers: messageHeadersFor({
      schema: 'gpu-event',
      schemaVersion: GPU_EVENT_SCHEMA_VERSION,
      producer: producer.name,
      producerEpoch: producer.epoch,
      sequence: producer.nextSequence(topics.gpuEvents, event.node),
    }),
    value: encodeGpuEvent(event),
  }));
}

export interface PublishOptions extends EncodeSamplesOptions {
  readonly bus: Pick<EventBus, 'publish'>;
  readonly producer: MessageProducer;
}

/** Publishes samples without a spool: for a back-fill, which can begin again. */
export async function publishSamples(samples: readonly GpuSample[], options: PublishOptions): Promise<void> {
  const messages = sampleMessages(samples, options.producer, options);
  if (messages.length > 0) await options.bus.publish(topics.gpuSamples, messages);
}

/** Publishes events without a spool: for a back-fill, which can begin again. */
export async function publishEvents(
  events: readonly GpuEvent[],
  options: Pick<PublishOptions, 'bus' | 'producer'>,
): Promise<void> {
  if (events.length > 0) await options.bus.publish(topics.gpuEvents, eventMessages(events, options.producer));
}

function groupByNode(samples: readonly GpuSample[]): Map<string, GpuSample[]> {
  const byNode = new Map<string, GpuSample[]>();
  for (const sample of samples) {
    const group = byNode.get(sample.node);
    if (group === undefined) byNode.set(sample.node, [sample]);
    else group.push(sample);
  }
  return byNode;
}

function slices<T>(items: readonly T[], size: number): T[][] {
  const count = Math.ceil(items.length / size);
  return Array.from({ length: count }, (_, index) => items.slice(index * size, (index + 1) * size));
}
