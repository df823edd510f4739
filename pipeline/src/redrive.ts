/** Sends dead letters again to the topics that they came from, once each: after the reader was upgraded or mended. */
import { PoolmeterError, type Clock } from '@poolmeter/domain';
import type {
  Assignment,
  BusMessage,
  EventBus,
  MessageBatch,
  PartitionRange,
  StoredMessage,
  Subscription,
} from '@poolmeter/event-bus';
import { topics } from '@poolmeter/telemetry-schema';
import { originalOf, type Original } from './dead-letter.js';
import { DoneLetters } from './done-letters.js';
import { limitParallel } from './limit-parallel.js';

export interface RedriveOptions {
  readonly bus: EventBus;
  readonly clock: Clock;
  /** Only letters with this code. */
  readonly code?: string | undefined;
  /** Only letters that came from this topic. */
  readonly topic?: string | undefined;
  /** At most this many letters. */
  readonly limit?: number | undefined;
  /** Counts, and changes nothing. */
  readonly dryRun?: boolean | undefined;
  /** A letter that was refused this often stays where it is. */
  readonly maxAttempts: number;
}

export interface RedriveOutcome {
  /** Letters that were sent again, or would be. */
  readonly redriven: number;
  readonly redrivenByTopic: Readonly<Record<string, number>>;
  /** Letters that another code or topic than the one asked for has. */
  readonly others: number;
  /** Letters that were refused too often. */
  readonly exhausted: number;
  /** Letters that do not hold the whole message, or are none. */
  readonly unusable: number;
  /** True when the limit, or the room for what is done, ended the run before the last letter. */
  readonly isCutShort: boolean;
}

/** Letters that are done are noted under this group: a second run does not send them again. */
export const REDRIVE_GROUP = 'poolmeter-redrive';

/** Without a letter for this long somebody else has the partitions, or the bus does not answer. */
const IDLE_MS = 30_000;
const CHECK_MS = 200;
const BATCH_BYTES = 1_048_576;

export async function redriveDeadLetters(options: RedriveOptions): Promise<RedriveOutcome> {
  const { bus, clock } = options;
  const run = new RedriveRun(options, await bus.ranges(topics.deadLetter));
  const subscription = await bus.subscribe({
    group: REDRIVE_GROUP,
    topics: [topics.deadLetter],
    startAt: 'earliest',
    maxBatchBytes: BATCH_BYTES,
    onAssigned: (assignments) => run.onAssigned(assignments),
    onBatch: (batch) => run.onBatch(batch),
  });
  run.begin(subscription);
  try {
    for (let last = clock.now(), progress = -1; !run.isOver;) {
      if (run.progress > progress) [last, progress] = [clock.now(), run.progress];
      if (clock.now() - last > IDLE_MS) throw idle();
      await clock.sleep(CHECK_MS);
    }
  } finally {
    await subscription.stop();
  }
  return run.outcome();
}

/** What becomes of one letter. */
type Fate = 'redriven' | 'others' | 'exhausted' | 'unusable';

class RedriveRun {
  readonly #options: RedriveOptions;
  /** Letters that come while it runs, such as those that it causes, are for the next run. */
  readonly #ends: ReadonlyMap<number, PartitionRange>;
  readonly #done = new Map<number, DoneLetters>();
  readonly #finished = new Set<number>();
  readonly #counts = { redriven: 0, others: 0, exhausted: 0, unusable: 0 };
  readonly #byTopic = new Map<string, number>();
  readonly #inTurn = limitParallel(1);
  readonly #subscribed: Promise<Subscription>;
  /** Batches may come before `subscribe` returns. */
  begin!: (subscription: Subscription) => void;
  #isCutShort = false;
  /** Grows with every sign of life. */
  progress = 0;

  constructor(options: RedriveOptions, ends: readonly PartitionRange[]) {
    this.#options = options;
    this.#ends = new Map(ends.map((range) => [range.partition, range]));
    this.#subscribed = new Promise((resolve) => {
      this.begin = resolve;
    });
  }

  get isOver(): boolean {
    return this.#isCutShort || this.#finished.size === this.#ends.size;
  }

  onAssigned(assignments: readonly Assignment[]): Promise<void> {
    this.progress += 1;
    for (const { partition, committed } of assignments) {
      const range = this.#ends.get(partition);
      if (range === undefined) continue;
      const position = committed?.nextOffset ?? range.earliestOffset;
      const next = position > range.earliestOffset ? position : range.earliestOffset;
      this.#done.set(partition, new DoneLetters(next, committed?.metadata ?? ''));
      if (next >= range.nextOffset) this.#finished.add(partition);
    }
    return Promise.resolve();
  }

  /** One batch at a time, so that the limit holds over all partitions. */
  onBatch(batch: MessageBatch): Promise<void> {
    return this.#inTurn(() => this.#take(batch));
  }

  async #take({ partition, messages }: MessageBatch): Promise<void> {
    const done = this.#done.get(partition);
    const end = this.#ends.get(partition)?.nextOffset ?? 0n;
    if (done === undefined || this.isOver) return;
    this.progress += 1;
    const chosen: { letter: StoredMessage; original: Original }[] = [];
    for (const letter of messages) {
      if (letter.offset >= end || done.has(letter.offset)) continue;
      const original = originalOf(letter);
      const fate = this.#fateOf(original);
      if (fate !== 'redriven' || original === undefined) this.#counts[fate] += 1;
      else if (this.#isFull(chosen.length) || !done.hasRoom) {
        this.#isCutShort = true;
        break;
      } else chosen.push({ letter, original });
    }
    await this.#send(chosen, done, partition);
    if ((messages.at(-1)?.offset ?? -1n) + 1n >= end) this.#finished.add(partition);
  }

  outcome(): RedriveOutcome {
    const redrivenByTopic = Object.fromEntries([...this.#byTopic].sort());
    return { ...this.#counts, redrivenByTopic, isCutShort: this.#isCutShort };
  }

  #isFull(chosen: number): boolean {
    const { limit } = this.#options;
    return limit !== undefined && this.#counts.redriven + chosen >= limit;
  }

  #fateOf(original: Original | undefined): Fate {
    const { code, topic, maxAttempts } = this.#options;
    if (original === undefined || original.topic === topics.deadLetter) return 'unusable';
    if (code !== undefined && original.code !== code) return 'others';
    if (topic !== undefined && original.topic !== topic) return 'others';
    if (original.message === undefined) return 'unusable';
    return original.attempts >= maxAttempts ? 'exhausted' : 'redriven';
  }

  /** Publishes first and notes afterwards: a crash in between sends letters twice, and the readers drop the second. */
  async #send(
    chosen: readonly { letter: StoredMessage; original: Original }[],
    done: DoneLetters,
    partition: number,
  ): Promise<void> {
    if (chosen.length === 0) return;
    const { bus, dryRun } = this.#options;
    const byTopic = new Map<string, BusMessage[]>();
    for (const { original } of chosen) {
      const messages = byTopic.get(original.topic) ?? [];
      byTopic.set(original.topic, messages);
      if (original.message !== undefined) messages.push(original.message);
    }
    for (const [topic, messages] of byTopic) {
      if (dryRun !== true) await bus.publish(topic, messages);
      this.#byTopic.set(topic, (this.#byTopic.get(topic) ?? 0) + messages.length);
    }
    this.#counts.redriven += chosen.length;
    for (const { letter } of chosen) done.add(letter.offset);
    if (dryRun === true) return;
    const position = { topic: topics.deadLetter, partition, nextOffset: done.next, metadata: done.note };
    await (await this.#subscribed).commit(position);
  }
}

function idle(): PoolmeterError {
  return new PoolmeterError(
    'timeout',
    'No dead letter could be read for 30 s: another redrive holds them, or the bus does not answer; try again.',
    { retriable: true },
  );
}
