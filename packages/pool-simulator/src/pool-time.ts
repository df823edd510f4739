import { instantFromMs, PoolmeterError, type Clock, type EpochMs } from '@poolmeter/domain';
import type { SimulatedPool } from './simulated-pool.js';

/** The pool's time as it follows a clock: equal to it at speed 1, else `speed` times as fast from now on. */
export class PoolTime {
  readonly #pool: SimulatedPool;
  readonly #clock: Clock;
  readonly #speed: number;
  readonly #clockAnchor: EpochMs;

  constructor(options: { pool: SimulatedPool; clock: Clock; speed: number }) {
    if (!Number.isFinite(options.speed) || options.speed <= 0) {
      throw new PoolmeterError('config.invalid', `A pool's speed must be above 0, not ${options.speed}.`);
    }
    this.#pool = options.pool;
    this.#clock = options.clock;
    this.#speed = options.speed;
    this.#clockAnchor = options.clock.now();
  }

  /** Lets everything happen that is due, and answers the pool's instant. It never goes back. */
  advance(): EpochMs {
    const passedMs = (this.#clock.now() - this.#clockAnchor) * this.#speed;
    this.#pool.advanceTo(instantFromMs(Math.floor(this.#clockAnchor + passedMs)));
    return this.#pool.now();
  }
}
