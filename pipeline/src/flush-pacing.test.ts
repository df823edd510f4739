import { instantFromMs, ManualClock, PoolmeterError } from '@poolmeter/domain';
import { describe, expect, it } from 'vitest';
import { FlushPacer } from './flush-pacer.js';
import { RangeSizer } from './range-sizer.js';
import { StoreGate } from './store-gate.js';
import { storeTroubleOf } from './store-trouble.js';

describe('how long a range waits', () => {
  it.each([
    // partitions, ms per insert, expected wait: partitions × cost ÷ 10 % of a core, from 500 to 1400 ms
    [1, 30, 500],
    [2, 30, 600],
    [4, 30, 1_200],
    [12, 30, 1_400],
    [12, 2, 500],
    [0, 30, 500],
  ])('%d partitions of %d ms an insert: %d ms', (partitions, costMs, expected) => {
    const pacer = new FlushPacer({ leastMs: 500, mostMs: 1_400, sharePercent: 10 });
    expect(pacer.intervalMs(partitions)).toBe(500);
    for (let turn = 0; turn < 5; turn += 1) pacer.onInsert(costMs);
    expect(pacer.intervalMs(partitions)).toBe(expected);
  });
});

describe('how large a range gets', () => {
  function sizer() {
    const clock = new ManualClock(instantFromMs(1_000_000));
    return {
      clock,
      sizer: new RangeSizer({ limits: { rows: 1_000, bytes: 4_000 }, bytesMost: 20_000, clock }),
    };
  }

  it('doubles with each blow of too many parts, up to eight times, and comes back slowly', () => {
    const { clock, sizer: sizes } = sizer();
    const rows: number[] = [];
    for (let blow = 0; blow < 5; blow += 1) {
      sizes.onTrouble('too_many_parts');
      sizes.onTrouble('too_many_parts'); // Another partition meets the same.
      rows.push(sizes.rows);
      clock.advance(5_000);
    }
    expect(rows).toEqual([2_000, 4_000, 8_000, 8_000, 8_000]);
    expect(sizes.bytes).toBe(20_000);
    clock.advance(295_000);
    expect(sizes.rows).toBe(4_000);
    clock.advance(600_000);
    expect(sizes.rows).toBe(1_000);
  });

  it('halves when the store has no memory, and stays when it is only away', () => {
    const { sizer: sizes } = sizer();
    sizes.onTrouble('away');
    expect(sizes.rows).toBe(1_000);
    sizes.onTrouble('out_of_memory');
    expect([sizes.rows, sizes.bytes]).toEqual([500, 2_000]);
  });
});

describe('what a fault says about the store', () => {
  const server = (clickhouseCode: number) =>
    new PoolmeterError('dependency.unavailable', 'No.', { retriable: true, details: { clickhouseCode } });
  it.each([
    [server(164), 'read_only'],
    [server(242), 'read_only'],
    [server(252), 'too_many_parts'],
    [server(241), 'out_of_memory'],
    [server(202), 'too_many_queries'],
    [server(210), 'away'],
    [new PoolmeterError('storage.full', 'No.'), 'full'],
    [new PoolmeterError('storage.read_only', 'No.'), 'read_only'],
    [new PoolmeterError('timeout', 'No.'), 'slow'],
    [new PoolmeterError('dependency.refused', 'No.'), 'refused'],
    [new PoolmeterError('wire.malformed', 'Rows.'), undefined],
  ])('%s: %s', (fault, expected) => {
    expect(storeTroubleOf(fault)).toBe(expected);
  });
});

describe('the gate while the store is away', () => {
  it('calls the store slow when an insert is not answered for ten seconds', async () => {
    const clock = new ManualClock(instantFromMs(0));
    const gate = new StoreGate({
      clock,
      parallelInserts: 2,
      onTrouble: () => undefined,
      onInserted: () => undefined,
    });
    let answer: () => void = () => undefined;
    const running = gate.run(
      () => new Promise((resolve) => (answer = resolve)),
      new AbortController().signal,
    );
    clock.advance(10_000);
    await gate.readiness.check();
    clock.advance(2_000);
    await expect(gate.readiness.check()).rejects.toThrow(/12 s \(slow\): An insert has not been answered/);
    answer();
    await running;
    await gate.readiness.check();
  });

  it('lets one insert try at a time, with pauses that grow, however many wait', async () => {
    const clock = new ManualClock(instantFromMs(0));
    const gate = new StoreGate({
      clock,
      parallelInserts: 4,
      onTrouble: () => undefined,
      onInserted: () => undefined,
    });
    const triesAtMs: number[] = [];
    const state = { away: true };
    const away = () => {
      triesAtMs.push(clock.now());
      return state.away
        ? Promise.reject(new PoolmeterError('dependency.unavailable', 'Away.', { retriable: true }))
        : Promise.resolve();
    };
    const { signal } = new AbortController();
    /** A writer without a pause of its own: what the gate alone allows. */
    const writer = async () => {
      for (;;) {
        try {
          await gate.run(away, signal);
          return;
        } catch {
          // The next turn repeats it.
        }
      }
    };
    const writers = Array.from({ length: 12 }, writer);
    const step = async (ms: number) => {
      for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
      clock.advance(ms);
      for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
    };
    for (let ms = 0; ms < 60_000; ms += 50) await step(50);
    // Four were under way when it began; then 0.1, 0.2, … 6.4, 10, 10 … seconds apart.
    const apart = triesAtMs.slice(4).map((at, turn) => at - (triesAtMs[turn + 3] ?? 0));
    expect(apart.slice(0, 9)).toEqual([100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
    await expect(gate.readiness.check()).rejects.toThrow(/60 s \(away\): Away\./);
    state.away = false;
    await step(10_000);
    await Promise.all(writers);
    await gate.readiness.check();
  });
});
