/** Where a job goes: the node that it leaves the least room on, so that large jobs find whole nodes. */
import type { JobSpec, Placement } from './job.js';
import type { SimulatedGpu } from './simulated-gpu.js';
import type { SimulatedNode } from './simulated-node.js';

/** The places that a job would get now, or undefined when it has to wait. */
export function findPlacement(
  spec: Pick<JobSpec, 'gpus' | 'migProfile' | 'gpuModels'>,
  nodes: Iterable<SimulatedNode>,
): Placement[] | undefined {
  let best: Placement[] | undefined;
  let bestRoom = Number.POSITIVE_INFINITY;
  for (const node of nodes) {
    if (node.state !== 'ready' || node.removedAtMs !== undefined) continue;
    const free = spec.migProfile === undefined ? wholeBoards(node, spec) : instances(node, spec.migProfile);
    if (free.length >= spec.gpus && free.length < bestRoom) {
      best = free.slice(0, spec.gpus);
      bestRoom = free.length;
    }
  }
  return best;
}

function isFit(gpu: SimulatedGpu): boolean {
  return gpu.present && !gpu.unfit;
}

function wholeBoards(node: SimulatedNode, spec: Pick<JobSpec, 'gpuModels'>): Placement[] {
  if (spec.gpuModels.length > 0 && !spec.gpuModels.includes(node.shape.gpuModel)) return [];
  return node.gpus
    .filter((gpu) => gpu.instances.length === 0 && gpu.isIdle && isFit(gpu))
    .map((gpu) => ({ gpu, place: 0 }));
}

function instances(node: SimulatedNode, profile: string): Placement[] {
  return node.gpus.filter(isFit).flatMap((gpu) =>
    gpu.instances.flatMap((instance, place) => {
      const free = instance.profile.name === profile && gpu.holders[place] === undefined;
      return free ? [{ gpu, place }] : [];
    }),
  );
}
