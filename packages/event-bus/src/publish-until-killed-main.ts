/**
 * Publishes numbers to a log until it is killed, and prints each one when it is acknowledged; also consumes, so that
 * it dies as a member of a group. Run by log-durability.test.ts.
 */
import { createLogger } from '@poolmeter/service';
import { createLogBus } from './log-bus.js';

const [directory = '', topic = '', firstNumber = '0'] = process.argv.slice(2);
const bus = createLogBus({ directory, logger: createLogger({ service: 'test', level: 'silent' }) });
await bus.subscribe({
  group: 'readers',
  topics: [topic],
  startAt: 'earliest',
  onBatch: () => Promise.resolve(),
});

let next = Number(firstNumber);

async function publishOn(key: string): Promise<never> {
  for (;;) {
    const numbers = [next, next + 1, next + 2];
    next += 3;
    const messages = numbers.map((number) => ({ key, headers: {}, value: Buffer.from(String(number)) }));
    await bus.publish(topic, messages);
    process.stdout.write(`${numbers.join('\n')}\n`);
  }
}

await Promise.all(['a', 'b', 'c', 'd'].map((key) => publishOn(key)));
