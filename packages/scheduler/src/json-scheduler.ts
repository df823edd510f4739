/** A scheduler that speaks poolmeter's own JSON over HTTP: the pool simulator, and whoever answers our webhook. */
import { formatInstant, PoolmeterError } from '@poolmeter/domain';
import { checkedObservation } from './check-observation.js';
import { exchange, type ExchangeRequest, type ExchangeTarget } from './http-exchange.js';
import type { Scheduler } from './scheduler.js';
import { accountingJson, observationJson, outcomeJson } from './simulator-wire.js';
import type { z } from 'zod';

export interface JsonSchedulerOptions {
  readonly kind: string;
  readonly capabilities: Scheduler['capabilities'];
  readonly target: ExchangeTarget;
  readonly paths: { readonly observation: string; readonly actions: string; readonly accounting: string };
  /** Runs one request, maybe more than once; every request here may be repeated. Once when absent. */
  readonly repeat?: <T>(ask: () => Promise<T>, signal: AbortSignal | undefined) => Promise<T>;
}

export function createJsonScheduler(options: JsonSchedulerOptions): Scheduler {
  const { kind, capabilities, target, paths } = options;
  const ask = <S extends z.ZodType>(request: ExchangeRequest<S>): Promise<z.output<S>> =>
    (options.repeat ?? ((once) => once()))(() => exchange(target, request), request.signal);
  return {
    kind,
    capabilities,
    async observe(signal) {
      const path = paths.observation;
      return checkedObservation(kind, await ask({ method: 'GET', path, signal, answer: observationJson }));
    },
    act(action, { idempotencyKey, reason }) {
      if (!capabilities.has(action.kind)) {
        const detail = `The ${target.name} is not configured for "${action.kind}".`;
        return Promise.resolve({ ok: false, reason: 'unsupported', detail });
      }
      const body =
        action.kind === 'add'
          ? { kind: action.kind, count: action.count, gpu_model: action.gpuModel, reason }
          : { kind: action.kind, node: action.node, reason };
      return ask({
        method: 'POST',
        path: paths.actions,
        body,
        headers: { 'idempotency-key': idempotencyKey },
        signal: undefined,
        answer: outcomeJson,
      });
    },
    accounting(since, signal) {
      if (!capabilities.has('accounting')) return Promise.reject(noAccounting(target.name));
      const path = `${paths.accounting}?since=${encodeURIComponent(formatInstant(since))}`;
      return ask({ method: 'GET', path, signal, answer: accountingJson });
    },
  };
}

/** Told to callers that did not look at the capabilities. */
export function noAccounting(name: string): PoolmeterError {
  return new PoolmeterError('dependency.refused', `The ${name} keeps no account of what has ended.`);
}
