/** Bus → ClickHouse: one writer per owned partition, back-pressure over all of them. */
import { messageOf, PoolmeterError, type Clock } from '@poolmeter/domain';
import type { Assignment, EventBus, MessageBatch, Subscription } from '@poolmeter/event-bus';
import type { MetricsStore } from '@poolmeter/metrics-store';
import type { Component, Logger, Telemetry } from '@poolmeter/service';
import { topics } from '@poolmeter/telemetry-schema';
import type { PipelineConfig } from './config.js';
import { limitParallel } from './limit-parallel.js';
import { handOverTimeout, PartitionWriter, type WriterPorts } from './partition-writer.js';
import { requestOf } from './plan-inserts.js';
import { createPipelineMetrics, type PipelineMetrics } from './pipeline-metrics.js';
import { pipelineTopics } from './rows-of-message.js';
import { watchRejects } from './watch-rejects.js';

export interface PipelineOptions {
  readonly bus: EventBus;
  /** With `query`, rows that the store's range checks refused are counted too. */
  readonly store: Pick<MetricsStore, 'insert'> & Partial<Pick<MetricsStore, 'query'>>;
  readonly logger: Logger;
  readonly telemetry: Pick<Telemetry, 'meter'>;
  readonly clock: Clock;
  readonly config: PipelineConfig;
}

interface Place {
  readonly topic: string;
  readonly partition: number;
}

/**
 * On assignment this many messages before the position are read again, only to recognise repeats among what follows.
 * It covers what agents of one partition send in the minutes around a crash.
 */
const LOOK_BACK_MESSAGES = 2_000n;
const TICK_MS = 100;
const BATCH_BYTES = 4 * 1_048_576;

export function createPipeline(options: PipelineOptions): Component {
  return new Pipeline(options);
}

class Pipeline implements Component {
  readonly name = 'pipeline';
  readonly #options: PipelineOptions;
  readonly #writers = new Map<string, PartitionWriter>();
  readonly #metrics: PipelineMetrics;
  readonly #insert: WriterPorts['insert'];
  readonly #subscribed = deferred<Subscription>();
  readonly #ticking = new AbortController();
  readonly #rejects: Component | undefined;
  #ticker: Promise<void> | undefined;
  #paused = false;

  constructor(options: PipelineOptions) {
    this.#options = options;
    this.#metrics = createPipelineMetrics({
      meter: options.telemetry.meter,
      clock: options.clock,
      bufferedBytes: () => this.#bufferedBytes(),
    });
    this.#rejects = rejectsWatchOf(options);
    const limited = limitParallel(options.config.parallelInserts);
    this.#insert = (insert, signal) => limited(() => options.store.insert({ ...requestOf(insert), signal }));
  }

  async start(): Promise<void> {
    const { bus, config } = this.#options;
    const names = [...pipelineTopics, topics.deadLetter];
    await bus.ensureTopics(names.map((name) => ({ name, partitions: config.partitions })));
    this.#subscribed.resolve(
      await bus.subscribe({
        group: config.group,
        topics: pipelineTopics,
        startAt: 'earliest',
        maxBatchBytes: BATCH_BYTES,
        onAssigned: (assignments) => this.#onAssigned(assignments),
        onRevoked: (partitions) => this.#onRevoked(partitions),
        onBatch: (batch) => this.#onBatch(batch),
      }),
    );
    this.#ticker = this.#tick();
    await this.#rejects?.start();
  }

  async stop(): Promise<void> {
    if (this.#ticker === undefined) return;
    await this.#rejects?.stop();
    await (await this.#subscribed.promise).stop();
    this.#ticking.abort(new Error('The pipeline is stopping.'));
    await this.#ticker;
  }

  async #onAssigned(assignments: readonly Assignment[]): Promise<void> {
    const subscription = await this.#subscribed.promise;
    for (const assignment of assignments) {
      this.#writers.set(nameOf(assignment), this.#createWriter(assignment, subscription));
      const from = await this.#lookBackFrom(assignment);
      if (from !== undefined) await subscription.seek(assignment.topic, assignment.partition, from);
    }
    if (this.#paused) subscription.pause(assignments);
  }

  #createWriter(assignment: Assignment, subscription: Subscription): PartitionWriter {
    const { bus, clock, config } = this.#options;
    const { topic, partition, committed } = assignment;
    const logger = this.#options.logger.child({ topic, partition });
    return new PartitionWriter({
      topic,
      partition,
      committed,
      clock,
      logger,
      limits: { rows: config.flushRows, bytes: config.flushBytes },
      ports: {
        insert: this.#insert,
        commit: (position) => subscription.commit(position),
        publishDeadLetters: (letters) => bus.publish(topics.deadLetter, letters),
      },
      events: {
        onRows: (table, rowCount) => this.#metrics.onRows(table, rowCount),
        onRefused: (refused) => {
          this.#metrics.onRefused(topic, refused);
          logger.warn(
            { messages: refused.length, code: refused[0]?.code, reason: refused[0]?.reason },
            'Messages went to the dead letters.',
          );
        },
        onStored: (range) => {
          this.#metrics.onStored(topic, range);
          this.#balanceReading();
        },
        onTrouble: (step, fault, attempt) => {
          this.#metrics.onTrouble(topic, step, fault);
          const reason = attempt === 1 ? { err: fault } : { reason: messageOf(fault) };
          logger.warn({ step, attempt, ...reason }, 'A step failed; it is tried again with the same bytes.');
        },
        onRecovered: () => logger.info('What had failed works again.'),
      },
    });
  }

  /** Where reading begins so that the repeat filter knows the recent past; undefined for the position itself. */
  async #lookBackFrom({ topic, partition, committed }: Assignment): Promise<bigint | undefined> {
    if (committed === undefined || committed.nextOffset === 0n) return undefined;
    const ranges = await this.#options.bus.ranges(topic);
    const earliest = ranges.find((range) => range.partition === partition)?.earliestOffset ?? 0n;
    if (earliest > committed.nextOffset) {
      const details = {
        topic,
        partition,
        position: String(committed.nextOffset),
        earliest: String(earliest),
      };
      this.#options.logger.error(details, 'Retention dropped messages that were never stored.');
    }
    const wanted = committed.nextOffset - LOOK_BACK_MESSAGES;
    return wanted > earliest ? wanted : earliest;
  }

  #onBatch(batch: MessageBatch): Promise<void> {
    const writer = this.#writers.get(nameOf(batch));
    if (writer === undefined) {
      const message = `${nameOf(batch)} delivers messages but was not assigned.`;
      return Promise.reject(new PoolmeterError('internal', message));
    }
    writer.add(batch.messages);
    this.#metrics.onBatch(batch);
    this.#balanceReading();
    return Promise.resolve();
  }

  async #onRevoked(partitions: readonly Place[]): Promise<void> {
    await Promise.all(partitions.map((place) => this.#handOver(place)));
  }

  /** Flushes within the limit; after it the note of what was begun is enough for the next owner. */
  async #handOver(place: Place): Promise<void> {
    const writer = this.#writers.get(nameOf(place));
    if (writer === undefined) return;
    const { clock, config, logger } = this.#options;
    const limit = new AbortController();
    const late = clock.sleep(config.handOverTimeoutMs, limit.signal).then(
      () => writer.abandon(handOverTimeout(place, config.handOverTimeoutMs)),
      () => undefined, // The flush was quicker and ended the wait.
    );
    try {
      // After the limit nothing more is waited for: an insert that is still under way has its note and its token.
      await Promise.race([writer.flush(), late]);
    } catch (fault) {
      logger.warn({ ...place, err: fault }, 'A partition was handed over before everything was stored.');
    } finally {
      limit.abort(new Error('The hand-over is done.'));
      await late;
      this.#writers.delete(nameOf(place));
      this.#metrics.onRevoked(place.topic, place.partition);
    }
  }

  /** Reading pauses while too much is in memory, and goes on when half of it is stored. */
  #balanceReading(): void {
    const bytes = this.#bufferedBytes();
    const { maxBufferedBytes } = this.#options.config;
    const wanted = this.#paused ? bytes > maxBufferedBytes / 2 : bytes > maxBufferedBytes;
    if (wanted === this.#paused) return;
    this.#paused = wanted;
    const places = [...this.#writers.values()].map(({ topic, partition }) => ({ topic, partition }));
    void this.#subscribed.promise.then((subscription) =>
      wanted ? subscription.pause(places) : subscription.resume(places),
    );
    this.#options.logger.info(
      { paused: wanted, buffered_bytes: bytes },
      'Reading follows what can be stored.',
    );
  }

  #bufferedBytes(): number {
    let bytes = 0;
    for (const writer of this.#writers.values()) bytes += writer.bufferedBytes;
    return bytes;
  }

  async #tick(): Promise<void> {
    const { clock, config } = this.#options;
    while (!this.#ticking.signal.aborted) {
      for (const writer of this.#writers.values()) writer.closeOlderThan(config.flushIntervalMs);
      this.#balanceReading();
      // The only way that this sleep fails is the abort that ends the loop.
      await clock.sleep(TICK_MS, this.#ticking.signal).catch(() => undefined);
    }
  }
}

function rejectsWatchOf({ store, telemetry, clock, logger }: PipelineOptions): Component | undefined {
  if (!canQuery(store)) return undefined;
  return watchRejects({ store, meter: telemetry.meter, clock, logger });
}

function canQuery(store: PipelineOptions['store']): store is Pick<MetricsStore, 'insert' | 'query'> {
  return store.query !== undefined;
}

function nameOf({ topic, partition }: Place): string {
  return `${topic}/${partition}`;
}

/** A promise that is resolved from outside: callbacks of a subscription may come before subscribe() returns it. */
function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
