/** Bounds how many queries run at once. Each holds a thread of libuv's pool, and the process keeps some for itself. */
import { FrontError } from './clickhouse-error.js';

export interface Slots {
  /** Resolves with the function that gives the slot back; rejects at once when too many wait. */
  take(): Promise<() => void>;
  readonly running: number;
}

export function createSlots(limits: { running: number; waiting: number }): Slots {
  let running = 0;
  const waiting: (() => void)[] = [];
  const release = () => {
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  };
  const once = () => {
    let given = false;
    return () => {
      if (!given) release();
      given = true;
    };
  };
  return {
    take: async () => {
      if (running < limits.running) {
        running += 1;
        return once();
      }
      if (waiting.length >= limits.waiting) {
        throw new FrontError(
          202,
          'TOO_MANY_SIMULTANEOUS_QUERIES',
          `Too many simultaneous queries: ${limits.running} run and ${limits.waiting} wait`,
        );
      }
      await new Promise<void>((resolve) => waiting.push(resolve));
      return once();
    },
    get running() {
      return running;
    },
  };
}
