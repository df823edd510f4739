/** Tries again what may succeed later: a bounded number of times, with growing, jittered pauses. */
import { isPoolmeterError, type Clock } from '@poolmeter/domain';

export interface RetryOptions {
  /** How often `run` is tried in all, the first time included. */
  readonly attempts: number;
  /** The pause before the second try; it doubles up to `maxMs`. */
  readonly initialMs: number;
  readonly maxMs: number;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
  /** Whether another try makes sense; without it, a `PoolmeterError` says so itself and other errors are final. */
  readonly isRetriable?: (fault: unknown) => boolean;
  /** Called before each pause, for a log line or a counter. */
  readonly onRetry?: (fault: unknown, attempt: number, pauseMs: number) => void;
  /** Numbers in [0, 1); each pause is between half of its nominal length and all of it, so that many clients spread out. */
  readonly random?: () => number;
}

/** Runs until it succeeds, the fault is final, the tries are used up or the signal is aborted; then the last fault is thrown. */
export async function retry<T>(run: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  const isRetriable = options.isRetriable ?? ((fault) => isPoolmeterError(fault) && fault.retriable);
  for (let attempt = 1; ; attempt += 1) {
    options.signal?.throwIfAborted();
    try {
      return await run(attempt);
    } catch (fault) {
      if (attempt >= options.attempts || options.signal?.aborted === true || !isRetriable(fault)) throw fault;
      const pauseMs = pauseBefore(attempt, options);
      options.onRetry?.(fault, attempt, pauseMs);
      await options.clock.sleep(pauseMs, options.signal);
    }
  }
}

function pauseBefore(attempt: number, options: RetryOptions): number {
  const nominal = Math.min(options.maxMs, options.initialMs * 2 ** (attempt - 1));
  return Math.round(nominal * (0.5 + (options.random ?? Math.random)() / 2));
}
