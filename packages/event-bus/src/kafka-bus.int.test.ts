import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createLogger } from '@poolmeter/service';
import type { ISocketFactory } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EventBus } from './event-bus.js';
import { eventBusContract, eventually, message } from './event-bus-contract.js';
import { createKafkaBus } from './kafka-bus.js';
import { createKafkaClient } from './kafka-client.js';
import { KafkaPublisher } from './kafka-publisher.js';

const run = promisify(execFile);
const scripts = fileURLToPath(new URL('../../../scripts/kafka/', import.meta.url));
const logger = createLogger({ service: 'test', level: process.env['POOLMETER_TEST_LOG'] ?? 'silent' });

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The brokers of POOLMETER_TEST_KAFKA, or one of our own for the time of this file. */
async function startKafka(): Promise<{ brokers: string[]; stop: () => Promise<void> }> {
  const given = process.env['POOLMETER_TEST_KAFKA'];
  if (given !== undefined && given !== '')
    return { brokers: given.split(','), stop: () => Promise.resolve() };
  const directory = await mkdtemp(join(tmpdir(), 'poolmeter-kafka-'));
  const [client, controller] = [await freePort(), await freePort()];
  await run(join(scripts, 'start.sh'), [directory, String(client), String(controller)]);
  return {
    brokers: [`127.0.0.1:${client}`],
    stop: async () => {
      await run(join(scripts, 'stop.sh'), [directory]);
      await rm(directory, { recursive: true });
    },
  };
}

let kafka: Awaited<ReturnType<typeof startKafka>>;
beforeAll(async () => {
  kafka = await startKafka();
});
afterAll(() => kafka.stop());

const openBus = () => createKafkaBus({ brokers: kafka.brokers, clientId: 'poolmeter-test', logger });

eventBusContract('Kafka', () => Promise.resolve({ open: openBus, dispose: () => Promise.resolve() }));

describe('a send whose answer is lost', () => {
  const PRODUCE = 0;

  /** Cuts the connection when the broker answers a produce request that `isLost` picks: stored, but nobody knows. */
  function forgetfulSockets(isLost: (request: number) => boolean): ISocketFactory {
    let requests = 0;
    return ({ host, port, onConnect }) => {
      const socket = net.connect({ host, port }, onConnect);
      const write = socket.write.bind(socket) as (chunk: Buffer, encoding?: BufferEncoding) => boolean;
      const cutting = (chunk: Buffer, encoding?: BufferEncoding): boolean => {
        if (chunk.readInt16BE(4) === PRODUCE && isLost((requests += 1))) {
          socket.removeAllListeners('data');
          socket.on('data', () => socket.destroy(new Error('The answer was lost.')));
        }
        return write(chunk, encoding);
      };
      socket.write = cutting as typeof socket.write;
      return socket;
    };
  }

  function publisherWith(isLost: (request: number) => boolean, giveUpMs: number): KafkaPublisher {
    const connection = { brokers: kafka.brokers, clientId: 'poolmeter-test', logger };
    const client = createKafkaClient(connection, forgetfulSockets(isLost));
    return new KafkaPublisher({ kafka: client, compression: 'gzip', logger, giveUpMs });
  }

  async function stored(bus: EventBus, topic: string, count: number): Promise<string[]> {
    const values: string[] = [];
    const subscription = await bus.subscribe({
      group: randomUUID(),
      topics: [topic],
      startAt: 'earliest',
      onBatch: (batch) => {
        values.push(...batch.messages.map((one) => Buffer.from(one.value).toString()));
        return Promise.resolve();
      },
    });
    await eventually(() => values.length >= count, `${count} messages are read`);
    await subscription.stop();
    return values;
  }

  it('is repeated unchanged: everything is stored once and in order', async () => {
    const topic = `lost-${randomUUID()}`;
    const bus = openBus();
    await bus.ensureTopics([{ name: topic, partitions: 1 }]);
    // Ten in a row are more than kafkajs tries by itself, so that our own repetition is needed as well.
    const publisher = publisherWith((request) => request % 30 >= 5 && request % 30 < 15, 60_000);
    const wanted = Array.from({ length: 60 }, (_, at) => [`${at}a`, `${at}b`, `${at}c`]);
    for (const values of wanted)
      await publisher.publish(
        topic,
        values.map((value) => message('k', value)),
      );
    await publisher.close();
    expect(await stored(bus, topic, 180)).toEqual(wanted.flat());
    await bus.close();
  });

  it('once given up, does not swallow the next one', async () => {
    const topic = `given-up-${randomUUID()}`;
    const bus = openBus();
    await bus.ensureTopics([{ name: topic, partitions: 1 }]);
    const answers = { lost: false };
    const publisher = publisherWith(() => answers.lost, 0);
    await publisher.publish(topic, [message('k', 'first')]);
    answers.lost = true;
    await expect(publisher.publish(topic, [message('k', 'maybe')])).rejects.toMatchObject({
      code: 'dependency.unavailable',
      retriable: true,
    });
    answers.lost = false;
    await publisher.publish(topic, [message('k', 'after')]);
    await publisher.close();
    expect(await stored(bus, topic, 3)).toEqual(['first', 'maybe', 'after']);
    await bus.close();
  });
});
