/** The event bus of the embedded shape: a durable log in a folder, shared by any number of processes on a machine. */
import { systemClock, type Clock } from '@poolmeter/domain';
import type { Logger } from '@poolmeter/service';
import { BEAT_MS, BusInstances } from './bus-instances.js';
import type {
  BusMessage,
  CommittedPosition,
  EventBus,
  PartitionLag,
  PartitionRange,
  SubscribeOptions,
  Subscription,
  TopicSpec,
} from './event-bus.js';
import { LmdbEnvironment } from './lmdb-environment.js';
import { LogStore, type Retention } from './log-store.js';
import { LogSubscription } from './log-subscription.js';
import { requireFitting } from './message-limits.js';
import { partitionLags } from './partition-lag.js';
import { topicsToRead } from './topic-family.js';

export interface LogBusOptions {
  readonly directory: string;
  readonly logger: Logger;
  /** Gives messages their stored time, by which retention drops them. */
  readonly clock?: Clock;
  /** For topics whose spec names none. 7 days and 1 GiB per partition when absent. */
  readonly defaultRetention?: Partial<Retention>;
  /** Address space reserved at the start, in bytes: a file beyond it is mapped anew. 256 GiB when absent. */
  readonly mapSize?: number;
  /** Publishing is refused as `storage.full` while the disk has less than this left; 64 MiB when absent. */
  readonly reserveBytes?: number;
}

const MAP_BYTES = 256 * 1024 ** 3;
const RESERVE_BYTES = 64 * 1024 ** 2;
const TABLES_MAX = 1_024;
const RETENTION: Retention = { retentionMs: 7 * 86_400_000, retentionBytes: 1024 ** 3 };
/** Messages from other processes are seen after this long; those from this one at once. */
const POLL_MS = 100;
const TRIM_MS = 30_000;

export function createLogBus(options: LogBusOptions): EventBus {
  return new LogBus(options);
}

class LogBus implements EventBus {
  readonly #logger: Logger;
  readonly #environment: LmdbEnvironment;
  readonly #store: LogStore;
  readonly #instances: BusInstances;
  readonly #subscriptions = new Set<LogSubscription>();
  readonly #pending = new Set<Promise<unknown>>();
  readonly #trimTimer: NodeJS.Timeout;
  #timers: NodeJS.Timeout[] = [];
  #closing: Promise<void> | undefined;

  constructor(options: LogBusOptions) {
    this.#logger = options.logger;
    this.#environment = new LmdbEnvironment({
      directory: options.directory,
      mapSizeBytes: options.mapSize ?? MAP_BYTES,
      tablesMax: TABLES_MAX,
    });
    this.#store = new LogStore({
      environment: this.#environment,
      clock: options.clock ?? systemClock,
      defaultRetention: { ...RETENTION, ...options.defaultRetention },
      reserveBytes: options.reserveBytes ?? RESERVE_BYTES,
    });
    this.#instances = new BusInstances(this.#environment);
    this.#trimTimer = this.#every(TRIM_MS, () => this.#store.trim());
  }

  async ensureTopics(topics: readonly TopicSpec[]): Promise<void> {
    await this.#track(this.#store.ensureTopics(topics));
    for (const subscription of this.#subscriptions) subscription.look();
  }

  topics(family: string): Promise<string[]> {
    return this.#look(() => topicsToRead(this.#store.topicNames(), { topics: [], topicFamilies: [family] }));
  }

  async publish(topic: string, messages: readonly BusMessage[]): Promise<void> {
    this.#requireOpen();
    requireFitting(topic, messages);
    this.#store.partitionsOf(topic);
    if (messages.length === 0) return;
    await this.#track(this.#store.append(topic, messages));
    for (const subscription of this.#subscriptions) subscription.poke(topic);
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    this.#requireOpen();
    for (const topic of options.topics) this.#store.partitionsOf(topic);
    const subscription = new LogSubscription({
      environment: this.#environment,
      store: this.#store,
      instances: this.#instances,
      logger: this.#logger,
      subscribe: options,
      onGroupChange: () => {
        for (const other of this.#subscriptions) if (other.group === options.group) other.look();
      },
      onStopped: () => {
        this.#subscriptions.delete(subscription);
        if (this.#subscriptions.size === 0) this.#unwatch();
        for (const other of this.#subscriptions) other.look();
      },
    });
    this.#subscriptions.add(subscription);
    await this.#watch();
    await subscription.start();
    return subscription;
  }

  ranges(topic: string): Promise<PartitionRange[]> {
    return this.#look(() => this.#store.ranges(topic));
  }

  committed(group: string, topic: string): Promise<CommittedPosition[]> {
    return this.#look(() => this.#store.committed(group, topic));
  }

  lag(group: string, topic: string): Promise<PartitionLag[]> {
    return this.#look(() => partitionLags(this.#store.ranges(topic), this.#store.committed(group, topic)));
  }

  ping(): Promise<void> {
    return this.#look(() => void this.#store.topicNames());
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Beats and looks for other processes' messages only while somebody here consumes. */
  async #watch(): Promise<void> {
    await this.#instances.beat();
    if (this.#timers.length > 0) return;
    this.#timers = [
      this.#every(BEAT_MS, () => this.#instances.beat()),
      this.#every(POLL_MS, () => {
        for (const subscription of this.#subscriptions) subscription.poke();
      }),
    ];
  }

  #unwatch(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
  }

  #every(intervalMs: number, run: () => unknown): NodeJS.Timeout {
    const timer = setInterval(() => {
      const turn = (async () => {
        await run();
      })().catch((fault: unknown) => {
        this.#logger.warn({ err: fault }, 'Background work of the log failed; it is tried again.');
      });
      void this.#track(turn);
    }, intervalMs);
    timer.unref();
    return timer;
  }

  async #look<T>(read: () => T): Promise<T> {
    this.#requireOpen();
    return Promise.resolve(read());
  }

  #requireOpen(): void {
    this.#environment.requireOpen();
  }

  /** close() waits for whatever is being written. */
  #track<T>(work: Promise<T>): Promise<T> {
    const settled = work.then(
      () => undefined,
      () => undefined,
    );
    this.#pending.add(settled);
    void settled.then(() => this.#pending.delete(settled));
    return work;
  }

  async #close(): Promise<void> {
    clearInterval(this.#trimTimer);
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.stop()));
    this.#unwatch();
    await this.#instances.forget();
    await Promise.all(this.#pending);
    await this.#environment.close();
  }
}
