/** Bus → ClickHouse: one writer per owned partition, one gate to the store, back-pressure over all of them. */
import { messageOf, PoolmeterError, type Clock } from '@poolmeter/domain';
import type { Assignment, EventBus, MessageBatch, OffsetGap, Subscription } from '@poolmeter/event-bus';
import type { MetricsStore } from '@poolmeter/metrics-store';
import {
  repeatEvery,
  type Component,
  type Logger,
  type ReadinessCheck,
  type Telemetry,
} from '@poolmeter/service';
import { sampleSchemas, topics, type SampleSchema } from '@poolmeter/telemetry-schema';
import { createAgentTopicRules, topicsOfProviders } from './agent-topic-rules.js';
import type { PipelineConfig } from './config.js';
import { FlushPacer } from './flush-pacer.js';
import { openNodeRegistry, type NodeRegistry } from './node-registry.js';
import { lostBy, logLoss } from './offset-loss.js';
import { OwnedPartition, type OffsetJump } from './owned-partition.js';
import { handOverTimeout, PartitionWriter, type InsertAttempt } from './partition-writer.js';
import { PipelineEvents } from './pipeline-events.js';
import { createPipelineMetrics, type PipelineMetrics } from './pipeline-metrics.js';
import { requestOf, type RowInsert } from './plan-inserts.js';
import { RangeSizer } from './range-sizer.js';
import { createMessageReader, pipelineTopics } from './rows-of-message.js';
import { createRollupReconciler } from './reconcile-rollups.js';
import { createInsertSettler, type SettleInsert } from './settle-insert.js';
import { StoreGate } from './store-gate.js';
import type { ReadMessage } from './table-rows.js';
import { watchRejects } from './watch-rejects.js';

export interface PipelineOptions {
  readonly bus: EventBus;
  /**
   * With `query`, rows that the store's range checks refused are counted too; with `command` as well, inserts that had to
   * be repeated are compared with what is stored, and mended.
   */
  readonly store: Pick<MetricsStore, 'insert'> & Partial<Pick<MetricsStore, 'query' | 'command'>>;
  readonly logger: Logger;
  readonly telemetry: Pick<Telemetry, 'meter'>;
  readonly clock: Clock;
  readonly config: PipelineConfig;
  /** Versions of sample rows that are understood; those of this release when absent. */
  readonly schemas?: readonly SampleSchema[];
  /** Whose the nodes are; the pools file, or who spoke for a node first, when absent. */
  readonly registry?: NodeRegistry;
}

/** A pipeline, and whether it can store what it reads. */
export interface PipelineComponent extends Component {
  readonly readiness: ReadinessCheck;
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
const NEWS_EVERY_MS = 1_000;
const ENDS_EVERY_MS = 10_000;
/** While a partition is behind, its ranges are closed by size, and by age only when this much has passed. */
const CATCH_UP_MS = 3_000;
const BATCH_BYTES = 4 * 1_048_576;
/** A partition that has stored nothing for this long costs no inserts. */
const ACTIVE_MS = 10_000;
/** With too many parts in the store freshness is given up, but not without limit. */
const FLUSH_INTERVAL_MS_MOST = 30_000;

export function createPipeline(options: PipelineOptions): PipelineComponent {
  return new Pipeline(options);
}

class Pipeline implements PipelineComponent {
  readonly name = 'pipeline';
  readonly readiness: ReadinessCheck;
  readonly #options: PipelineOptions;
  readonly #owned = new Map<string, OwnedPartition>();
  readonly #metrics: PipelineMetrics;
  readonly #gate: StoreGate;
  readonly #pacer: FlushPacer;
  readonly #sizer: RangeSizer;
  readonly #events: PipelineEvents;
  readonly #settle: SettleInsert;
  readonly #subscribed = deferred<Subscription>();
  readonly #ticking = new AbortController();
  readonly #loops: readonly Component[];
  #read: ReadMessage | undefined;
  #ticker: Promise<void> | undefined;
  #paused = false;

  constructor(options: PipelineOptions) {
    const { bus, clock, config, logger, telemetry } = options;
    this.#options = options;
    this.#metrics = createPipelineMetrics({ meter: telemetry.meter, clock, gauges: this.#gauges() });
    this.#events = new PipelineEvents({ bus, clock, logger });
    this.#pacer = new FlushPacer({
      leastMs: config.flushIntervalMs,
      mostMs: Math.max(config.flushIntervalMs, config.flushIntervalMaxMs),
      sharePercent: config.insertSharePercent,
    });
    const limits = { rows: config.flushRows, bytes: config.flushBytes };
    this.#sizer = new RangeSizer({ limits, bytesMost: config.maxBufferedBytes / 2, clock });
    this.#gate = new StoreGate({
      clock,
      parallelInserts: config.parallelInserts,
      onTrouble: (trouble) => this.#sizer.onTrouble(trouble),
      onInserted: (tookMs) => this.#pacer.onInsert(tookMs),
    });
    this.readiness = this.#gate.readiness;
    this.#settle = this.#createSettler();
    this.#loops = this.#createLoops();
  }

  async start(): Promise<void> {
    const { bus, config } = this.#options;
    this.#read = await this.#createReader();
    const read = [...pipelineTopics, ...topicsOfProviders(config.providers)];
    await bus.ensureTopics(
      [...read, topics.deadLetter].map((name) => ({ name, partitions: config.partitions })),
    );
    this.#subscribed.resolve(
      await bus.subscribe({
        group: config.group,
        topics: read,
        startAt: 'earliest',
        maxBatchBytes: BATCH_BYTES,
        onAssigned: (assignments) => this.#onAssigned(assignments),
        onRevoked: (partitions) => this.#onRevoked(partitions),
        onGap: (gap) => this.#onGap(gap),
        onBatch: (batch) => this.#onBatch(batch),
      }),
    );
    this.#ticker = this.#tick();
    for (const loop of this.#loops) await loop.start();
  }

  async stop(): Promise<void> {
    if (this.#ticker === undefined) return;
    for (const loop of this.#loops) await loop.stop();
    await (await this.#subscribed.promise).stop();
    this.#ticking.abort(new Error('The pipeline is stopping.'));
    await this.#ticker;
    await this.#events.flush();
  }

  async #createReader(): Promise<ReadMessage> {
    const { config, registry, schemas = sampleSchemas } = this.#options;
    const rules = createAgentTopicRules({
      registry:
        registry ??
        (await openNodeRegistry({
          pools: config.pools,
          providers: config.providers,
          store: this.#options.store,
        })),
      sharedTopic: config.sharedTopic,
      onForeign: (claim) => {
        this.#metrics.onForeign(claim.topic);
        this.#events.onForeign(claim);
      },
      onRelabelled: (topic) => this.#metrics.onRelabelled(topic),
    });
    return createMessageReader({ schemas, rules });
  }

  #createLoops(): Component[] {
    const { clock, config, logger, store, telemetry } = this.#options;
    const loop = (name: string, everyMs: number, run: () => Promise<void>) =>
      repeatEvery({ name, everyMs, clock, logger, run });
    return [
      loop('gap watch', NEWS_EVERY_MS, () => this.#tellNews()),
      loop('lag watch', ENDS_EVERY_MS, () => this.#lookAtEnds()),
      ...(canMend(store)
        ? [loop('rollup comparison', config.reconcileIntervalMs, this.#createReconciler(store))]
        : []),
      ...(canQuery(store) ? [watchRejects({ store, meter: telemetry.meter, clock, logger })] : []),
    ];
  }

  #createReconciler(store: Pick<MetricsStore, 'query' | 'command'>): () => Promise<void> {
    const { clock, logger } = this.#options;
    const isOwner = () => this.#owned.has(nameOf({ topic: topics.gpuSamples, partition: 0 }));
    const onMended = (what: 'rollups', count: number) => this.#metrics.onMended(what, count);
    return createRollupReconciler({ store, clock, logger, isOwner, onMended });
  }

  async #onAssigned(assignments: readonly Assignment[]): Promise<void> {
    const subscription = await this.#subscribed.promise;
    for (const assignment of assignments) {
      const { topic, partition, committed } = assignment;
      this.#own(assignment, subscription);
      if (committed === undefined || committed.nextOffset === 0n) continue;
      // Reading begins earlier, so that the repeat filter knows the recent past.
      const earliest = (await this.#rangeOf(assignment))?.earliestOffset ?? 0n;
      const wanted = committed.nextOffset - LOOK_BACK_MESSAGES;
      await subscription.seek(topic, partition, wanted > earliest ? wanted : earliest);
    }
    if (this.#paused) subscription.pause(assignments);
  }

  #own(assignment: Assignment, subscription: Subscription): void {
    const writer = this.#createWriter(assignment, subscription);
    this.#owned.set(nameOf(assignment), new OwnedPartition(writer, assignment.committed?.nextOffset));
  }

  #createWriter(assignment: Assignment, subscription: Subscription): PartitionWriter {
    const { bus, clock } = this.#options;
    const { topic, partition, committed } = assignment;
    const logger = this.#options.logger.child({ topic, partition });
    return new PartitionWriter({
      topic,
      partition,
      committed,
      clock,
      logger,
      limits: this.#sizer,
      read: (message) => this.#readMessage(message),
      ports: {
        insert: (insert, attempt) => this.#insert(insert, attempt),
        settle: this.#settle,
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
          this.#metrics.onStored(topic, partition, range);
          const owned = this.#owned.get(nameOf(assignment));
          if (owned !== undefined) owned.storedAtMs = clock.now();
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

  #insert(insert: RowInsert, attempt: InsertAttempt): Promise<void> {
    const request = { ...requestOf(insert), ...attempt };
    return this.#gate.run(() => this.#options.store.insert(request), attempt.signal);
  }

  #createSettler(): SettleInsert {
    const { clock, logger, store, schemas = sampleSchemas } = this.#options;
    if (!canMend(store)) return () => Promise.resolve();
    return createInsertSettler({
      store,
      insert: (insert, signal) => this.#insert(insert, { signal }),
      schemas,
      clock,
      logger,
      onMended: (what, count) => this.#metrics.onMended(what, count),
    });
  }

  #readMessage(message: Parameters<ReadMessage>[0]): ReturnType<ReadMessage> {
    if (this.#read === undefined) throw new PoolmeterError('internal', 'A message came before the start.');
    return this.#read(message);
  }

  async #onBatch(batch: MessageBatch): Promise<void> {
    const owned = this.#owned.get(nameOf(batch));
    if (owned === undefined) {
      const message = `${nameOf(batch)} delivers messages but was not assigned.`;
      throw new PoolmeterError('internal', message);
    }
    this.#metrics.onBatch(batch);
    const jumps = owned.add(batch, this.#options.clock.now());
    this.#balanceReading();
    for (const jump of jumps) await this.#onJump(batch, jump);
  }

  /** The bus did not tell of it: retention dropped messages, or the offsets were never used (transactions). */
  async #onJump(place: Place, { from, to }: OffsetJump): Promise<void> {
    const earliest = (await this.#rangeOf(place))?.earliestOffset ?? 0n;
    const lostUntil = earliest < to ? earliest : to;
    if (lostUntil > from)
      this.#onLost({ ...placeOf(place), kind: 'removed', fromOffset: from, toOffset: lostUntil });
    else {
      const offsets = { first: String(from), last: String(to - 1n) };
      const sentence = 'Offsets were passed over that hold no messages of ours.';
      this.#options.logger.info({ ...placeOf(place), ...offsets }, sentence);
    }
  }

  async #onGap(gap: OffsetGap): Promise<void> {
    this.#onLost(gap);
    const owned = this.#owned.get(nameOf(gap));
    if (owned === undefined) return;
    if (gap.kind === 'removed') {
      owned.expect(gap.toOffset);
      return;
    }
    // Other messages get the same offsets again: what the old writer knows about them is void.
    const { topic, partition, toOffset: nextOffset } = gap;
    owned.writer.abandon(new PoolmeterError('bus.rejected', `${nameOf(gap)} was cut short by the bus.`));
    this.#own(
      { topic, partition, committed: { topic, partition, nextOffset, metadata: '' } },
      await this.#subscribed.promise,
    );
  }

  #onLost(gap: OffsetGap): void {
    this.#metrics.onLost(gap.topic, gap.kind === 'removed' ? 'retention' : 'truncated', lostBy(gap));
    logLoss(gap, this.#options.logger);
  }

  async #onRevoked(partitions: readonly Place[]): Promise<void> {
    await Promise.all(partitions.map((place) => this.#handOver(place)));
  }

  /** Flushes within the limit; after it the note of what was begun is enough for the next owner. */
  async #handOver(place: Place): Promise<void> {
    const writer = this.#owned.get(nameOf(place))?.writer;
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
      logger.warn(
        { ...placeOf(place), err: fault },
        'A partition was handed over before everything was stored.',
      );
    } finally {
      limit.abort(new Error('The hand-over is done.'));
      await late;
      this.#owned.delete(nameOf(place));
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
    const places = [...this.#owned.values()].map(({ writer }) => placeOf(writer));
    void this.#subscribed.promise.then((subscription) =>
      wanted ? subscription.pause(places) : subscription.resume(places),
    );
    this.#options.logger.info(
      { paused: wanted, buffered_bytes: bytes },
      'Reading follows what can be stored.',
    );
  }

  #gauges(): Parameters<typeof createPipelineMetrics>[0]['gauges'] {
    return {
      bufferedBytes: () => this.#bufferedBytes(),
      openGaps: () => [...this.#owned.values()].reduce((sum, { sequences }) => sum + sequences.openCount, 0),
      flushIntervalMs: () => this.#flushIntervalMs(),
      trouble: () => this.#gate.state().trouble,
    };
  }

  #bufferedBytes(): number {
    let bytes = 0;
    for (const { writer } of this.#owned.values()) bytes += writer.bufferedBytes;
    return bytes;
  }

  #flushIntervalMs(): number {
    const since = this.#options.clock.now() - ACTIVE_MS;
    let active = 0;
    for (const { storedAtMs } of this.#owned.values()) if (storedAtMs >= since) active += 1;
    const stretch = Math.max(1, this.#sizer.factor);
    return Math.min(this.#pacer.intervalMs(active) * stretch, FLUSH_INTERVAL_MS_MOST);
  }

  /** Gaps in agents' numbering become counts and events; those that were closed late become events too. */
  async #tellNews(): Promise<void> {
    const { clock, config } = this.#options;
    for (const { writer, sequences } of this.#owned.values()) {
      const { open, filled } = sequences.news(clock.now(), config.gapWindowMs);
      for (const gap of open) {
        this.#metrics.onLost(writer.topic, 'sequence', gap.missing);
        this.#events.onGap('telemetry.gap', writer.topic, gap);
      }
      for (const gap of filled) {
        this.#metrics.onLateFilled(writer.topic, gap.missing);
        this.#events.onGap('telemetry.gap_filled', writer.topic, gap);
      }
    }
    await this.#events.flush();
  }

  async #lookAtEnds(): Promise<void> {
    const names = new Set([...this.#owned.values()].map(({ writer }) => writer.topic));
    for (const name of names) this.#metrics.onEnds(await this.#options.bus.ranges(name));
  }

  async #rangeOf({ topic, partition }: Place) {
    const ranges = await this.#options.bus.ranges(topic);
    return ranges.find((range) => range.partition === partition);
  }

  async #tick(): Promise<void> {
    const { clock } = this.#options;
    while (!this.#ticking.signal.aborted) {
      const intervalMs = this.#flushIntervalMs();
      for (const { writer, isBehind } of this.#owned.values())
        writer.closeOlderThan(isBehind ? Math.max(intervalMs, CATCH_UP_MS) : intervalMs);
      this.#balanceReading();
      // The only way that this sleep fails is the abort that ends the loop.
      await clock.sleep(TICK_MS, this.#ticking.signal).catch(() => undefined);
    }
  }
}

function canQuery(store: PipelineOptions['store']): store is Pick<MetricsStore, 'insert' | 'query'> {
  return store.query !== undefined;
}

function canMend(
  store: PipelineOptions['store'],
): store is Pick<MetricsStore, 'insert' | 'query' | 'command'> {
  return store.query !== undefined && store.command !== undefined;
}

function nameOf({ topic, partition }: Place): string {
  return `${topic}/${partition}`;
}

function placeOf({ topic, partition }: Place): Place {
  return { topic, partition };
}

/** A promise that is resolved from outside: callbacks of a subscription may come before subscribe() returns it. */
function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
