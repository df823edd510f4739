import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, message, textOf } from './bus-test-bench.js';
import type { EventBus } from './event-bus.js';
import { createKafkaBus } from './kafka-bus.js';
import { startTestBroker, createTestLogger, type TestBroker } from './kafka-test-broker.js';

const logger = createTestLogger(process.env);

let broker: TestBroker;
beforeAll(async () => {
  broker = await startTestBroker();
});
afterAll(() => broker.stop());

const openBus = () =>
  createKafkaBus({ brokers: broker.brokers, clientId: 'poolmeter-test', logger, publishTimeoutMs: 60_000 });

/** A member of a group that takes messages before it commits them, as the pipeline does. */
async function consume(bus: EventBus, topic: string, group: string, taken: Map<string, number[]>) {
  const subscription = await bus.subscribe({
    group,
    topics: [topic],
    startAt: 'earliest',
    onBatch: async ({ partition, messages }) => {
      for (const one of messages) {
        const ofKey = taken.get(one.key) ?? [];
        ofKey.push(Number(textOf(one)));
        taken.set(one.key, ofKey);
      }
      const nextOffset = (messages.at(-1)?.offset ?? 0n) + 1n;
      await subscription.commit({ topic, partition, nextOffset, metadata: '' });
    },
  });
  return subscription;
}

/** From the return of a broker until every partition is read again by its group. */
const READ_AGAIN_MS = 20_000;
const sumOf = (all: Iterable<number>) => [...all].reduce((sum, one) => sum + one, 0);

describe('a broker that is killed and started again, again and again', () => {
  it('loses and doubles nothing of several producers, keeps their order, and its group goes on within seconds', async () => {
    const topic = `killed-${randomUUID()}`;
    const buses = [openBus(), openBus(), openBus()];
    const [first, second] = [openBus(), openBus()];
    await first.ensureTopics([{ name: topic, partitions: 4 }]);
    const taken = new Map<string, number[]>();
    const group = randomUUID();
    const members = [await consume(first, topic, group, taken), await consume(second, topic, group, taken)];

    const running = { on: true };
    const produced = new Map<string, number>();
    const produce = async (bus: EventBus, producer: number) => {
      for (let number = 0; running.on; number += 1) {
        const keys = [0, 1, 2, 3].map((at) => `p${producer}-${at}`);
        await bus.publish(
          topic,
          keys.map((key) => message(key, String(number))),
        );
        for (const key of keys) produced.set(key, number + 1);
        await pause(5);
      }
    };
    const producers = buses.map((bus, at) => produce(bus, at));
    const takenCount = () => sumOf([...taken.values()].map((numbers) => new Set(numbers).size));
    for (let kill = 0; kill < 3; kill += 1) {
      await pause(1_000);
      broker.kill();
      await pause(500);
      await broker.restart();
      const published = sumOf(produced.values());
      await eventually(
        () => takenCount() > published,
        `the group reads on after kill ${kill}`,
        READ_AGAIN_MS,
      );
    }
    running.on = false;
    await Promise.all(producers);
    const wanted = sumOf(produced.values());
    await eventually(() => takenCount() >= wanted, `all ${wanted} messages are taken`);
    for (const member of members) await member.stop();
    // What a consumer takes twice after a lost commit is the reader's to recognise; what the log holds is not.
    const stored = (await first.ranges(topic)).map(({ nextOffset }) => Number(nextOffset));
    await Promise.all([...buses, first, second].map((bus) => bus.close()));
    expect(sumOf(stored)).toBe(wanted);
    expect(produced.size).toBe(12);
    for (const [key, numbers] of taken) {
      const inOrder = [...new Set(numbers)];
      expect(inOrder, key).toEqual(Array.from({ length: produced.get(key) ?? 0 }, (_, at) => at));
    }
  });
});
