import { messageOf, type Clock } from '@poolmeter/domain';
import type { EventBus, Spool, SpoolEntry } from '@poolmeter/event-bus';
import type { Component, Logger } from '@poolmeter/service';

export interface DeliveryOptions {
  readonly bus: Pick<EventBus, 'publish'>;
  readonly spool: Spool;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: DeliveryMetrics;
  /** How long one publish may take before the messages go to the spool; the bus may still take them, as repeats. */
  readonly publishTimeoutMs: number;
}

export interface DeliveryMetrics {
  published(messages: number): void;
  publishFailed(): void;
  spooled(messages: number): void;
  dropped(messages: number): void;
}

export interface Delivery extends Component {
  /** Resolves once the messages are durable: on the bus, or in the spool. Order per topic is kept. */
  deliver(entries: readonly SpoolEntry[]): Promise<void>;
}

interface Waiting {
  readonly entries: readonly SpoolEntry[];
  durable(): void;
}

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
/** A publish under way at the stop gets this long before its messages go to the spool. */
const STOP_GRACE_MS = 2_000;
/** Messages wait in memory while one publish is under way, or while the spool cannot be written. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;

/** Sends messages to the bus, and through a spool on disk while the bus is away: the oldest first, nothing twice. */
export function createDelivery(options: DeliveryOptions): Delivery {
  return new SpoolingDelivery(options);
}

class SpoolingDelivery implements Delivery {
  readonly name = 'delivery';
  readonly #options: DeliveryOptions;
  readonly #stopping = new AbortController();
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #wake: () => void = () => undefined;
  #loop: Promise<void> | undefined;
  #pauseMs = 0;

  constructor(options: DeliveryOptions) {
    this.#options = options;
  }

  start(): Promise<void> {
    this.#loop ??= this.#run();
    return Promise.resolve();
  }

  /** Tries the bus once more; what it does not take is in the spool when this resolves. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('The delivery is stopping.'));
    this.#wake();
    await this.#loop;
    if (this.#waiting.length > 0) await this.#sendWaiting();
    await this.#options.spool.close();
  }

  deliver(entries: readonly SpoolEntry[]): Promise<void> {
    if (entries.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push({ entries, durable: resolve });
      this.#waitingBytes += bytesOf(entries);
      this.#dropOverflow();
      this.#wake();
    });
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#turn();
      } catch (fault) {
        this.#options.logger.error({ err: fault }, 'Messages cannot be spooled; they wait in memory.');
        await this.#sleep(FIRST_PAUSE_MS);
      }
    }
  }

  async #turn(): Promise<void> {
    if (this.#options.spool.state().messages > 0) {
      const drained = await this.#drainSpool();
      // What came meanwhile is younger than the spool, so that it goes behind it.
      if (this.#options.spool.state().messages > 0) await this.#spoolWaiting();
      if (!drained) await this.#pause();
    } else if (this.#waiting.length > 0) {
      if (!(await this.#sendWaiting())) await this.#pause();
    } else {
      await this.#somethingToDo();
    }
  }

  /** Publishes all that waits; when the bus does not take it, all of it goes to the spool. */
  async #sendWaiting(): Promise<boolean> {
    const batch = this.#take();
    const spoolIsEmpty = this.#options.spool.state().messages === 0;
    if (spoolIsEmpty && (await this.#publish(batch.flatMap((one) => one.entries)))) {
      for (const one of batch) one.durable();
      return true;
    }
    this.#putBack(batch);
    await this.#spoolWaiting();
    return false;
  }

  async #spoolWaiting(): Promise<void> {
    const batch = this.#take();
    const entries = batch.flatMap((one) => one.entries);
    if (entries.length === 0) return;
    try {
      const { droppedMessages } = await this.#options.spool.append(entries);
      this.#options.metrics.spooled(entries.length);
      if (droppedMessages > 0) this.#options.metrics.dropped(droppedMessages);
    } catch (fault) {
      this.#putBack(batch);
      throw fault;
    }
    for (const one of batch) one.durable();
  }

  #take(): Waiting[] {
    this.#waitingBytes = 0;
    return this.#waiting.splice(0);
  }

  #putBack(batch: readonly Waiting[]): void {
    this.#waiting.unshift(...batch);
    this.#waitingBytes += batch.reduce((sum, one) => sum + bytesOf(one.entries), 0);
    this.#dropOverflow();
  }

  async #drainSpool(): Promise<boolean> {
    const oldest = this.#options.spool.peek();
    const last = oldest.at(-1);
    if (last === undefined || !(await this.#publish(oldest))) return false;
    await this.#options.spool.ack(last.position);
    return true;
  }

  /** False when it is not known that the bus has them. */
  async #publish(entries: readonly SpoolEntry[]): Promise<boolean> {
    try {
      for (const [topic, messages] of byTopic(entries)) {
        await this.#withinTimeout(this.#options.bus.publish(topic, messages));
        this.#options.metrics.published(messages.length);
      }
      this.#pauseMs = 0;
      return true;
    } catch (fault) {
      this.#options.metrics.publishFailed();
      this.#options.logger.warn(
        { reason: messageOf(fault) },
        'The bus did not take messages; they go to the spool.',
      );
      return false;
    }
  }

  async #withinTimeout(work: Promise<void>): Promise<void> {
    const { clock, publishTimeoutMs } = this.#options;
    const over = new AbortController();
    const limit = clock.sleep(publishTimeoutMs, over.signal).then(() => {
      throw new Error(`No answer within ${publishTimeoutMs} ms.`);
    });
    const stop = this.#stopRequested(over.signal)
      .then(() => clock.sleep(STOP_GRACE_MS, over.signal))
      .then(() => {
        throw new Error('No answer before the stop.');
      });
    // Whichever loses the race is of no interest any more.
    for (const loser of [work, limit, stop]) loser.catch(() => undefined);
    try {
      await Promise.race([work, limit, stop]);
    } finally {
      over.abort(new Error('The publish has ended.'));
    }
  }

  /** Resolves when the delivery is asked to stop; never, when `over` comes first. */
  #stopRequested(over: AbortSignal): Promise<void> {
    const stopping = this.#stopping.signal;
    if (stopping.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      stopping.addEventListener('abort', () => resolve(), { once: true, signal: over });
    });
  }

  /** The oldest go first, as in the spool; it is counted and said. */
  #dropOverflow(): void {
    let dropped = 0;
    while (this.#waitingBytes > MAX_WAITING_BYTES && this.#waiting.length > 1) {
      const oldest = this.#waiting.shift();
      if (oldest === undefined) break;
      dropped += oldest.entries.length;
      this.#waitingBytes -= bytesOf(oldest.entries);
      oldest.durable();
    }
    if (dropped === 0) return;
    this.#options.metrics.dropped(dropped);
    this.#options.logger.error(
      { dropped },
      'Neither the bus nor the disk takes messages; the oldest are lost.',
    );
  }

  /** Leaves the bus alone for a while, longer each time; what comes meanwhile goes to the spool at once. */
  async #pause(): Promise<void> {
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(FIRST_PAUSE_MS, this.#pauseMs * 2));
    const end = this.#sleep(this.#pauseMs).then(() => true);
    for (let over = false; !over;) {
      over = await Promise.race([end, this.#somethingToDo().then(() => false)]);
      await this.#spoolWaiting();
    }
  }

  /** Only the stop ends it early. */
  #sleep(ms: number): Promise<void> {
    return this.#options.clock.sleep(ms, this.#stopping.signal).catch(() => undefined);
  }

  #somethingToDo(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      if (this.#waiting.length > 0 || this.#stopping.signal.aborted) resolve();
    });
  }
}

function byTopic(entries: readonly SpoolEntry[]): Map<string, SpoolEntry['message'][]> {
  const topics = new Map<string, SpoolEntry['message'][]>();
  for (const { topic, message } of entries) {
    const messages = topics.get(topic);
    if (messages === undefined) topics.set(topic, [message]);
    else messages.push(message);
  }
  return topics;
}

function bytesOf(entries: readonly SpoolEntry[]): number {
  return entries.reduce((sum, entry) => sum + entry.message.value.byteLength, 0);
}
