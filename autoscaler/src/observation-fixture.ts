/** A pool for tests: eight H100 per node, everything fresh, healthy and idle for an hour unless said otherwise. */
import type { ObservedDemand, ObservedGpu, ObservedNode, PoolObservation } from './observation.js';
import { scalingPolicySchema, type ScalingPolicy } from './scaling-policy.js';
import type { z } from 'zod';

export const NOW_MS = Date.UTC(2026, 2, 1, 12);
export const H100 = 'NVIDIA H100 80GB HBM3';

export function gpu(node: string, index: number, changes: Partial<ObservedGpu> = {}): ObservedGpu {
  return {
    gpuUuid: `GPU-${node}-${index}`,
    gpuModel: H100,
    leaseIds: [],
    health: 'healthy',
    healthSinceMs: NOW_MS - 86_400_000,
    sampleMs: NOW_MS - 5_000,
    busiestRatio: 0,
    ...changes,
  };
}

export interface NodeChanges extends Partial<Omit<ObservedNode, 'gpus'>> {
  readonly gpus?: number;
  /** The first so many GPUs carry a lease each. */
  readonly leased?: number;
  /** Changes to the first GPU. */
  readonly first?: Partial<ObservedGpu>;
  /** Changes to every GPU. */
  readonly each?: Partial<ObservedGpu>;
}

export function node(name: string, changes: NodeChanges = {}): ObservedNode {
  const { gpus = 8, leased = 0, first, each, ...rest } = changes;
  return {
    node: name,
    state: 'ready',
    sinceMs: NOW_MS - 7_200_000,
    idleSinceMs: leased > 0 ? null : NOW_MS - 3_600_000,
    gpus: Array.from({ length: gpus }, (_, index) =>
      gpu(name, index, {
        ...(index < leased ? { leaseIds: [`lease-${name}-${index}`], busiestRatio: 0.9 } : {}),
        ...each,
        ...(index === 0 ? first : {}),
      }),
    ),
    ...rest,
  };
}

export function waiting(id: string, changes: Partial<ObservedDemand> = {}): ObservedDemand {
  return { id, gpus: 8, gpuModel: H100, gang: false, priority: 0, sinceMs: NOW_MS - 300_000, ...changes };
}

const good = { ok: true, atMs: NOW_MS, detail: '' };

export function pool(
  nodes: readonly ObservedNode[],
  changes: Partial<PoolObservation> = {},
): PoolObservation {
  return {
    pool: 'main',
    observedAtMs: NOW_MS,
    mode: 'full',
    paused: false,
    capabilities: ['add', 'cordon', 'drain', 'remove', 'uncordon'],
    sources: { scheduler: good, health: good, leases: good, samples: good },
    nodes,
    pending: [],
    demandHistory: [],
    memory: {
      decidingSinceMs: NOW_MS - 86_400_000,
      lastScaleOutMs: null,
      lastScaleInMs: null,
      lastReplaceMs: null,
      open: [],
    },
    ...changes,
  };
}

/** Without headroom, so that each test sees only what it is about. */
export function policy(changes: z.input<typeof scalingPolicySchema> = {}): ScalingPolicy {
  return scalingPolicySchema.parse({ headroom: { gpus: 0, ratio: 0 }, ...changes });
}
