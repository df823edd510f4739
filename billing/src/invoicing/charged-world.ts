import type { Lease } from '../leases/fold-leases.js';
import type { PriceFinder } from '../rating/find-price.js';
import type { PeriodInputs } from './period-inputs.js';

/** What rating looks at beside the intervals. */
export interface ChargedWorld {
  readonly inputs: PeriodInputs;
  readonly leases: readonly Lease[];
  readonly prices: PriceFinder;
}
