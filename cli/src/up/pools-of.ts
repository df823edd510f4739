/** The pools of this run: from pools.yaml, the demo pool, or one pool that holds every node. */
import { defaultScalingPolicy, loadPools, poolForNode, type Pool } from '@poolmeter/autoscaler';
import type { UpOptions } from './up-options.js';

export interface Ownership {
  readonly pool: string;
  readonly providerId: string;
}

const EVERY_NODE: Ownership = { pool: 'default', providerId: 'default' };

export async function poolsOf(
  options: UpOptions,
  demo: { pool: string; schedulerUrl: string } | undefined,
): Promise<Pool[]> {
  if (options.poolsFile !== undefined) return loadPools(options.poolsFile);
  const base = { nodePatterns: ['*'], mode: 'recommend' as const, policy: defaultScalingPolicy };
  if (demo === undefined) {
    return [{ ...base, id: EVERY_NODE.pool, providerId: EVERY_NODE.providerId, scheduler: undefined }];
  }
  const scheduler = { kind: 'simulator', url: demo.schedulerUrl };
  return [{ ...base, id: demo.pool, providerId: 'demo', scheduler }];
}

/** Whose a node is; a node that no pool names belongs to `default`. */
export function ownerOf(pools: readonly Pool[], node: string): Ownership {
  const pool = poolForNode(pools, node);
  return pool === undefined ? EVERY_NODE : { pool: pool.id, providerId: pool.providerId };
}
