import { instantFromMs, ManualClock, PoolmeterError } from '@poolmeter/domain';
import type { BusMessage, CommittedPosition, StoredMessage } from '@poolmeter/event-bus';
import { tables } from '@poolmeter/metrics-store';
import { createLogger } from '@poolmeter/service';
import { topics, type GpuSample } from '@poolmeter/telemetry-schema';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { deadLetterHeaders } from './dead-letter.js';
import { createInMemoryRowStore } from './in-memory-row-store.js';
import { PartitionWriter, type WriterPorts } from './partition-writer.js';
import { requestOf, type RowInsert } from './plan-inserts.js';
import { readTestMessage, storedRubbish, storedSamples } from './test-samples.js';

const logger = createLogger({ service: 'test', level: 'silent' });
const clock = () => new ManualClock(instantFromMs(0));
const topic = topics.gpuSamples;

/** What outlives a process: the store, the committed position, the dead letters. */
function createWorld() {
  const store = createInMemoryRowStore();
  const world = {
    store,
    committed: undefined as CommittedPosition | undefined,
    commits: [] as string[],
    deadLetters: [] as BusMessage[],
    /** Tokens of inserts that may have been sent before, and were looked after. */
    settled: [] as string[],
    ports: {
      insert: (insert: RowInsert) => store.insert(requestOf(insert)),
      settle: (insert: RowInsert) => {
        world.settled.push(insert.token);
        return Promise.resolve();
      },
      commit: (position: CommittedPosition) => {
        world.committed = position;
        world.commits.push(`${position.nextOffset} ${position.metadata}`.trim());
        return Promise.resolve();
      },
      publishDeadLetters: (letters: readonly BusMessage[]) => {
        world.deadLetters.push(...letters);
        return Promise.resolve();
      },
    } satisfies WriterPorts,
    storedTicks: () =>
      (store.rowsOf(tables.gpuSamplesIn) as GpuSample[]).map((row) => row.energyJoules ?? -1),
  };
  return world;
}

type World = ReturnType<typeof createWorld>;

function createWriter(world: World, over: Partial<WriterPorts> = {}, limits = { rows: 1_000, bytes: 1e6 }) {
  const faults: unknown[] = [];
  const writer = new PartitionWriter({
    topic,
    partition: 0,
    committed: world.committed,
    limits,
    read: readTestMessage,
    clock: clock(),
    logger,
    ports: { ...world.ports, ...over },
    events: {
      onRows: () => undefined,
      onRefused: () => undefined,
      onStored: () => undefined,
      onRecovered: () => undefined,
      onTrouble: (_step, fault) => {
        faults.push(fault);
        writer.abandon(new Error('A step failed in a test where none may fail.'));
      },
    },
  });
  return { writer, faults };
}

describe('the writer of one partition', () => {
  it('notes the range, inserts one batch per day under its token, and moves the position', async () => {
    const world = createWorld();
    const { writer } = createWriter(world);
    writer.add([storedSamples(7, [8, 9]), storedSamples(8, [10, 11]), storedSamples(9, [9, 12])]);
    await writer.flush();
    expect(world.commits).toEqual(['7 pending:7-9', '10']);
    const stored = world.store.requests.map(({ token, values }) => [
      token.replace(/@\d+/, '@time'),
      values.length,
    ]);
    expect(stored).toEqual([
      [`${topic}:0:7-9@time:gpu_samples_in:20513`, 2],
      [`${topic}:0:7-9@time:gpu_samples_in:20514`, 2],
    ]);
    expect(world.storedTicks()).toEqual([8, 9, 9, 10, 11, 12]);
    expect(world.settled).toEqual([]);
  });

  it('cuts at the row limit without waiting', async () => {
    const world = createWorld();
    const { writer } = createWriter(world, {}, { rows: 3, bytes: 1e6 });
    writer.add([storedSamples(0, [0, 1]), storedSamples(1, [2]), storedSamples(2, [3])]);
    await writer.flush();
    expect(world.commits).toEqual(['0 pending:0-1', '2', '2 pending:2-2', '3']);
  });

  it('repeats a noted range exactly, whatever the limits are now and however messages arrive', async () => {
    const world = createWorld();
    const before = createWriter(world, { commit: world.ports.commit }, { rows: 1_000, bytes: 1e6 });
    before.writer.add([storedSamples(0, [0]), storedSamples(1, [1]), storedSamples(2, [2])]);
    await before.writer.flush();
    world.committed = { topic, partition: 0, nextOffset: 0n, metadata: 'pending:0-2' };
    const after = createWriter(world, {}, { rows: 1, bytes: 1 });
    after.writer.add([storedSamples(0, [0])]);
    await after.writer.flush();
    expect(world.commits.at(-1)).toBe('3');
    after.writer.add([storedSamples(1, [1]), storedSamples(2, [2]), storedSamples(3, [3])]);
    await after.writer.flush();
    expect(after.faults).toEqual([]);
    expect(world.storedTicks()).toEqual([0, 1, 2, 3]);
    const tokens = world.store.requests.map(({ token }) => token);
    expect(tokens[1]).toBe(tokens[0]);
    // Nobody knows how far the first owner came; what came after it was sent once.
    expect(world.settled).toEqual([tokens[1]]);
  });

  it('sends what it cannot read to the dead letters with its place, and goes on', async () => {
    const world = createWorld();
    const { writer } = createWriter(world);
    writer.add([storedRubbish(4), storedSamples(5, [1])]);
    await writer.flush();
    expect(world.storedTicks()).toEqual([1]);
    expect(world.deadLetters).toHaveLength(1);
    expect(world.deadLetters[0]!.headers).toMatchObject({
      [deadLetterHeaders.code]: 'wire.malformed',
      [deadLetterHeaders.topic]: topic,
      [deadLetterHeaders.partition]: '0',
      [deadLetterHeaders.offset]: '4',
    });
    expect(Buffer.from(world.deadLetters[0]!.value).toString()).toBe('rubbish 4');
    expect(world.committed?.nextOffset).toBe(6n);
  });

  it('isolates the message whose rows the store calls malformed', async () => {
    const world = createWorld();
    const insert = (one: RowInsert) =>
      one.parts.some(({ message }) => message.offset === 1n)
        ? Promise.reject(new PoolmeterError('wire.malformed', 'Cannot parse.'))
        : world.ports.insert(one);
    const { writer, faults } = createWriter(world, { insert });
    writer.add([storedSamples(0, [0]), storedSamples(1, [1]), storedSamples(2, [2])]);
    await writer.flush();
    expect(faults).toEqual([]);
    expect(world.storedTicks()).toEqual([0, 2]);
    expect(world.deadLetters.map((letter) => letter.headers[deadLetterHeaders.offset])).toEqual(['1']);
    expect(world.committed?.nextOffset).toBe(3n);
  });

  it('keeps trying with the same bytes and token while the store is away', async () => {
    const world = createWorld();
    const time = clock();
    const tokens: string[] = [];
    const troubles: number[] = [];
    const writer = new PartitionWriter({
      topic,
      partition: 0,
      committed: undefined,
      limits: { rows: 10, bytes: 1e6 },
      read: readTestMessage,
      clock: time,
      logger,
      ports: {
        ...world.ports,
        insert: (insert) => {
          tokens.push(insert.token);
          return tokens.length < 4
            ? Promise.reject(new PoolmeterError('dependency.unavailable', 'Away.', { retriable: true }))
            : world.ports.insert(insert);
        },
      },
      events: {
        onRows: () => undefined,
        onRefused: () => undefined,
        onStored: () => undefined,
        onRecovered: () => troubles.push(0),
        onTrouble: (_step, _fault, attempt) => troubles.push(attempt),
      },
    });
    writer.add([storedSamples(0, [0])]);
    const done = writer.flush();
    for (const ms of [100, 200, 400]) {
      await new Promise(setImmediate);
      time.advance(ms);
    }
    await done;
    expect(troubles).toEqual([1, 2, 3, 0]);
    expect(new Set(tokens).size).toBe(1);
    expect(world.settled).toEqual([tokens[0]]);
    expect(world.storedTicks()).toEqual([0]);
  });

  it('looks after rows that were sent twice within one attempt', async () => {
    const world = createWorld();
    const { writer } = createWriter(world, {
      insert: (insert, { onRepeated }) => {
        onRepeated?.();
        return world.ports.insert(insert);
      },
    });
    writer.add([storedSamples(0, [0])]);
    await writer.flush();
    expect(world.settled).toHaveLength(1);
  });

  it('drops an agent’s repeats, but not a late message with a lower number', async () => {
    const world = createWorld();
    const { writer } = createWriter(world);
    writer.add([
      storedSamples(0, [5], 5),
      storedSamples(1, [6], 6),
      storedSamples(2, [5], 5),
      storedSamples(3, [3], 3),
      storedSamples(4, [6], 6),
    ]);
    await writer.flush();
    expect(world.storedTicks()).toEqual([5, 6, 3]);
    expect(world.committed?.nextOffset).toBe(5n);
  });

  it('gives up when another consumer owns the partition, and stores nothing more', async () => {
    const world = createWorld();
    const commit = () => Promise.reject(new PoolmeterError('bus.rejected', 'Not yours.'));
    const { writer } = createWriter(world, { commit });
    writer.add([storedSamples(0, [0])]);
    await expect(writer.flush()).rejects.toMatchObject({ code: 'bus.rejected' });
    expect(world.store.requests).toEqual([]);
  });
});

/** One life of a process: it dies at its n-th step, and that step may have taken effect, or take effect later. */
const lifeArbitrary = fc.record({
  diesAtStep: fc.nat({ max: 8 }),
  effect: fc.constantFrom('none', 'done', 'late'),
  batchSizes: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 6 }),
  flushEvery: fc.integer({ min: 1, max: 3 }),
  rowLimit: fc.integer({ min: 1, max: 8 }),
});
type Life = typeof lifeArbitrary extends fc.Arbitrary<infer T> ? T : never;

const contentArbitrary = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ kind: fc.constant('samples' as const), rows: fc.integer({ min: 1, max: 3 }) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('rubbish' as const), rows: fc.constant(0) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('repeat' as const), rows: fc.constant(0) }) },
  ),
  { minLength: 1, maxLength: 14 },
);

/** The log of a partition. Every sample has its own tick; a repeat is an earlier sample message sent again. */
function logOf(contents: readonly { kind: 'samples' | 'rubbish' | 'repeat'; rows: number }[]) {
  const log: StoredMessage[] = [];
  const wanted: number[] = [];
  let tick = 0;
  for (const [offset, { kind, rows }] of contents.entries()) {
    const earlier = log.findLast((message) => message.headers['sequence'] !== 'none');
    if (kind === 'samples') {
      const ticks = Array.from({ length: rows }, () => (tick += 3));
      wanted.push(...ticks);
      log.push(storedSamples(offset, ticks));
    } else if (kind === 'repeat' && earlier !== undefined) {
      log.push({ ...earlier, offset: BigInt(offset), storedAtMs: earlier.storedAtMs + 1_000 + offset });
    } else {
      log.push({ ...storedRubbish(offset), headers: { sequence: 'none' } });
    }
  }
  return { log, wanted };
}

async function live(
  world: World,
  log: readonly StoredMessage[],
  life: Life | undefined,
  late: (() => Promise<void>)[],
) {
  let step = 0;
  const state = { dead: false };
  const mortal =
    <A extends unknown[]>(run: (...args: A) => Promise<void>, mayBeLate = false) =>
    async (...args: A) => {
      if (state.dead) throw new Error('dead');
      if (life === undefined || step !== life.diesAtStep) {
        step += 1;
        return run(...args);
      }
      state.dead = true;
      if (life.effect === 'done') await run(...args);
      if (life.effect === 'late' && mayBeLate) late.push(() => run(...args));
      writer.abandon(new Error('killed'));
      throw new Error('killed');
    };
  const { writer, faults } = createWriter(
    world,
    {
      insert: mortal(world.ports.insert, true),
      settle: mortal(world.ports.settle),
      commit: mortal(world.ports.commit),
      publishDeadLetters: mortal(world.ports.publishDeadLetters),
    },
    { rows: life?.rowLimit ?? 5, bytes: 1e6 },
  );
  // Reading begins before the position, so that the repeat filter knows what came before.
  let at = 0;
  for (let turn = 0; at < log.length && !state.dead; turn += 1) {
    const size = life?.batchSizes[turn % life.batchSizes.length] ?? 2;
    writer.add(log.slice(at, at + size));
    at += size;
    if (turn % (life?.flushEvery ?? 2) === 0) await writer.flush().catch(() => undefined);
  }
  await writer.flush().catch(() => undefined);
  return { dead: state.dead, faults };
}

describe('exactly once', () => {
  it('stores each row once, at any point of death, with inserts that arrive late', async () => {
    await fc.assert(
      fc.asyncProperty(
        contentArbitrary,
        fc.array(lifeArbitrary, { maxLength: 6 }),
        async (contents, lives) => {
          const { log, wanted } = logOf(contents);
          const world = createWorld();
          let late: (() => Promise<void>)[] = [];
          for (const life of lives) {
            const arriving = late;
            late = [];
            await live(world, log, life, late);
            for (const arrive of arriving) await arrive();
          }
          const last = await live(world, log, undefined, []);
          for (const arrive of late) await arrive();
          expect(last).toEqual({ dead: false, faults: [] });
          expect([...world.storedTicks()].sort((a, b) => a - b)).toEqual(wanted);
          expect(world.committed).toEqual({
            topic,
            partition: 0,
            nextOffset: BigInt(log.length),
            metadata: '',
          });
          const rubbish = log
            .filter((message) => message.headers['sequence'] === 'none')
            .map(({ offset }) => String(offset));
          const letters = new Set(
            world.deadLetters.map((letter) => letter.headers[deadLetterHeaders.offset]),
          );
          expect([...letters].sort()).toEqual(rubbish.sort());
        },
      ),
      { numRuns: 300 },
    );
  });
});
