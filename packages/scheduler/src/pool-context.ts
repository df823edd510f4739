/** What an adapter knows of the pool that it works for, besides its own settings. */
import type { Clock } from '@poolmeter/domain';

export interface PoolContext {
  readonly id: string;
  /** Who owns the hardware, for schedulers that do not know. */
  readonly providerId: string;
  /** Names or patterns of the pool's nodes. */
  readonly nodePatterns: readonly string[];
  /** For the instants of schedulers that do not tell the time; the system's when absent. */
  readonly clock?: Clock;
  /**
   * `node/index` → GPU UUID, as telemetry knows it: schedulers that only number GPUs are joined by it. A GPU that is not
   * in it is called by its place (`gpu1/3`).
   */
  readonly gpuUuids?: () => Promise<ReadonlyMap<string, string>>;
}
