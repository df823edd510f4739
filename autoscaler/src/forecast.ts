/** How many GPUs will be asked for soon. Thin on purpose: what is asked for now, or the recent mean if that is more. */
import type { PoolObservation } from './observation.js';
import type { ScalingPolicy } from './scaling-policy.js';

export interface Forecast {
  readonly method: 'moving-average';
  readonly window_s: number;
  /** Looks that the mean is made of. */
  readonly points: number;
  readonly demand_gpus: number;
  /** Never below the demand: a forecast may only add. */
  readonly expected_gpus: number;
}

export function forecastDemand(observation: PoolObservation, policy: ScalingPolicy): Forecast {
  const fromMs = observation.observedAtMs - policy.forecast.window_s * 1_000;
  const recent = observation.demandHistory.filter((point) => point.atMs >= fromMs);
  const demand = demandNow(observation);
  const sum = recent.reduce((all, point) => all + point.gpus, demand);
  const mean = Math.ceil(sum / (recent.length + 1));
  return {
    method: 'moving-average',
    window_s: policy.forecast.window_s,
    points: recent.length + 1,
    demand_gpus: demand,
    expected_gpus: Math.max(demand, mean),
  };
}

/** GPUs that are leased plus GPUs that are waited for. */
export function demandNow(observation: PoolObservation): number {
  let gpus = observation.pending.reduce((all, one) => all + one.gpus, 0);
  for (const node of observation.nodes) for (const gpu of node.gpus) if (gpu.leaseIds.length > 0) gpus += 1;
  return gpus;
}
