/** What one message of a topic puts into which table: the only place that knows the topics' contents. */
import { isPoolmeterError, messageOf, type ErrorCode } from '@poolmeter/domain';
import type { StoredMessage } from '@poolmeter/event-bus';
import { tables } from '@poolmeter/metrics-store';
import {
  checkSampleRows,
  decodeGpuEvent,
  decodeSampleBatchHeader,
  topics,
} from '@poolmeter/telemetry-schema';
import { z } from 'zod';

/** Rows for one table and one of its partitions, as they go into the insert. */
export type TableRows =
  | {
      readonly table: string;
      /** UTC day since 1970: the table is partitioned by it, and one insert stays within one partition. */
      readonly day: number;
      /** RowBinary, columns in wire order. */
      readonly bytes: Buffer;
      readonly rowCount: number;
    }
  | { readonly table: string; readonly row: Readonly<Record<string, unknown>>; readonly rowCount: 1 };

export type MessageContent =
  | { readonly ok: true; readonly rows: readonly TableRows[] }
  | { readonly ok: false; readonly code: ErrorCode; readonly reason: string };

/** The tables that copies of rows from PostgreSQL may go to, by the topic that may carry them. */
const COPY_TABLES: Readonly<Record<string, readonly string[]>> = {
  [topics.incidents]: [tables.incidents],
  [topics.billing]: [tables.leases, tables.billableIntervals],
  [topics.scalingDecisions]: [tables.scalingDecisions],
};

/** The topics that the pipeline reads. */
export const pipelineTopics: readonly string[] = [
  topics.gpuSamples,
  topics.gpuEvents,
  ...Object.keys(COPY_TABLES),
];

const DAY_MS = 86_400_000;

/** Never throws: what cannot be read has a code and a reason, and goes to the dead-letter topic. */
export function rowsOfMessage(message: StoredMessage): MessageContent {
  try {
    return { ok: true, rows: decode(message) };
  } catch (fault) {
    const code = isPoolmeterError(fault) ? fault.code : 'wire.malformed';
    return { ok: false, code, reason: messageOf(fault) };
  }
}

function decode(message: StoredMessage): readonly TableRows[] {
  if (message.topic === topics.gpuSamples) return sampleRows(message.value);
  if (message.topic === topics.gpuEvents) return [eventRow(message)];
  return [copyRow(message)];
}

/** The agent's bytes, cut where the day changes; usually one piece without a copy. */
function sampleRows(value: Uint8Array): TableRows[] {
  const batch = decodeSampleBatchHeader(value);
  const pieces: { day: number; start: number; end: number; rowCount: number }[] = [];
  checkSampleRows(batch.rows, batch.rowCount, (start, end) => {
    const day = Math.floor(Number(batch.rows.readBigInt64LE(start)) / DAY_MS);
    const last = pieces.at(-1);
    if (last?.day === day) Object.assign(last, { end, rowCount: last.rowCount + 1 });
    else pieces.push({ day, start, end, rowCount: 1 });
  });
  return pieces.map(({ day, start, end, rowCount }) => ({
    table: tables.gpuSamplesIn,
    day,
    bytes: batch.rows.subarray(start, end),
    rowCount,
  }));
}

function eventRow(message: StoredMessage): TableRows {
  const event = decodeGpuEvent(message.value);
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
    bus_partition: message.partition,
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
  return { table, row, rowCount: 1 };
}
