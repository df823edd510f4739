/** Idempotency by key, for schedulers that know nothing of it. */
import { canonicalJson, PoolmeterError } from '@poolmeter/domain';
import type { ActionOutcome, SchedulerAction } from './scheduler.js';

/** About a day of a busy pool's actions. */
const MAX_KEYS = 10_000;

/**
 * What was done under a key is answered again; what was refused or failed may be tried again. The memory ends with the
 * process: every action of the adapters that use it comes to the same when it is done twice.
 */
export class ActionMemory {
  readonly #done = new Map<string, { action: string; outcome: Promise<ActionOutcome> }>();

  async once(
    key: string,
    { action, act }: { action: SchedulerAction; act: () => Promise<ActionOutcome> },
  ): Promise<ActionOutcome> {
    const words = canonicalJson(action);
    const known = this.#done.get(key);
    if (known !== undefined && known.action !== words) {
      throw new PoolmeterError(
        'input.conflict',
        `The key ${key} belongs to another action: ${known.action}. Use a new key.`,
      );
    }
    if (known !== undefined) return known.outcome;
    const outcome = act();
    this.#keep(key, { action: words, outcome });
    try {
      const result = await outcome;
      if (!result.ok) this.#done.delete(key);
      return result;
    } catch (fault) {
      this.#done.delete(key);
      throw fault;
    }
  }

  #keep(key: string, entry: { action: string; outcome: Promise<ActionOutcome> }): void {
    this.#done.set(key, entry);
    const [oldest] = this.#done.keys();
    if (this.#done.size > MAX_KEYS && oldest !== undefined) this.#done.delete(oldest);
  }
}
