/** Consumes a topic of a log as one member of a group and prints every message. Run by log-processes.test.ts. */
import { createLogger } from '@poolmeter/service';
import { createLogBus } from './log-bus.js';

const [directory = '', topic = '', group = ''] = process.argv.slice(2);
const bus = createLogBus({ directory, logger: createLogger({ service: 'test', level: 'silent' }) });
const subscription = await bus.subscribe({
  group,
  topics: [topic],
  startAt: 'earliest',
  onBatch: async ({ partition, messages }) => {
    const lines = messages.map(({ key, offset, value }) =>
      [key, partition, offset, Buffer.from(value)].join(' '),
    );
    process.stdout.write(`${lines.join('\n')}\n`);
    const nextOffset = (messages.at(-1)?.offset ?? 0n) + 1n;
    await subscription.commit({ topic, partition, nextOffset, metadata: '' });
  },
});
