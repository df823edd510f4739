/**
 * The only writer of a bus to Kafka: idempotent, and one record batch per send, so that it is always known which
 * batch is in doubt. A send over several partitions could fail for one of them only, and its repetition would then
 * store the others twice.
 */
import { PoolmeterError } from '@poolmeter/domain';
import type { Logger } from '@poolmeter/service';
import { CompressionTypes, type Kafka } from 'kafkajs';
import { partitionName } from './balance-partitions.js';
import type { BusMessage } from './event-bus.js';
import { KafkaProducers } from './kafka-producers.js';
import { partitionOfKey } from './key-partition.js';
import { PartitionLane } from './partition-lane.js';

export type KafkaCompression = 'none' | 'gzip';

export interface KafkaPublisherOptions {
  readonly kafka: Kafka;
  readonly compression: KafkaCompression;
  readonly logger: Logger;
  /** A batch that is not settled this long after its publish is given up, and its callers are told. */
  readonly giveUpMs: number;
}

export class KafkaPublisher {
  readonly #options: KafkaPublisherOptions;
  readonly #producers: KafkaProducers;
  readonly #lanes = new Map<string, PartitionLane>();
  #closed = false;

  constructor(options: KafkaPublisherOptions) {
    this.#options = options;
    this.#producers = new KafkaProducers(options.kafka, options.logger);
  }

  /**
   * Resolves when every message is acknowledged by all in-sync replicas. The partition of a message is fixed here and
   * once: were it chosen again for a repetition, a topic that grew meanwhile would change the batch.
   */
  async publish(topic: string, partitions: number, messages: readonly BusMessage[]): Promise<void> {
    if (this.#closed) throw new PoolmeterError('bus.closed', 'The Kafka producer is closed.');
    const byPartition = new Map<number, BusMessage[]>();
    for (const message of messages) {
      const partition = partitionOfKey(message.key, partitions);
      const ofPartition = byPartition.get(partition);
      if (ofPartition === undefined) byPartition.set(partition, [message]);
      else ofPartition.push(message);
    }
    const sends = [...byPartition].map(([partition, some]) => this.#lane(topic, partition).publish(some));
    const outcomes = await Promise.allSettled(sends);
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  /** Sends what waits, then disconnects. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#lanes.values()].map((lane) => lane.close()));
    await this.#producers.close();
  }

  #lane(topic: string, partition: number): PartitionLane {
    const name = partitionName(topic, partition);
    const known = this.#lanes.get(name);
    if (known !== undefined) return known;
    const { logger, giveUpMs, compression } = this.#options;
    const lane = new PartitionLane({
      topic,
      partition,
      producers: this.#producers,
      compression: compression === 'gzip' ? CompressionTypes.GZIP : CompressionTypes.None,
      logger,
      giveUpMs,
    });
    this.#lanes.set(name, lane);
    return lane;
  }
}
