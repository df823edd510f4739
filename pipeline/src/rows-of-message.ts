/** What one message of a topic puts into which table: the only place that knows the topics' contents. */
import { isPoolmeterError, messageOf } from '@poolmeter/domain';
import type { StoredMessage } from '@poolmeter/event-bus';
import { tables } from '@poolmeter/metrics-store';
import { decodeGpuEvent, parseAgentTopic, topics, type SampleSchema } from '@poolmeter/telemetry-schema';
import { z } from 'zod';
import { busPartitionOf, type AgentTopicRules } from './agent-topic-rules.js';
import { sampleRows } from './sample-rows.js';
import type { ReadMessage, TableRows } from './table-rows.js';

/** The tables that copies of rows from PostgreSQL may go to, by the topic that may carry them. */
const COPY_TABLES: Readonly<Record<string, readonly string[]>> = {
  [topics.incidents]: [tables.incidents],
  [topics.billing]: [tables.leases, tables.billableIntervals],
  [topics.scalingDecisions]: [tables.scalingDecisions],
};

/** The topics that every pipeline reads; those of single providers come on top. */
export const pipelineTopics: readonly string[] = [
  topics.gpuSamples,
  topics.gpuEvents,
  ...Object.keys(COPY_TABLES),
];

export interface MessageReaderOptions {
  /** The versions of sample rows that are understood. */
  readonly schemas: readonly SampleSchema[];
  readonly rules: AgentTopicRules;
}

export function createMessageReader(options: MessageReaderOptions): ReadMessage {
  return (message) => {
    try {
      return { ok: true, rows: decode(message, options) };
    } catch (fault) {
      const code = isPoolmeterError(fault) ? fault.code : 'wire.malformed';
      return { ok: false, code, reason: messageOf(fault) };
    }
  };
}

function decode(message: StoredMessage, { schemas, rules }: MessageReaderOptions): readonly TableRows[] {
  const agentTopic = parseAgentTopic(message.topic);
  if (agentTopic === undefined) return [copyRow(message)];
  rules.requireWelcome(message);
  const check = rules.checkOf(message);
  if (agentTopic.topic === topics.gpuSamples) return sampleRows(message, { schemas, check });
  const event = decodeGpuEvent(message.value);
  const foreign = check?.foreignReason(event.node);
  if (check === undefined) return [eventRow(message, event)];
  if (foreign === undefined) return [eventRow(message, { ...event, providerId: check.provider })];
  const { node, gpuUuid, gpuInstance, pool, ts } = event;
  const row = Buffer.from(message.value).toString('utf8');
  return [check.reject({ node, gpuUuid, gpuInstance, pool, tsMs: ts, row, reason: foreign })];
}

function eventRow(message: StoredMessage, event: ReturnType<typeof decodeGpuEvent>): TableRows {
  return jsonRow(tables.gpuEvents, {
    ts: new Date(event.ts).toISOString(),
    boot_id: event.bootId,
    sequence: event.sequence.toString(),
    node: event.node,
    gpu_uuid: event.gpuUuid,
    gpu_instance: event.gpuInstance,
    pool: event.pool,
    provider_id: event.providerId,
    kind: event.kind,
    code: event.code,
    message: event.message,
    detail: JSON.stringify(event.detail),
    demo: event.demo,
    bus_partition: busPartitionOf(message.topic, message.partition),
    bus_offset: message.offset.toString(),
  });
}

const rowCopySchema = z.object({
  table: z.string(),
  row: z.record(z.string(), z.unknown()),
  version: z.union([z.string().regex(/^\d{1,20}$/), z.int().min(0)]),
});

function copyRow(message: StoredMessage): TableRows {
  const copy = rowCopySchema.parse(JSON.parse(Buffer.from(message.value).toString('utf8')));
  const allowed = COPY_TABLES[message.topic] ?? [];
  if (!allowed.includes(copy.table)) {
    throw new Error(`${message.topic} carries rows of ${allowed.join(' and ')}, not of "${copy.table}".`);
  }
  return jsonRow(copy.table, { ...copy.row, version: String(copy.version) });
}

function jsonRow(table: string, row: Record<string, unknown>): TableRows {
  return { table, group: table, row, rowCount: 1 };
}
