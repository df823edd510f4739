/** Which waiting work the present supply will take, and what is left over. Pure bookkeeping, by model. */
import type { ObservedDemand, PoolObservation } from './observation.js';
import type { ScalingPolicy } from './scaling-policy.js';
import type { PoolSupply } from './supply.js';

export interface Shortage {
  readonly demand: ObservedDemand;
  readonly gpuModel: string;
  /** GPUs beyond what is free or coming. */
  readonly missingGpus: number;
}

export interface Placement {
  /** Free and coming GPUs that no waiting work needs, by model. */
  readonly left: ReadonlyMap<string, number>;
  readonly shortages: readonly Shortage[];
  /** Work that no node of this pool could take, whatever is added. */
  readonly impossible: readonly ObservedDemand[];
}

/** Higher priority first, then longer waiting, then by id: the same input always gives the same placement. */
export function placeDemand(observation: PoolObservation, supply: PoolSupply): Placement {
  const left = new Map(supply.byModel.map((model) => [model.gpuModel, model.free + model.coming]));
  const shortages: Shortage[] = [];
  const impossible: ObservedDemand[] = [];
  const order = [...observation.pending].sort(
    (a, b) => b.priority - a.priority || a.sinceMs - b.sinceMs || (a.id < b.id ? -1 : 1),
  );
  for (const demand of order) {
    const gpuModel = modelFor(demand, left);
    if (gpuModel === undefined) {
      impossible.push(demand);
      continue;
    }
    const available = left.get(gpuModel) ?? 0;
    // What a gang can already have stays reserved for it: the rest is added, not the whole.
    left.set(gpuModel, Math.max(0, available - demand.gpus));
    const missingGpus = Math.max(0, demand.gpus - available);
    if (missingGpus > 0) shortages.push({ demand, gpuModel, missingGpus });
  }
  return { left, shortages, impossible };
}

/** The asked model, or for work that takes any, the one with most left. A model that the pool never had is impossible. */
function modelFor(demand: ObservedDemand, left: ReadonlyMap<string, number>): string | undefined {
  if (demand.gpuModel !== null) return left.has(demand.gpuModel) ? demand.gpuModel : undefined;
  return [...left].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))[0]?.[0];
}

/** Work is due when it would wait longer than the target even if a node were asked for now. */
export function isDue(demand: ObservedDemand, observation: PoolObservation, policy: ScalingPolicy): boolean {
  const waitedS = (observation.observedAtMs - demand.sinceMs) / 1_000;
  return waitedS + policy.boot_estimate_s >= policy.target_wait_s;
}
