/** A pool behind somebody's own program: observed by GET, told by POST, every request signed and safe to repeat. */
import { isPoolmeterError, systemClock, type Clock } from '@poolmeter/domain';
import { createJsonScheduler } from './json-scheduler.js';
import type { PoolContext } from './pool-context.js';
import type { Scheduler } from './scheduler.js';
import type { SecretSource } from './secret-source.js';
import { webhookSignature } from './webhook-signature.js';

export interface WebhookSchedulerOptions {
  /** Below it: `GET state`, `POST actions`, `GET accounting?since=`. */
  readonly url: string;
  readonly secret: SecretSource;
  readonly capabilities: Scheduler['capabilities'];
  readonly timeoutMs: number;
  /** Requests in all, the first one included. */
  readonly attempts: number;
}

const FIRST_PAUSE_MS = 250;

export function createWebhookScheduler(options: WebhookSchedulerOptions, pool: PoolContext): Scheduler {
  const clock = pool.clock ?? systemClock;
  return createJsonScheduler({
    kind: 'webhook',
    capabilities: options.capabilities,
    target: {
      name: 'webhook scheduler',
      baseUrl: options.url,
      timeoutMs: options.timeoutMs,
      headers: async ({ method, url, body, headers }) => {
        const timestamp = String(Math.floor(clock.now() / 1_000));
        const idempotencyKey = headers['idempotency-key'] ?? '';
        const request = { method, path: `${url.pathname}${url.search}`, body, idempotencyKey, timestamp };
        const signature = webhookSignature((await options.secret()) ?? '', request);
        return {
          'x-poolmeter-pool': pool.id,
          'x-poolmeter-timestamp': timestamp,
          'x-poolmeter-signature': signature,
        };
      },
    },
    paths: { observation: 'state', actions: 'actions', accounting: 'accounting' },
    repeat: (ask, signal) => repeated(ask, { attempts: options.attempts, clock, signal }),
  });
}

/** Only what may go better next time, with pauses that double, and never more often than `attempts`. */
async function repeated<T>(
  ask: () => Promise<T>,
  { attempts, clock, signal }: { attempts: number; clock: Clock; signal: AbortSignal | undefined },
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ask();
    } catch (fault) {
      const passes = isPoolmeterError(fault) && fault.retriable && fault.code !== 'wire.malformed';
      if (!passes || attempt >= attempts) throw fault;
      await clock.sleep(FIRST_PAUSE_MS * 2 ** (attempt - 1), signal);
    }
  }
}
