import type { Clock } from '@poolmeter/domain';
import type { MetricsStore } from '@poolmeter/metrics-store';
import type { RelationalStore } from '@poolmeter/relational-store';
import type { PoolDatabase } from './pool-database.js';

/** What the pool routes need; they only read. */
export interface PoolRoutesDeps {
  readonly metrics: MetricsStore;
  /** Runs the statements of panels; connect it as the user that may only read. `metrics` when absent. */
  readonly reader?: Pick<MetricsStore, 'select'>;
  /** Any connection that may read the published views. */
  readonly store: Pick<RelationalStore<PoolDatabase>, 'db'>;
  /** Classic Grafana dashboards. */
  readonly boards: readonly unknown[];
  readonly clock: Clock;
  /** The usual distance of two samples of a GPU; three of them without one make its state unknown. */
  readonly expectedIntervalMs: number;
}
