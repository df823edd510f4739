import { describe, expect, it } from 'vitest';
import { ManualClock, systemClock, type Clock } from './clock.js';
import { instantFromMs } from './instant.js';

const ended = async (promise: Promise<unknown>) =>
  Promise.race([
    promise.then(
      () => 'woken',
      (fault: unknown) => fault,
    ),
    new Promise((r) => setImmediate(r, 'asleep')),
  ]);

describe.each<[string, () => Clock]>([
  ['the system clock', () => systemClock],
  ['a manual clock', () => new ManualClock(instantFromMs(0))],
])('%s', (_name, create) => {
  it('does not start a sleep whose signal is aborted already', async () => {
    const reason = new Error('stopped');
    await expect(create().sleep(60_000, AbortSignal.abort(reason))).rejects.toBe(reason);
  });

  it('ends a sleep with the reason of the signal', async () => {
    const stop = new AbortController();
    const sleep = create().sleep(60_000, stop.signal);
    stop.abort(new Error('stopped'));
    await expect(sleep).rejects.toThrow('stopped');
  });

  it('wakes from a sleep of no time', async () => {
    await expect(create().sleep(0)).resolves.toBeUndefined();
  });
});

it('the system clock sleeps for about as long as it was asked to', async () => {
  const from = systemClock.now();
  await systemClock.sleep(30);
  expect(systemClock.now() - from).toBeGreaterThanOrEqual(29);
});

describe('a manual clock', () => {
  it('wakes sleepers only when their time has come, earliest first', async () => {
    const clock = new ManualClock(instantFromMs(1_000));
    const woken: number[] = [];
    const sleeps = [300, 100, 200].map((ms) => clock.sleep(ms).then(() => woken.push(ms)));
    clock.advance(99);
    expect(await ended(sleeps[1]!)).toBe('asleep');
    clock.advance(101);
    await Promise.all([sleeps[1], sleeps[2]]);
    expect(woken).toEqual([100, 200]);
    clock.set(instantFromMs(1_300));
    await sleeps[0];
    expect(woken).toEqual([100, 200, 300]);
    expect(clock.now()).toBe(1_300);
  });

  it('does not wake a sleeper that was aborted', async () => {
    const clock = new ManualClock(instantFromMs(0));
    const stop = new AbortController();
    const sleep = clock.sleep(10, stop.signal);
    stop.abort(new Error('stopped'));
    clock.advance(10);
    await expect(sleep).rejects.toThrow('stopped');
  });
});
