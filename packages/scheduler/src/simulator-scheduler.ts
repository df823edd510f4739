/** The scheduler of a simulated pool, over HTTP. */
import { formatInstant } from '@poolmeter/domain';
import { checkedObservation } from './check-observation.js';
import { exchange, type ExchangeTarget } from './http-exchange.js';
import type { Scheduler } from './scheduler.js';
import { accountingJson, observationJson, outcomeJson } from './simulator-wire.js';

export interface SimulatorSchedulerOptions {
  /** Where the pool simulator serves its scheduler: `http://127.0.0.1:6820`. */
  readonly url: string;
  readonly token?: string;
  /** How long one request may take; 10 s when absent. */
  readonly timeoutMs?: number;
}

const KIND = 'simulator';

export function createSimulatorScheduler(options: SimulatorSchedulerOptions): Scheduler {
  const target: ExchangeTarget = {
    name: 'simulator scheduler',
    baseUrl: options.url,
    token: options.token,
    timeoutMs: options.timeoutMs ?? 10_000,
  };
  return {
    kind: KIND,
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
    async observe(signal) {
      const observation = await exchange(target, {
        method: 'GET',
        path: 'v1/observation',
        signal,
        answer: observationJson,
      });
      return checkedObservation(KIND, observation);
    },
    act(action, { idempotencyKey, reason }) {
      const body =
        action.kind === 'add'
          ? { kind: action.kind, count: action.count, gpu_model: action.gpuModel, reason }
          : { kind: action.kind, node: action.node, reason };
      return exchange(target, {
        method: 'POST',
        path: 'v1/actions',
        body,
        headers: { 'idempotency-key': idempotencyKey },
        signal: undefined,
        answer: outcomeJson,
      });
    },
    accounting(since, signal) {
      const path = `v1/accounting?since=${encodeURIComponent(formatInstant(since))}`;
      return exchange(target, { method: 'GET', path, signal, answer: accountingJson });
    },
  };
}
