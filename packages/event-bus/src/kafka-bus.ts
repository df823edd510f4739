/** The event bus of production: Kafka 3.9 or 4.x through kafkajs. */
import { PoolmeterError, systemClock } from '@poolmeter/domain';
import { retry } from '@poolmeter/service';
import type { Admin, Kafka } from 'kafkajs';
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
import { createKafkaClient, type KafkaConnection } from './kafka-client.js';
import { groupFault, isTopicGone, kafkaFault, plainTextFault } from './kafka-fault.js';
import { committedPositions } from './kafka-positions.js';
import { KafkaPublisher, type KafkaCompression } from './kafka-publisher.js';
import { KafkaSubscription } from './kafka-subscription.js';
import { requireFitting } from './message-limits.js';
import { partitionLags } from './partition-lag.js';
import { speaksTls } from './speaks-tls.js';
import { topicsToRead } from './topic-family.js';

export interface KafkaBusOptions extends KafkaConnection {
  /** Of what is published; `none` when absent. Readers need no setting. */
  readonly compression?: KafkaCompression;
  /** How long a publish may wait for the brokers before it is given up, in milliseconds; 30 s when absent. */
  readonly publishTimeoutMs?: number;
  /** How often subscriptions look for new and gone topics, in milliseconds; 10 s when absent. */
  readonly topicLookMs?: number;
}

const PUBLISH_TIMEOUT_MS = 30_000;
const TOPIC_LOOK_MS = 10_000;
/** A coordinator that has just started loads its groups first; kafkajs does not wait for that here. */
const COORDINATOR_ATTEMPTS = 5;
const ERROR_ANSWERS_MAX = 10;
/** Publishers notice added partitions after this long. */
const PARTITIONS_AGE_MS = 60_000;

/** Connects when it is first used. */
export function createKafkaBus(options: KafkaBusOptions): EventBus {
  return new KafkaBus(options);
}

class KafkaBus implements EventBus {
  readonly #options: KafkaBusOptions;
  readonly #kafka: Kafka;
  readonly #publisher: KafkaPublisher;
  readonly #subscriptions = new Set<KafkaSubscription>();
  readonly #partitions = new Map<string, { readonly count: Promise<number>; readonly askedAtMs: number }>();
  #admin: Promise<Admin> | undefined;
  #errorAnswers: string[] = [];
  #closing: Promise<void> | undefined;

  constructor(options: KafkaBusOptions) {
    this.#options = options;
    this.#kafka = createKafkaClient(options, {
      onErrorAnswer: (error) => {
        this.#errorAnswers = [...this.#errorAnswers.slice(1 - ERROR_ANSWERS_MAX), error];
      },
    });
    this.#publisher = new KafkaPublisher({
      kafka: this.#kafka,
      compression: options.compression ?? 'none',
      logger: options.logger,
      giveUpMs: options.publishTimeoutMs ?? PUBLISH_TIMEOUT_MS,
    });
  }

  /** Creates missing topics and adds missing partitions; retention of existing topics is the operator's. */
  async ensureTopics(topics: readonly TopicSpec[]): Promise<void> {
    await this.#ask('create topics', async (admin) => {
      const existing = await admin.listTopics();
      const missing = topics.filter(({ name }) => !existing.includes(name));
      if (missing.length > 0) {
        await admin.createTopics({ waitForLeaders: true, topics: missing.map(topicConfigOf) });
      }
      const present = topics.filter(({ name }) => existing.includes(name));
      if (present.length === 0) return;
      const metadata = await admin.fetchTopicMetadata({ topics: present.map(({ name }) => name) });
      const short = present.filter(({ name, partitions }) => {
        const found = metadata.topics.find((topic) => topic.name === name);
        return found !== undefined && found.partitions.length < partitions;
      });
      if (short.length === 0) return;
      const topicPartitions = short.map(({ name, partitions }) => ({ topic: name, count: partitions }));
      await admin.createPartitions({ topicPartitions });
    });
  }

  async publish(topic: string, messages: readonly BusMessage[]): Promise<void> {
    this.#requireOpen();
    requireFitting(topic, messages);
    await this.#publisher.publish(topic, await this.#partitionsOf(topic), messages);
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    this.#requireOpen();
    for (const topic of options.topics) await this.#partitionsOf(topic);
    const subscription = new KafkaSubscription({
      connection: this.#options,
      subscribe: options,
      ask: {
        topics: () => this.#topics(),
        ranges: (topic) => this.ranges(topic),
        committed: (group, topic) => this.committed(group, topic),
      },
      topicLookMs: this.#options.topicLookMs ?? TOPIC_LOOK_MS,
      onStopped: () => this.#subscriptions.delete(subscription),
    });
    this.#subscriptions.add(subscription);
    try {
      await subscription.start();
      return subscription;
    } catch (fault) {
      await subscription.stop();
      throw fault;
    }
  }

  async ranges(topic: string): Promise<PartitionRange[]> {
    try {
      return await this.#readRanges(topic);
    } catch (fault) {
      // kafkajs refreshes every topic that it was ever asked about: one that is gone would spoil all further answers.
      if (fault instanceof PoolmeterError && isTopicGone(fault)) await this.#dropAdmin();
      throw fault;
    }
  }

  #readRanges(topic: string): Promise<PartitionRange[]> {
    return this.#ask(`read the offsets of ${topic}`, async (admin) => {
      const offsets = await admin.fetchTopicOffsets(topic);
      return offsets
        .map(({ partition, low, high }) => ({
          topic,
          partition,
          earliestOffset: BigInt(low),
          nextOffset: BigInt(high),
        }))
        .sort((a, b) => a.partition - b.partition);
    });
  }

  async committed(group: string, topic: string): Promise<CommittedPosition[]> {
    return retry(() => this.#readCommitted(group, topic), {
      attempts: COORDINATOR_ATTEMPTS,
      initialMs: 100,
      maxMs: 1_000,
      clock: systemClock,
    });
  }

  async #readCommitted(group: string, topic: string): Promise<CommittedPosition[]> {
    this.#errorAnswers = [];
    try {
      return await this.#ask(`read the positions of ${group}`, (admin) =>
        committedPositions(admin, group, [topic]),
      );
    } catch (fault) {
      throw fault instanceof PoolmeterError ? groupFault(fault, group, this.#errorAnswers) : fault;
    }
  }

  async topics(family: string): Promise<string[]> {
    return topicsToRead(await this.#topics(), { topics: [], topicFamilies: [family] });
  }

  async lag(group: string, topic: string): Promise<PartitionLag[]> {
    return partitionLags(await this.ranges(topic), await this.committed(group, topic));
  }

  async ping(): Promise<void> {
    await this.#ask('describe its cluster', (admin) => admin.describeCluster());
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /**
   * A topic that is known stays known while it is looked up again, so that an outage does not refuse a publish. All
   * publishes wait for a promise of the same age, so that none overtakes another.
   */
  #partitionsOf(topic: string): Promise<number> {
    const known = this.#partitions.get(topic);
    const now = performance.now();
    if (known !== undefined && now - known.askedAtMs < PARTITIONS_AGE_MS) return known.count;
    const asked = this.#countPartitions(topic);
    if (known === undefined) {
      this.#partitions.set(topic, { count: asked, askedAtMs: now });
      asked.catch(() => this.#partitions.delete(topic));
      return asked;
    }
    this.#partitions.set(topic, { count: known.count, askedAtMs: now });
    void asked.then(
      () => this.#partitions.set(topic, { count: asked, askedAtMs: now }),
      (fault: unknown) => this.#options.logger.warn({ topic, err: fault }, 'A topic could not be looked up.'),
    );
    return known.count;
  }

  #countPartitions(topic: string): Promise<number> {
    return this.#ask(`find the topic ${topic}`, async (admin) => {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
      return topics.find(({ name }) => name === topic)?.partitions.length ?? 0;
    });
  }

  #topics(): Promise<string[]> {
    return this.#ask('list its topics', (admin) => admin.listTopics());
  }

  async #ask<T>(action: string, run: (admin: Admin) => Promise<T>): Promise<T> {
    this.#requireOpen();
    try {
      return await run(await this.#connectedAdmin());
    } catch (thrown) {
      throw kafkaFault(thrown, action);
    }
  }

  async #dropAdmin(): Promise<void> {
    const admin = this.#admin;
    this.#admin = undefined;
    try {
      await (await admin)?.disconnect();
    } catch (fault) {
      this.#options.logger.warn({ err: fault }, 'An admin client did not disconnect cleanly.');
    }
  }

  #connectedAdmin(): Promise<Admin> {
    this.#admin ??= this.#connectAdmin().catch((fault: unknown) => {
      this.#admin = undefined;
      throw fault;
    });
    return this.#admin;
  }

  async #connectAdmin(): Promise<Admin> {
    const admin = this.#kafka.admin();
    try {
      await admin.connect();
      return admin;
    } catch (fault) {
      const [broker = ''] = this.#options.brokers;
      const isPlain = this.#options.ssl === undefined || this.#options.ssl === false;
      if (isPlain && (await speaksTls(broker))) throw plainTextFault(broker, fault);
      throw fault;
    }
  }

  #requireOpen(): void {
    if (this.#closing !== undefined)
      throw new PoolmeterError('bus.closed', 'The connection to Kafka is closed.');
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.stop()));
    await this.#publisher.close();
    await this.#dropAdmin();
  }
}

function topicConfigOf({ name, partitions, retentionMs, retentionBytes }: TopicSpec) {
  const configEntries = [
    ...(retentionMs === undefined ? [] : [{ name: 'retention.ms', value: String(retentionMs) }]),
    ...(retentionBytes === undefined ? [] : [{ name: 'retention.bytes', value: String(retentionBytes) }]),
  ];
  return { topic: name, numPartitions: partitions, configEntries };
}
