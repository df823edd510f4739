/** How a number of new nodes is brought into use: nodes that are switched off first, then new ones. */
import type { SchedulerAction } from '@poolmeter/scheduler';
import type { PoolObservation } from './observation.js';
import type { Target } from './proposal.js';
import { isFaulty } from './supply.js';

export interface CapacityPlan {
  readonly targets: readonly Target[];
  readonly plan: readonly SchedulerAction[];
  /** Fewer than asked for when the scheduler cannot add nodes. */
  readonly nodes: number;
}

export function planCapacity(
  observation: PoolObservation,
  want: { readonly gpuModel: string; readonly nodes: number; readonly except?: ReadonlySet<string> },
): CapacityPlan {
  const off = switchedOffNodes(observation, want).slice(0, want.nodes);
  const fresh = observation.capabilities.includes('add') ? want.nodes - off.length : 0;
  const targets: Target[] = off.map((node) => ({ node }));
  const plan: SchedulerAction[] = off.map((node) => ({ kind: 'power_up', node }));
  if (fresh > 0) {
    targets.push({ gpu_model: want.gpuModel, count: fresh });
    plan.push({ kind: 'add', count: fresh, gpuModel: want.gpuModel });
  }
  return { targets, plan, nodes: off.length + fresh };
}

function switchedOffNodes(
  observation: PoolObservation,
  want: { readonly gpuModel: string; readonly except?: ReadonlySet<string> },
): string[] {
  if (!observation.capabilities.includes('power_up')) return [];
  const spokenFor = new Set(observation.memory.open.flatMap((open) => open.nodes));
  return observation.nodes
    .filter((node) => node.state === 'powered_down')
    .filter((node) => !spokenFor.has(node.node) && want.except?.has(node.node) !== true)
    .filter((node) => node.gpus.some((gpu) => gpu.gpuModel === want.gpuModel) && !node.gpus.some(isFaulty))
    .map((node) => node.node)
    .sort();
}
