/** The pipeline as a process of its own that says when its first message came and when everything was stored. */
import { systemClock } from '@poolmeter/domain';
import { createKafkaBus, type EventBus } from '@poolmeter/event-bus';
import { openMetricsStore } from '@poolmeter/metrics-store';
import { createPipeline, pipelineDefaults } from '@poolmeter/pipeline';
import { createLogger, createTelemetry } from '@poolmeter/service';
import { topics } from '@poolmeter/telemetry-schema';
import { z } from 'zod';

export const workerAskSchema = z.object({
  broker: z.string(),
  group: z.string(),
  /** Messages of the samples topic, all partitions together. */
  messages: z.int(),
  url: z.string(),
  username: z.string(),
  password: z.string(),
});
export type WorkerNews = 'first' | 'stored';

const tell = (news: WorkerNews) => process.send?.(news);

/** The same bus, watched: nothing is added to the way of a message but a comparison. */
function watched(bus: EventBus, messages: number): EventBus {
  const positions = new Map<number, bigint>();
  let hasBegun = false;
  const onCommit = (partition: number, nextOffset: bigint) => {
    positions.set(partition, nextOffset);
    const settled = [...positions.values()].reduce((sum, offset) => sum + offset, 0n);
    if (settled >= BigInt(messages)) tell('stored');
  };
  return {
    ensureTopics: (specs) => bus.ensureTopics(specs),
    publish: (topic, batch) => bus.publish(topic, batch),
    topics: (family) => bus.topics(family),
    ranges: (topic) => bus.ranges(topic),
    committed: (group, topic) => bus.committed(group, topic),
    lag: (group, topic) => bus.lag(group, topic),
    ping: () => bus.ping(),
    close: () => bus.close(),
    subscribe: async (options) => {
      const subscription = await bus.subscribe({
        ...options,
        onBatch: (batch) => {
          if (!hasBegun && batch.topic === topics.gpuSamples) tell('first');
          hasBegun ||= batch.topic === topics.gpuSamples;
          return options.onBatch(batch);
        },
      });
      return {
        commit: async (position) => {
          await subscription.commit(position);
          const isSamples = position.topic === topics.gpuSamples;
          if (isSamples && position.metadata === '') onCommit(position.partition, position.nextOffset);
        },
        pause: (partitions) => subscription.pause(partitions),
        resume: (partitions) => subscription.resume(partitions),
        seek: (topic, partition, offset) => subscription.seek(topic, partition, offset),
        stop: () => subscription.stop(),
      };
    },
  };
}

const ask = workerAskSchema.parse(JSON.parse(process.argv[2] ?? '{}'));
const logger = createLogger({ service: 'bench', level: 'warn' });
const bus = createKafkaBus({ brokers: [ask.broker], clientId: 'bench-pipeline', logger });
const { url, username, password } = ask;
const store = openMetricsStore({ url, username, password, applicationName: 'bench' });
const pipeline = createPipeline({
  bus: watched(bus, ask.messages),
  store,
  logger,
  telemetry: createTelemetry({ service: 'bench' }),
  clock: systemClock,
  config: { ...pipelineDefaults(), group: ask.group },
});
process.once('message', () => {
  void pipeline
    .stop()
    .then(() => bus.close())
    .then(() => store.close())
    .then(() => process.exit(0));
});
await pipeline.start();
