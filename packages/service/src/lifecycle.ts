/** Starts the parts of a process in order and stops them in reverse, within a deadline. */
import { messageOf, PoolmeterError, systemClock, type Clock } from '@poolmeter/domain';
import type { Logger } from './logger.js';

/** A part of a process that is started once and stopped once. `stop` finishes the work in hand before it resolves. */
export interface Component {
  readonly name: string;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface LifecycleOptions {
  readonly logger: Logger;
  readonly clock?: Clock;
  /** The time that all components together may take to stop, in milliseconds; 10 s when absent. */
  readonly drainMs?: number;
}

export interface Lifecycle {
  /** Adds a component to the end of the start order. */
  add(component: Component): Lifecycle;
  /** Starts every component in order; when one fails, those already started are stopped and its error is thrown. */
  start(): Promise<void>;
  /** Stops in reverse order. Every component is asked, even when another fails; the first fault is thrown at the end. */
  stop(): Promise<void>;
}

/** The least that each component is left with when an earlier one uses up the drain time. */
const RESERVED_MS = 250;

export function createLifecycle(options: LifecycleOptions): Lifecycle {
  return new OrderedLifecycle(options.logger, options.clock ?? systemClock, options.drainMs ?? 10_000);
}

class OrderedLifecycle implements Lifecycle {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #drainMs: number;
  readonly #components: Component[] = [];
  readonly #started: Component[] = [];
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(logger: Logger, clock: Clock, drainMs: number) {
    this.#logger = logger;
    this.#clock = clock;
    this.#drainMs = drainMs;
  }

  add(component: Component): this {
    if (this.#starting !== undefined) {
      throw new Error(`${component.name} was added after the start; add every component before it.`);
    }
    this.#components.push(component);
    return this;
  }

  start(): Promise<void> {
    this.#starting ??= this.#startAll();
    return this.#starting;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  async #startAll(): Promise<void> {
    for (const component of this.#components) {
      if (this.#stopping !== undefined) {
        throw new PoolmeterError('dependency.unavailable', `Stopped before ${component.name} was started.`);
      }
      const from = this.#clock.now();
      try {
        await component.start();
      } catch (fault) {
        this.#logger.error({ component: component.name, err: fault }, 'A component did not start.');
        await this.#stopStarted().catch((stopFault: unknown) => {
          this.#logger.error({ err: stopFault }, 'Undoing the start left something running.');
        });
        throw fault;
      }
      this.#started.push(component);
      this.#logger.debug(
        { component: component.name, took_ms: this.#clock.now() - from },
        'Component started.',
      );
    }
  }

  async #stopAll(): Promise<void> {
    // A component that is starting right now is waited for, so that it is stopped too. Its failure is start()'s to tell.
    const started = this.#starting?.catch(() => undefined) ?? Promise.resolve();
    const begun = this.#clock.now();
    await this.#within(started, this.#drainMs / 2);
    await this.#stopStarted(this.#drainMs - (this.#clock.now() - begun));
  }

  async #stopStarted(budgetMs = this.#drainMs): Promise<void> {
    const deadline = this.#clock.now() + budgetMs;
    const reserve = Math.min(RESERVED_MS, budgetMs / (2 * Math.max(1, this.#started.length)));
    const faults: PoolmeterError[] = [];
    for (let component = this.#started.pop(); component !== undefined; component = this.#started.pop()) {
      const left = deadline - this.#clock.now() - reserve * this.#started.length;
      const fault = await this.#stopOne(component, Math.max(reserve, left));
      if (fault !== undefined) faults.push(fault);
    }
    const first = faults[0];
    if (first === undefined) return;
    const names = faults.map((fault) => String(fault.details['component'])).join(', ');
    throw new PoolmeterError(first.code, `Not stopped cleanly: ${names}. ${first.message}`, { cause: first });
  }

  async #stopOne(component: Component, limitMs: number): Promise<PoolmeterError | undefined> {
    const details = { component: component.name };
    try {
      if (await this.#within(component.stop(), limitMs)) {
        this.#logger.debug(details, 'Component stopped.');
        return undefined;
      }
    } catch (cause) {
      this.#logger.error({ ...details, err: cause }, 'A component failed while stopping.');
      return new PoolmeterError('internal', `${component.name}: ${messageOf(cause)}`, { details, cause });
    }
    this.#logger.error(
      { ...details, limit_ms: limitMs },
      'A component did not stop in time and is left behind.',
    );
    return new PoolmeterError('timeout', `${component.name} did not stop within ${Math.round(limitMs)} ms.`, {
      details,
    });
  }

  /** True when `work` ended within the limit. Work that ends later may still fail, and that is logged, not lost. */
  async #within(work: Promise<unknown>, limitMs: number): Promise<boolean> {
    const timer = new AbortController();
    const ended = work.then(() => true);
    const late = this.#clock.sleep(limitMs, timer.signal).then(
      () => false,
      () => false,
    );
    try {
      const inTime = await Promise.race([ended, late]);
      if (!inTime) {
        ended.catch((fault: unknown) => this.#logger.error({ err: fault }, 'A late stop failed.'));
      }
      return inTime;
    } finally {
      timer.abort(new Error('The wait is over.'));
    }
  }
}

/** The part of `process` that carries signals; injected so that a test can send one. */
export interface SignalSource {
  on(signal: 'SIGTERM' | 'SIGINT', listener: () => void): unknown;
  off(signal: 'SIGTERM' | 'SIGINT', listener: () => void): unknown;
}

/** Resolves with the name of the first SIGTERM or SIGINT, so that a main can stop its lifecycle and leave. */
export function nextStopSignal(source: SignalSource = process): Promise<'SIGTERM' | 'SIGINT'> {
  return new Promise((resolve) => {
    const listen = (signal: 'SIGTERM' | 'SIGINT') => () => {
      source.off('SIGTERM', onTerm);
      source.off('SIGINT', onInt);
      resolve(signal);
    };
    const onTerm = listen('SIGTERM');
    const onInt = listen('SIGINT');
    source.on('SIGTERM', onTerm);
    source.on('SIGINT', onInt);
  });
}
