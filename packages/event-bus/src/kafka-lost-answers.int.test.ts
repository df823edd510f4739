import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, message, textOf } from './bus-test-bench.js';
import { seededRandom, startCuttingProxy, type CuttingProxyOptions } from './cutting-proxy.js';
import type { EventBus, StoredMessage } from './event-bus.js';
import { createKafkaBus } from './kafka-bus.js';
import { createKafkaClient } from './kafka-client.js';
import { KafkaPublisher } from './kafka-publisher.js';
import { findTestKafka, createTestLogger, type TestKafka } from './kafka-test-broker.js';

const logger = createTestLogger(process.env);

let kafka: TestKafka;
let bus: EventBus;
beforeAll(async () => {
  kafka = await findTestKafka(process.env);
  bus = createKafkaBus({ brokers: kafka.brokers, clientId: 'poolmeter-test', logger });
});
afterAll(async () => {
  await bus.close();
  await kafka.stop();
});

async function startPublisher(giveUpMs: number, options: Omit<CuttingProxyOptions, 'target'>) {
  const proxy = await startCuttingProxy({ target: kafka.brokers[0] ?? '', ...options });
  const connection = { brokers: kafka.brokers, clientId: 'poolmeter-test', logger };
  const client = createKafkaClient(connection, proxy);
  const publisher = new KafkaPublisher({ kafka: client, compression: 'gzip', logger, giveUpMs });
  return {
    proxy,
    publisher,
    close: async () => {
      await publisher.close();
      await proxy.close();
    },
  };
}

/** Everything that a topic holds. */
async function readAll(topic: string): Promise<StoredMessage[]> {
  const ends = (await bus.ranges(topic)).reduce((sum, range) => sum + Number(range.nextOffset), 0);
  const stored: StoredMessage[] = [];
  const subscription = await bus.subscribe({
    group: randomUUID(),
    topics: [topic],
    startAt: 'earliest',
    onBatch: (batch) => {
      stored.push(...batch.messages);
      return Promise.resolve();
    },
  });
  await eventually(() => stored.length >= ends, `${ends} messages are read`);
  await subscription.stop();
  return stored;
}

const numbersOf = (stored: readonly StoredMessage[], key: string) =>
  stored.filter((one) => one.key === key).map((one) => Number(textOf(one)));

describe('sends whose answers are lost on the way', () => {
  it('swallow nothing when the application gives each of them up and goes on with the next batch', async () => {
    const topic = `lost-${randomUUID()}`;
    await bus.ensureTopics([{ name: topic, partitions: 1 }]);
    // Of every four batches one is doomed: whatever is tried for it, no answer comes back.
    const doom = { now: false };
    const { publisher, proxy, close } = await startPublisher(0, { dropsAnswer: () => doom.now });
    const acknowledged: number[] = [];
    let rejected = 0;
    for (let batch = 0; batch < 80; batch += 1) {
      doom.now = batch % 4 === 1;
      const numbers = Array.from({ length: 50 }, (_, at) => batch * 50 + at);
      const messages = numbers.map((number) => message('k', String(number)));
      try {
        await publisher.publish(topic, 1, messages);
        acknowledged.push(...numbers);
      } catch (fault) {
        expect(fault).toMatchObject({ code: 'dependency.unavailable', retriable: true });
        rejected += 1;
      }
    }
    await close();
    expect(rejected).toBe(20);
    expect(proxy.cuts()).toBeGreaterThanOrEqual(20);
    const stored = numbersOf(await readAll(topic), 'k');
    const found = new Set(stored);
    expect(acknowledged.filter((number) => !found.has(number))).toEqual([]);
    expect(stored.length).toBe(found.size);
    expect(stored).toEqual([...stored].sort((a, b) => a - b));
  });

  it('are repeated unchanged until they are answered: all is stored once, also over several partitions', async () => {
    const topic = `repeated-${randomUUID()}`;
    await bus.ensureTopics([{ name: topic, partitions: 4 }]);
    const { publisher, close } = await startPublisher(60_000, {
      dropsAnswer: (request) => request % 3 === 0,
    });
    const keys = Array.from({ length: 12 }, (_, at) => `key-${at}`);
    for (let round = 0; round < 15; round += 1)
      await publisher.publish(
        topic,
        4,
        keys.map((key) => message(key, String(round))),
      );
    await close();
    const stored = await readAll(topic);
    for (const key of keys) expect(numbersOf(stored, key)).toEqual(Array.from({ length: 15 }, (_, at) => at));
  });

  it.each([11, 12, 13])('survive cuts at random places in both directions (seed %i)', async (seed) => {
    const topic = `cut-${randomUUID()}`;
    await bus.ensureTopics([{ name: topic, partitions: 3 }]);
    const random = seededRandom(seed);
    const { publisher, proxy, close } = await startPublisher(60_000, {
      cutsAfter: (bytes) => (random() < 0.05 ? Math.floor(random() * bytes) : undefined),
    });
    const keys = ['a', 'b', 'c', 'd', 'e'];
    const rounds = Array.from({ length: 60 }, (_, at) => at);
    // Two publishes at a time for each key, in order: what is behind waits for what is before.
    for (const round of rounds.filter((at) => at % 2 === 0))
      await Promise.all(
        [round, round + 1].map((at) =>
          publisher.publish(
            topic,
            3,
            keys.map((key) => message(key, String(at))),
          ),
        ),
      );
    await close();
    expect(proxy.cuts()).toBeGreaterThan(8);
    const stored = await readAll(topic);
    for (const key of keys) expect(numbersOf(stored, key)).toEqual(rounds);
  });
});
