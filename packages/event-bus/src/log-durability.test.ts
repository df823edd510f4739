import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { instantFromMs, ManualClock } from '@poolmeter/domain';
import { createLogger } from '@poolmeter/service';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EventBus, StoredMessage } from './event-bus.js';
import { eventually, message } from './bus-test-bench.js';
import { LmdbEnvironment } from './lmdb-environment.js';
import { createLogBus } from './log-bus.js';
import { LogStore } from './log-store.js';

const logger = createLogger({ service: 'test', level: 'silent' });
const topic = 'durability';
const numberOf = (stored: StoredMessage) => Number(Buffer.from(stored.value).toString());

/** A small disk of our own needs the right to mount one; without it that one test is skipped, and says so. */
function tryMount(): boolean {
  const place = mkdtempSync(join(tmpdir(), 'poolmeter-mount-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', place], { stdio: 'ignore' });
    execFileSync('umount', [place]);
    return true;
  } catch {
    console.log('The test of a full disk is skipped: this user may not mount a tmpfs.');
    return false;
  } finally {
    rmSync(place, { recursive: true });
  }
}
const canMount = tryMount();

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'poolmeter-log-'));
});
afterEach(() => rm(directory, { recursive: true }));

async function readAll(bus: EventBus, group: string): Promise<StoredMessage[]> {
  const stored: StoredMessage[] = [];
  const total = (await bus.ranges(topic)).reduce(
    (sum, range) => sum + Number(range.nextOffset - range.earliestOffset),
    0,
  );
  const subscription = await bus.subscribe({
    group,
    topics: [topic],
    startAt: 'earliest',
    onBatch: (batch) => {
      stored.push(...batch.messages);
      return Promise.resolve();
    },
  });
  await eventually(() => stored.length >= total, `all ${total} messages are read`);
  await subscription.stop();
  return stored;
}

describe('a log whose process is killed', () => {
  /** Kills at a random time after the first acknowledgement; returns what was acknowledged. */
  async function publishAndKill(firstNumber: number): Promise<number[]> {
    const program = fileURLToPath(new URL('../dist/publish-until-killed-main.js', import.meta.url));
    const child: ChildProcess = spawn(process.execPath, [program, directory, topic, String(firstNumber)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let printed = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => (printed += text));
    await once(child.stdout!, 'data');
    await pause(20 + Math.random() * 180);
    child.kill('SIGKILL');
    await once(child, 'close');
    // The last line may be cut; it counts as not acknowledged.
    return printed.slice(0, printed.lastIndexOf('\n')).split('\n').map(Number);
  }

  it('has everything that was acknowledged, once and in order, and its partitions go to the next consumer at once', async () => {
    const setUp = createLogBus({ directory, logger });
    await setUp.ensureTopics([{ name: topic, partitions: 3 }]);
    await setUp.close();
    const acknowledged: number[] = [];
    for (let round = 0; round < 4; round += 1)
      acknowledged.push(...(await publishAndKill(round * 1_000_000)));
    expect(acknowledged.length).toBeGreaterThan(20);

    const bus = createLogBus({ directory, logger });
    const begun = performance.now();
    // The same group as the killed processes: their membership must not hold the partitions back.
    const stored = await readAll(bus, 'readers');
    expect(performance.now() - begun).toBeLessThan(3_000);
    await bus.close();
    const numbers = new Set(stored.map(numberOf));
    expect(acknowledged.filter((number) => !numbers.has(number))).toEqual([]);
    expect(numbers.size).toBe(stored.length);
    for (const key of ['a', 'b', 'c', 'd']) {
      const ofKey = stored.filter((one) => one.key === key).map(numberOf);
      expect(ofKey).toEqual([...ofKey].sort((a, b) => a - b));
    }
    for (const partition of [0, 1, 2]) {
      const offsets = stored.filter((one) => one.partition === partition).map((one) => one.offset);
      expect(offsets).toEqual(offsets.map((_, index) => BigInt(index)));
    }
  });
});

describe('retention of a log', () => {
  it('drops the oldest messages by age and by size, and readers go on with what is left', async () => {
    const clock = new ManualClock(instantFromMs(1_000_000));
    const environment = new LmdbEnvironment({ directory, mapSizeBytes: 2 ** 30, tablesMax: 16 });
    const store = new LogStore({
      environment,
      clock,
      defaultRetention: { retentionMs: 60_000, retentionBytes: 1e9 },
      reserveBytes: 0,
    });
    await store.ensureTopics([
      { name: topic, partitions: 1 },
      { name: 'small', partitions: 1, retentionBytes: 2_500 },
    ]);
    await store.append(topic, [message('k', 'old 1'), message('k', 'old 2')]);
    clock.advance(50_000);
    await store.append(topic, [message('k', 'new')]);
    clock.advance(20_000);
    await store.append(
      'small',
      Array.from({ length: 1_200 }, (_, at) => message('k', String(at).padStart(70))),
    );
    expect(await store.trim()).toBe(2 + 1_200 - 27);
    expect(store.ranges(topic)).toEqual([{ topic, partition: 0, earliestOffset: 2n, nextOffset: 3n }]);
    expect(
      store
        .read(topic, 0, { from: 0, maxBytes: 1e6 })
        .messages.map((one) => Buffer.from(one.value).toString()),
    ).toEqual(['new']);
    expect(store.read('small', 0, { from: 0, maxBytes: 1e6 }).messages).toHaveLength(27);
    clock.advance(100_000);
    await store.trim();
    expect(store.ranges(topic)).toEqual([{ topic, partition: 0, earliestOffset: 3n, nextOffset: 3n }]);
    await store.append(topic, [message('k', 'after')]);
    expect(store.read(topic, 0, { from: 0, maxBytes: 1e6 }).messages[0]?.offset).toBe(3n);
    await environment.close();
  });
});

describe('a log in a bad place', () => {
  it('refuses to publish while the disk is nearly full, and says so', async () => {
    const bus = createLogBus({ directory, logger, reserveBytes: Number.MAX_SAFE_INTEGER });
    await bus.ensureTopics([{ name: topic, partitions: 1 }]);
    await expect(bus.publish(topic, [message('k', 'v')])).rejects.toMatchObject({
      code: 'storage.full',
      retriable: true,
    });
    expect((await bus.ranges(topic))[0]?.nextOffset).toBe(0n);
    await bus.close();
  });

  it.skipIf(!canMount)(
    'keeps what it acknowledged when the disk is full, and goes on when there is room again',
    async () => {
      const disk = join(directory, 'disk');
      await mkdir(disk);
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', disk]);
      try {
        await writeFile(join(disk, 'filler'), Buffer.alloc(3_000_000));
        const bus = createLogBus({ directory: join(disk, 'log'), logger, reserveBytes: 0 });
        await bus.ensureTopics([{ name: topic, partitions: 1 }]);
        let stored = 0;
        const fill = async () => {
          for (;;) {
            await bus.publish(topic, [message('k', String(stored).padEnd(100_000))]);
            stored += 1;
          }
        };
        await expect(fill()).rejects.toMatchObject({ code: 'storage.full', retriable: true });
        expect(stored).toBeGreaterThan(10);
        await rm(join(disk, 'filler'));
        await bus.publish(topic, [message('k', String(stored))]);
        expect((await readAll(bus, 'readers')).map(numberOf)).toEqual(
          Array.from({ length: stored + 1 }, (_, at) => at),
        );
        await bus.close();
      } finally {
        execFileSync('umount', [disk]);
      }
    },
  );

  it('says that a folder cannot be written', async () => {
    const locked = join(directory, 'locked');
    await mkdir(locked);
    await chmod(locked, 0o555);
    await chmod(directory, 0o755);
    // Root may write anywhere: as root, the attempt is made as another user.
    const isRoot = process.geteuid?.() === 0;
    if (isRoot) process.seteuid?.(65_534);
    try {
      for (const path of [locked, join(locked, 'below')]) {
        expect(() => createLogBus({ directory: path, logger })).toThrow(
          expect.objectContaining({ code: 'storage.read_only' }),
        );
      }
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
  });

  it('does not touch a file that is no log', async () => {
    await writeFile(join(directory, 'data.mdb'), Buffer.alloc(100_000, 'not a log '));
    expect(() => createLogBus({ directory, logger })).toThrow(
      expect.objectContaining({ code: 'storage.corrupt' }),
    );
  });
});
