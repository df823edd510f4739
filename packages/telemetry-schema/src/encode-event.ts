import { instantFromMs, messageOf, PoolmeterError } from '@poolmeter/domain';
import { z } from 'zod';
import { gpuEventKinds, type GpuEvent } from './gpu-event.js';

/** The version of the JSON below. */
export const GPU_EVENT_SCHEMA_VERSION = 1;

/** Names are those of the gpu_events table. `sequence` is text: it may exceed what a JSON number keeps. */
const wireEventSchema = z.strictObject({
  ts: z.int(),
  boot_id: z.string(),
  sequence: z.string().regex(/^\d{1,20}$/),
  node: z.string().min(1),
  gpu_uuid: z.string(),
  gpu_instance: z.string(),
  pool: z.string(),
  provider_id: z.string(),
  kind: z.string(),
  code: z.int().min(0),
  message: z.string(),
  detail: z.record(z.string(), z.unknown()),
  demo: z.boolean(),
});

const MAX_SEQUENCE = 2n ** 64n - 1n;

/** One event as a JSON message value. A bigint inside `detail` travels as text. */
export function encodeGpuEvent(event: GpuEvent): Buffer {
  const wire: z.infer<typeof wireEventSchema> = {
    ts: event.ts,
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
    detail: event.detail,
    demo: event.demo,
  };
  return Buffer.from(
    JSON.stringify(wire, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value)),
  );
}

export function decodeGpuEvent(message: Uint8Array): GpuEvent {
  const wire = parseWireEvent(message);
  const kind = gpuEventKinds.find((known) => known === wire.kind);
  if (kind === undefined) {
    throw new PoolmeterError('wire.unknown_schema', `Event kind "${wire.kind}" is not known here.`);
  }
  const sequence = BigInt(wire.sequence);
  if (sequence > MAX_SEQUENCE)
    throw new PoolmeterError('wire.malformed', `Sequence ${sequence} exceeds 64 bits.`);
  return {
    ts: instantFromMs(wire.ts),
    bootId: wire.boot_id,
    sequence,
    node: wire.node,
    gpuUuid: wire.gpu_uuid,
    gpuInstance: wire.gpu_instance,
    pool: wire.pool,
    providerId: wire.provider_id,
    kind,
    code: wire.code,
    message: wire.message,
    detail: wire.detail,
    demo: wire.demo,
  };
}

function parseWireEvent(message: Uint8Array): z.infer<typeof wireEventSchema> {
  const text = Buffer.from(message.buffer, message.byteOffset, message.byteLength).toString('utf8');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new PoolmeterError('wire.malformed', `A GPU event is not JSON: ${messageOf(cause)}.`, { cause });
  }
  const parsed = wireEventSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new PoolmeterError('wire.malformed', `A GPU event has wrong fields: ${faults.join('; ')}.`, {
    details: { faults },
  });
}
