import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PoolmeterError, systemClock } from '@poolmeter/domain';
import { createSpool, type BusMessage, type SpoolEntry } from '@poolmeter/event-bus';
import { createLogger } from '@poolmeter/service';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createDelivery, type Delivery } from './delivery.js';

const logger = createLogger({ service: 'test', level: 'silent' });
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'poolmeter-delivery-'));
});

afterEach(() => rm(directory, { recursive: true, force: true }));

const entry = (number: number): SpoolEntry => ({
  topic: 'poolmeter.gpu-samples',
  message: { key: 'gpu-1', headers: { sequence: String(number) }, value: Buffer.from(`message ${number}`) },
});

/** A bus that can be away or hang, and keeps what it took. */
function fakeBus() {
  return {
    mode: 'up' as 'up' | 'away' | 'hanging',
    taken: [] as string[],
    publish(_topic: string, messages: readonly BusMessage[]): Promise<void> {
      if (this.mode === 'away') return Promise.reject(new PoolmeterError('dependency.unavailable', 'away'));
      if (this.mode === 'hanging') return new Promise(() => undefined);
      this.taken.push(...messages.map((one) => Buffer.from(one.value).toString()));
      return Promise.resolve();
    },
  };
}

const counts = { published: 0, publishFailed: 0, spooled: 0, dropped: 0 };

function deliveryTo(bus: ReturnType<typeof fakeBus>, maxBytes = 1_000_000): Delivery {
  Object.assign(counts, { published: 0, publishFailed: 0, spooled: 0, dropped: 0 });
  return createDelivery({
    bus,
    spool: createSpool({ directory, maxBytes, logger }),
    clock: systemClock,
    logger,
    metrics: {
      published: (messages) => (counts.published += messages),
      publishFailed: () => (counts.publishFailed += 1),
      spooled: (messages) => (counts.spooled += messages),
      dropped: (messages) => (counts.dropped += messages),
    },
    publishTimeoutMs: 60,
  });
}

async function until(condition: () => boolean): Promise<void> {
  const giveUpAt = Date.now() + 5_000;
  while (!condition()) {
    if (Date.now() > giveUpAt) throw new Error('It did not come to pass within 5 s.');
    await systemClock.sleep(10);
  }
}

const numbers = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => `message ${from + index}`);

describe('delivery', () => {
  it('publishes at once while the bus is there', async () => {
    const bus = fakeBus();
    const delivery = deliveryTo(bus);
    await delivery.start();
    await delivery.deliver([entry(0), entry(1)]);
    expect(bus.taken).toEqual(numbers(0, 2));
    await delivery.stop();
    expect(counts).toMatchObject({ published: 2, spooled: 0 });
  });

  it('keeps everything in order while the bus is away, and sends it when it is back', async () => {
    const bus = fakeBus();
    const delivery = deliveryTo(bus);
    await delivery.start();
    await delivery.deliver([entry(0)]);
    bus.mode = 'away';
    for (let number = 1; number < 20; number += 1) void delivery.deliver([entry(number)]);
    await delivery.deliver([entry(20)]);
    expect(bus.taken).toEqual(numbers(0, 1));
    bus.mode = 'up';
    await until(() => bus.taken.length === 21);
    expect(bus.taken).toEqual(numbers(0, 21));
    await delivery.deliver([entry(21)]);
    await until(() => bus.taken.length === 22);
    await delivery.stop();
    expect(counts.dropped).toBe(0);
  });

  it('keeps it over a restart of the agent', async () => {
    const bus = fakeBus();
    bus.mode = 'away';
    const first = deliveryTo(bus);
    await first.start();
    await first.deliver([entry(0), entry(1)]);
    await first.stop();
    bus.mode = 'up';
    const second = deliveryTo(bus);
    await second.start();
    await second.deliver([entry(2)]);
    await until(() => bus.taken.length === 3);
    expect(bus.taken).toEqual(numbers(0, 3));
    await second.stop();
  });

  it('does not wait for a bus that hangs, and what hung is sent again', async () => {
    const bus = fakeBus();
    bus.mode = 'hanging';
    const delivery = deliveryTo(bus);
    await delivery.start();
    await delivery.deliver([entry(0)]);
    expect(counts.spooled).toBe(1);
    bus.mode = 'up';
    await until(() => bus.taken.length === 1);
    await delivery.stop();
  });

  it('at a stop puts into the spool what the bus does not take', async () => {
    const bus = fakeBus();
    bus.mode = 'away';
    const delivery = deliveryTo(bus);
    await delivery.start();
    const durable = delivery.deliver([entry(0)]);
    await delivery.stop();
    await durable;
    const spool = createSpool({ directory, maxBytes: 1_000_000, logger });
    expect(spool.state().messages).toBe(1);
    await spool.close();
  });

  it('loses the oldest first when the spool is full, and counts them', async () => {
    const bus = fakeBus();
    bus.mode = 'away';
    const delivery = deliveryTo(bus, 1_000);
    await delivery.start();
    for (let number = 0; number < 50; number += 1) await delivery.deliver([entry(number)]);
    bus.mode = 'up';
    await until(() => bus.taken.at(-1) === 'message 49');
    expect(bus.taken.length).toBeLessThan(50);
    expect(bus.taken).toEqual(numbers(50 - bus.taken.length, 50));
    expect(counts.dropped).toBe(50 - bus.taken.length);
    await delivery.stop();
  });
});
