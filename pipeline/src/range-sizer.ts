/**
 * The limits of the ranges that are opened next. Too many parts in the store: fewer and larger inserts; too little
 * memory there: smaller ones. A range that is noted already is never changed: its bytes belong to its token.
 */
import type { Clock } from '@poolmeter/domain';
import type { RangeLimits } from './range-buffer.js';
import type { StoreTrouble } from './store-trouble.js';

const FACTOR_MOST = 8;
/** Partitions meet the same trouble at once; it counts once. */
const STEP_MS = 5_000;
/** After this long without trouble the factor goes half the way back, again and again. */
const BACK_MS = 300_000;

export class RangeSizer implements RangeLimits {
  readonly #limits: RangeLimits;
  readonly #bytesMost: number;
  readonly #clock: Clock;
  #factor = 1;
  #changedAtMs = 0;

  constructor(options: { readonly limits: RangeLimits; readonly bytesMost: number; readonly clock: Clock }) {
    this.#limits = options.limits;
    this.#bytesMost = options.bytesMost;
    this.#clock = options.clock;
  }

  get rows(): number {
    return Math.ceil(this.#limits.rows * this.factor);
  }

  get bytes(): number {
    return Math.min(
      Math.ceil(this.#limits.bytes * this.factor),
      Math.max(this.#limits.bytes, this.#bytesMost),
    );
  }

  /** 1 as configured; up to 8 for larger ranges, down to an eighth for smaller ones. */
  get factor(): number {
    const now = this.#clock.now();
    while (this.#factor !== 1 && now - this.#changedAtMs >= BACK_MS) {
      this.#factor = this.#factor > 1 ? this.#factor / 2 : this.#factor * 2;
      this.#changedAtMs += BACK_MS;
    }
    return this.#factor;
  }

  onTrouble(trouble: StoreTrouble): void {
    if (trouble !== 'too_many_parts' && trouble !== 'out_of_memory') return;
    const now = this.#clock.now();
    const { factor } = this;
    if (factor !== 1 && now - this.#changedAtMs < STEP_MS) return;
    const wanted = trouble === 'too_many_parts' ? factor * 2 : factor / 2;
    this.#factor = Math.min(FACTOR_MOST, Math.max(1 / FACTOR_MOST, wanted));
    this.#changedAtMs = now;
  }
}
