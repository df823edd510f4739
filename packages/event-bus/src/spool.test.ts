import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@poolmeter/service';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { message } from './bus-test-bench.js';
import { createSpool, type SpoolEntry } from './spool.js';

const logger = createLogger({ service: 'test', level: 'silent' });
const entry = (value: string | Buffer, topic = 'samples'): SpoolEntry => ({
  topic,
  message: message('node-1', value, { schema: 'gpu-sample' }),
});

describe('the spool', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'poolmeter-spool-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  it('gives back in order what was appended, until it is acknowledged, over restarts', async () => {
    const first = createSpool({ directory, maxBytes: 1e6, logger });
    expect(await first.append([entry('a'), entry('b', 'events'), entry('c')])).toEqual({
      droppedMessages: 0,
    });
    const [a] = first.peek({ maxMessages: 1 });
    expect(a).toMatchObject({
      topic: 'samples',
      message: { key: 'node-1', headers: { schema: 'gpu-sample' } },
    });
    await first.ack(a!.position);
    await first.close();
    const second = createSpool({ directory, maxBytes: 1e6, logger });
    const left = second.peek();
    expect(left.map(({ topic, message: { value } }) => [topic, Buffer.from(value).toString()])).toEqual([
      ['events', 'b'],
      ['samples', 'c'],
    ]);
    expect(left[0]!.message.headers).toEqual({ schema: 'gpu-sample' });
    await second.ack(left.at(-1)!.position);
    await second.ack(left.at(-1)!.position);
    expect(second.state()).toEqual({ messages: 0, bytes: 0, droppedMessages: 0 });
    await second.append([entry('d')]);
    expect(second.peek().map(({ position }) => position)).toEqual([3n]);
    await second.close();
  });

  it('drops the oldest when it is over its limit, counts them, and keeps the newest whatever its size', async () => {
    const spool = createSpool({ directory, maxBytes: 3_500, logger });
    for (let at = 0; at < 5; at += 1) await spool.append([entry(Buffer.alloc(1_000, at))]);
    expect(spool.state()).toMatchObject({ messages: 3, droppedMessages: 2 });
    expect(spool.peek().map(({ position }) => position)).toEqual([2n, 3n, 4n]);
    expect(await spool.append([entry(Buffer.alloc(9_000))])).toEqual({ droppedMessages: 3 });
    expect(spool.state()).toMatchObject({ messages: 1, droppedMessages: 5 });
    await spool.close();
    await expect(spool.append([entry('late')])).rejects.toMatchObject({ code: 'bus.closed' });
  });

  it('peeks no more than asked for, and at least one', async () => {
    const spool = createSpool({ directory, maxBytes: 1e6, logger });
    await spool.append([entry(Buffer.alloc(5_000)), entry(Buffer.alloc(5_000)), entry(Buffer.alloc(5_000))]);
    expect(spool.peek({ maxBytes: 12_000 })).toHaveLength(2);
    expect(spool.peek({ maxBytes: 1 })).toHaveLength(1);
    expect(spool.peek({ maxMessages: 2 })).toHaveLength(2);
    await spool.close();
  });
});
