/** The JSON of the pool simulator's scheduler API, both ways: what it writes and what the adapter accepts. */
import {
  compare,
  formatFraction,
  formatInstant,
  parseFraction,
  parseInstant,
  PoolmeterError,
  ZERO,
  type EpochMs,
  type Fraction,
} from '@poolmeter/domain';
import { z } from 'zod';
import type {
  ActionOutcome,
  HeldShare,
  PendingDemand,
  SchedulerNode,
  SchedulerObservation,
} from './scheduler.js';

const name = z.string().min(1).max(200);

const instant = z.string().transform((text, context): EpochMs => {
  try {
    return parseInstant(text);
  } catch {
    context.addIssue({ code: 'custom', message: 'write RFC 3339 with an offset' });
    return z.NEVER;
  }
});

const share = z.string().transform((text, context): Fraction => {
  try {
    const value = parseFraction(text);
    if (compare(value, ZERO) > 0) return value;
  } catch (fault) {
    if (!(fault instanceof PoolmeterError)) throw fault;
  }
  context.addIssue({ code: 'custom', message: 'a share is 1 or a fraction such as 1/7' });
  return z.NEVER;
});

const nodeState = z.enum(['ready', 'cordoned', 'draining', 'booting', 'powered_down', 'down', 'unknown']);

const nodeJson = z
  .object({
    node: name,
    state: nodeState,
    reason: z.string(),
    since: instant,
    gpus: z.array(
      z
        .object({
          gpu_uuid: name,
          gpu_index: z.int().min(0).max(255),
          gpu_model: name,
          lease_ids: z.array(name),
        })
        .transform((gpu) => ({
          gpuUuid: gpu.gpu_uuid,
          gpuIndex: gpu.gpu_index,
          gpuModel: gpu.gpu_model,
          leaseIds: gpu.lease_ids,
        })),
    ),
  })
  .transform((node): SchedulerNode => node);

const pendingJson = z
  .object({
    id: name,
    gpus: z.int().min(1),
    gpu_model: name.nullable(),
    gang: z.boolean(),
    priority: z.number(),
    customer_id: name,
    since: instant,
    share: share.nullable(),
  })
  .transform((pending): PendingDemand => ({
    id: pending.id,
    gpus: pending.gpus,
    gpuModel: pending.gpu_model ?? undefined,
    gang: pending.gang,
    priority: pending.priority,
    customerId: pending.customer_id,
    since: pending.since,
    ...(pending.share === null ? {} : { share: pending.share }),
  }));

const heldJson = z
  .object({
    lease_id: name,
    customer_id: name,
    project: z.string().max(200),
    provider_id: name,
    pool: name,
    node: name,
    gpu_uuid: name,
    gpu_instance: z.string().max(64),
    gpu_index: z.int().min(0).max(255),
    gpu_model: name,
    share,
    pricing_mode: z.enum(['on_demand', 'reserved', 'spot']),
    started_at: instant,
    ended_at: instant.nullable(),
  })
  .transform((held): HeldShare => ({
    leaseId: held.lease_id,
    customerId: held.customer_id,
    project: held.project,
    providerId: held.provider_id,
    pool: held.pool,
    node: held.node,
    gpuUuid: held.gpu_uuid,
    gpuInstance: held.gpu_instance,
    gpuIndex: held.gpu_index,
    gpuModel: held.gpu_model,
    share: held.share,
    pricingMode: held.pricing_mode,
    startedAt: held.started_at,
    endedAt: held.ended_at ?? undefined,
  }));

/** A scheduler that knows no node is not an empty pool: powered-down nodes are listed too. */
export const observationJson = z
  .object({
    observed_at: instant,
    nodes: z.array(nodeJson).min(1, 'a pool has nodes'),
    pending: z.array(pendingJson),
    held: z.array(heldJson),
  })
  .transform((observation): SchedulerObservation => ({
    observedAt: observation.observed_at,
    nodes: observation.nodes,
    pending: observation.pending,
    held: observation.held,
  }));

export const accountingJson = z.object({ data: z.array(heldJson) }).transform((page) => page.data);

export const outcomeJson = z
  .discriminatedUnion('ok', [
    z.object({ ok: z.literal(true), detail: z.string(), nodes: z.array(name) }),
    z.object({
      ok: z.literal(false),
      reason: z.enum(['busy', 'not_found', 'unsupported', 'refused']),
      detail: z.string(),
    }),
  ])
  .transform((outcome): ActionOutcome => outcome);

export function heldShareToJson(held: HeldShare): z.input<typeof heldJson> {
  return {
    lease_id: held.leaseId,
    customer_id: held.customerId,
    project: held.project,
    provider_id: held.providerId,
    pool: held.pool,
    node: held.node,
    gpu_uuid: held.gpuUuid,
    gpu_instance: held.gpuInstance,
    gpu_index: held.gpuIndex,
    gpu_model: held.gpuModel,
    share: formatFraction(held.share),
    pricing_mode: held.pricingMode,
    started_at: formatInstant(held.startedAt),
    ended_at: held.endedAt === undefined ? null : formatInstant(held.endedAt),
  };
}

export function observationToJson(observation: SchedulerObservation): z.input<typeof observationJson> {
  return {
    observed_at: formatInstant(observation.observedAt),
    nodes: observation.nodes.map((node) => ({
      node: node.node,
      state: node.state,
      reason: node.reason,
      since: formatInstant(node.since),
      gpus: node.gpus.map((gpu) => ({
        gpu_uuid: gpu.gpuUuid,
        gpu_index: gpu.gpuIndex,
        gpu_model: gpu.gpuModel,
        lease_ids: [...gpu.leaseIds],
      })),
    })),
    pending: observation.pending.map((pending) => ({
      id: pending.id,
      gpus: pending.gpus,
      gpu_model: pending.gpuModel ?? null,
      gang: pending.gang,
      priority: pending.priority,
      customer_id: pending.customerId,
      since: formatInstant(pending.since),
      share: pending.share === undefined ? null : formatFraction(pending.share),
    })),
    held: observation.held.map(heldShareToJson),
  };
}
