/** The scheduler of a simulated pool, over HTTP. */
import { createJsonScheduler } from './json-scheduler.js';
import type { Scheduler } from './scheduler.js';

export interface SimulatorSchedulerOptions {
  /** Where the pool simulator serves its scheduler: `http://127.0.0.1:6820`. */
  readonly url: string;
  readonly token?: string;
  /** How long one request may take; 10 s when absent. */
  readonly timeoutMs?: number;
}

export function createSimulatorScheduler(options: SimulatorSchedulerOptions): Scheduler {
  return createJsonScheduler({
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
    target: {
      name: 'simulator scheduler',
      baseUrl: options.url,
      token: options.token,
      timeoutMs: options.timeoutMs ?? 10_000,
    },
    paths: { observation: 'v1/observation', actions: 'v1/actions', accounting: 'v1/accounting' },
  });
}
