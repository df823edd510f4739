/** The event bus of production: Kafka 3.9 or 4.x through kafkajs. */
import { PoolmeterError } from '@poolmeter/domain';
import type { Admin, Kafka } from 'kafkajs';
import type {
  BusMessage,
  CommittedPosition,
  EventBus,
  PartitionRange,
  SubscribeOptions,
  Subscription,
  TopicSpec,
} from './event-bus.js';
import { createKafkaClient, type KafkaConnection } from './kafka-client.js';
import { kafkaFault } from './kafka-fault.js';
import { committedPositions } from './kafka-positions.js';
import { KafkaPublisher, type KafkaCompression } from './kafka-publisher.js';
import { KafkaSubscription } from './kafka-subscription.js';
import { requireFitting } from './message-limits.js';

export interface KafkaBusOptions extends KafkaConnection {
  /** Of what is published; `none` when absent. Readers need no setting. */
  readonly compression?: KafkaCompression;
  /** How long a publish may wait for the brokers before it is given up, in milliseconds; 30 s when absent. */
  readonly publishTimeoutMs?: number;
}

const PUBLISH_TIMEOUT_MS = 30_000;

/** Connects when it is first used. */
export function createKafkaBus(options: KafkaBusOptions): EventBus {
  return new KafkaBus(options);
}

class KafkaBus implements EventBus {
  readonly #options: KafkaBusOptions;
  readonly #kafka: Kafka;
  readonly #publisher: KafkaPublisher;
  readonly #subscriptions = new Set<KafkaSubscription>();
  readonly #knownTopics = new Set<string>();
  #admin: Promise<Admin> | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: KafkaBusOptions) {
    this.#options = options;
    this.#kafka = createKafkaClient(options);
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
    await this.#requireTopic(topic);
    await this.#publisher.publish(topic, messages);
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    this.#requireOpen();
    for (const topic of options.topics) await this.#requireTopic(topic);
    const subscription = new KafkaSubscription({
      connection: this.#options,
      admin: () => this.#connectedAdmin(),
      subscribe: options,
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

  ranges(topic: string): Promise<PartitionRange[]> {
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

  committed(group: string, topic: string): Promise<CommittedPosition[]> {
    return this.#ask(`read the positions of ${group}`, (admin) => committedPositions(admin, group, [topic]));
  }

  async ping(): Promise<void> {
    await this.#ask('describe its cluster', (admin) => admin.describeCluster());
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Without it, a publish to a topic that does not exist would be tried again until it times out. */
  async #requireTopic(topic: string): Promise<void> {
    if (this.#knownTopics.has(topic)) return;
    const existing = await this.#ask('list its topics', (admin) => admin.listTopics());
    for (const name of existing) this.#knownTopics.add(name);
    if (existing.includes(topic)) return;
    throw new PoolmeterError(
      'bus.rejected',
      `There is no topic ${topic}: create it with ensureTopics first.`,
      {
        details: { topic },
      },
    );
  }

  async #ask<T>(action: string, run: (admin: Admin) => Promise<T>): Promise<T> {
    this.#requireOpen();
    try {
      return await run(await this.#connectedAdmin());
    } catch (thrown) {
      throw kafkaFault(thrown, action);
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
    await admin.connect();
    return admin;
  }

  #requireOpen(): void {
    if (this.#closing !== undefined)
      throw new PoolmeterError('bus.closed', 'The connection to Kafka is closed.');
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.stop()));
    await this.#publisher.close();
    const admin = await this.#admin?.catch(() => undefined);
    await admin?.disconnect();
  }
}

function topicConfigOf({ name, partitions, retentionMs, retentionBytes }: TopicSpec) {
  const configEntries = [
    ...(retentionMs === undefined ? [] : [{ name: 'retention.ms', value: String(retentionMs) }]),
    ...(retentionBytes === undefined ? [] : [{ name: 'retention.bytes', value: String(retentionBytes) }]),
  ];
  return { topic: name, numPartitions: partitions, configEntries };
}
