import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '@poolmeter/domain';
import { createLogger } from '@poolmeter/service';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { collector, eventually, message } from './bus-test-bench.js';
import { LmdbEnvironment } from './lmdb-environment.js';
import { createLogBus } from './log-bus.js';
import { LogStore } from './log-store.js';

const logger = createLogger({ service: 'test', level: 'silent' });
const topic = 'shared';

let directory: string;
let children: { child: ChildProcess; lines: string[] }[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'poolmeter-log-'));
  children = [];
});
afterEach(async () => {
  await Promise.all(children.map(({ child }) => end(child)));
  await rm(directory, { recursive: true });
});

function start(program: string, ...args: string[]) {
  const path = fileURLToPath(new URL(`../dist/${program}.js`, import.meta.url));
  const child = spawn(process.execPath, [path, directory, topic, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const started = { child, lines: [] as string[] };
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    started.lines.push(...parts);
  });
  children.push(started);
  return started;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'close');
}

describe('one log and several processes', () => {
  it('gives what two producers publish to two consumers of one group: all of it, each once, in order', async () => {
    const bus = createLogBus({ directory, logger });
    await bus.ensureTopics([{ name: topic, partitions: 4 }]);
    const producers = [
      start('publish-until-killed-main', '0'),
      start('publish-until-killed-main', '1000000'),
    ];
    const consumers = [start('consume-group-main', 'counters'), start('consume-group-main', 'counters')];
    await eventually(() => producers.every(({ lines }) => lines.length > 60), 'both producers publish');
    await eventually(() => consumers.every(({ lines }) => lines.length > 30), 'both consumers have a share');
    await Promise.all(producers.map(({ child }) => end(child)));
    const stored = (await bus.ranges(topic)).reduce((sum, range) => sum + Number(range.nextOffset), 0);
    const taken = () => consumers.flatMap(({ lines }) => lines.map((line) => line.split(' ')));
    await eventually(() => taken().length >= stored, `all ${stored} messages are taken`);
    await bus.close();

    const numbers = taken().map(([, , , number]) => Number(number));
    const found = new Set(numbers);
    expect(numbers.length).toBe(stored);
    expect(found.size).toBe(stored);
    const acknowledged = producers.flatMap(({ lines }) => lines.map(Number));
    expect(acknowledged.filter((number) => !found.has(number))).toEqual([]);
    for (const key of ['a', 'b', 'c', 'd']) {
      const ofKey = taken()
        .filter(([one]) => one === key)
        .sort(([, , a], [, , b]) => Number(a) - Number(b))
        .map(([, , , number]) => Number(number));
      for (const isFirst of [true, false]) {
        const ofProducer = ofKey.filter((number) => number < 1_000_000 === isFirst);
        expect(ofProducer).toEqual([...ofProducer].sort((a, b) => a - b));
      }
    }
  });
});

describe('retention under a reader that lags', () => {
  it.each([
    ['size', { retentionBytes: 50_000 }],
    ['age', { retentionMs: 0 }],
  ])('by %s tells what it took, and nothing is missing beside it', async (_by, retention) => {
    const bus = createLogBus({ directory, logger });
    await bus.ensureTopics([{ name: topic, partitions: 1, ...retention }]);
    const seen = collector();
    const subscription = await bus.subscribe({
      group: 'slow',
      topics: [topic],
      startAt: 'earliest',
      ...seen,
    });
    const publish = (at: number) => bus.publish(topic, [message('k', String(at).padEnd(2_000))]);
    for (let at = 0; at < 10; at += 1) await publish(at);
    await eventually(() => seen.messages.length === 10, 'the first ten are read');
    subscription.pause([{ topic, partition: 0 }]);
    for (let at = 10; at < 100; at += 1) await publish(at);
    const environment = new LmdbEnvironment({ directory, mapSizeBytes: 2 ** 30, tablesMax: 1_024 });
    const defaultRetention = { retentionMs: 86_400_000, retentionBytes: 1e9 };
    const store = new LogStore({ environment, clock: systemClock, defaultRetention, reserveBytes: 0 });
    await eventually(
      () => systemClock.now() > (seen.messages.at(-1)?.storedAtMs ?? 0) + 5,
      'some time passes',
    );
    await store.trim();
    await environment.close();
    await publish(100);
    subscription.resume([{ topic, partition: 0 }]);
    await eventually(() => seen.messages.at(-1)?.offset === 100n, 'reading goes on');
    await subscription.stop();
    await bus.close();
    const [gap] = seen.gaps;
    expect(seen.gaps).toHaveLength(1);
    expect(gap).toMatchObject({ kind: 'removed', fromOffset: 10n });
    const expected = Array.from({ length: 101 }, (_, at) => BigInt(at)).filter(
      (offset) => offset < 10n || offset >= (gap?.toOffset ?? 0n),
    );
    expect(seen.messages.map(({ offset }) => offset)).toEqual(expected);
  });
});
