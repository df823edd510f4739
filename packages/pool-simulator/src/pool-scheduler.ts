/** The simulated scheduler without HTTP, for tests and backtests in one process. */
import type { Scheduler } from '@poolmeter/scheduler';
import type { SimulatedPool } from './simulated-pool.js';

export function createPoolScheduler(pool: SimulatedPool): Scheduler {
  return {
    kind: 'simulator',
    capabilities: new Set([
      'cordon',
      'uncordon',
      'drain',
      'remove',
      'add',
      'power_up',
      'power_down',
      'accounting',
    ]),
    observe: () => attempt(() => pool.observe()),
    act: (action, options) => attempt(() => pool.act(action, options)),
    accounting: (since) => attempt(() => pool.accounting(since)),
  };
}

/** A refusal is a rejection, as it would be over a network. */
function attempt<T>(call: () => T): Promise<T> {
  return new Promise((resolve) => resolve(call()));
}
