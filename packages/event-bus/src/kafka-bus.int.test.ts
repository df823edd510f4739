import { afterAll, beforeAll } from 'vitest';
import type { BusBackend } from './bus-test-bench.js';
import { eventBusContract } from './event-bus-contract.js';
import { createKafkaBus } from './kafka-bus.js';
import { createKafkaClient } from './kafka-client.js';
import { findTestKafka, createTestLogger, type TestKafka } from './kafka-test-broker.js';
import { positionContract } from './position-contract.js';

const logger = createTestLogger(process.env);

let kafka: TestKafka;
beforeAll(async () => {
  kafka = await findTestKafka(process.env);
});
afterAll(() => kafka.stop());

function createBackend(): Promise<BusBackend> {
  const connection = { brokers: kafka.brokers, clientId: 'poolmeter-test', logger };
  return Promise.resolve({
    open: () => createKafkaBus({ ...connection, topicLookMs: 500 }),
    dropStored: async (topic) => {
      const admin = createKafkaClient(connection).admin();
      await admin.connect();
      const offsets = await admin.fetchTopicOffsets(topic);
      const partitions = offsets.map(({ partition, high }) => ({ partition, offset: high }));
      await admin.deleteTopicRecords({ topic, partitions });
      await admin.disconnect();
    },
    dispose: () => Promise.resolve(),
  });
}

eventBusContract('Kafka', createBackend);
positionContract('Kafka', createBackend);
