import type { Clock } from '@poolmeter/domain';
import type { AutoscalerStore } from './decision-store.js';

/** What the routes need; they decide and act nothing themselves. */
export interface AutoscalerRoutesDeps {
  readonly store: AutoscalerStore;
  readonly clock: Clock;
}
