import type { Forecast } from './forecast.js';
import type { PoolObservation } from './observation.js';
import type { Placement } from './place-demand.js';
import type { ScalingPolicy } from './scaling-policy.js';
import type { PoolSupply } from './supply.js';

/** What the parts of a decision share. */
export interface Situation {
  readonly observation: PoolObservation;
  readonly policy: ScalingPolicy;
  readonly supply: PoolSupply;
  readonly placement: Placement;
  readonly forecast: Forecast;
  /** GPUs that should be free beyond the waiting work: headroom, plus the growth that the forecast expects. */
  readonly reserveGpus: number;
}
