import { PoolmeterError, type Clock } from '@poolmeter/domain';
import { describe, expect, it } from 'vitest';
import { retry, type RetryOptions } from './retry.js';

/** A clock whose sleeps end at once and are written down. */
function pauses() {
  const slept: number[] = [];
  const clock = {
    now: () => 0,
    sleep: (ms: number) => Promise.resolve(void slept.push(ms)),
  } as unknown as Clock;
  return { slept, clock };
}

const away = new PoolmeterError('dependency.unavailable', 'Away.', { retriable: true });
const options = (clock: Clock): RetryOptions => ({
  attempts: 5,
  initialMs: 100,
  maxMs: 400,
  clock,
  random: () => 1,
});

describe('retry', () => {
  it('waits longer each time, up to the limit, and gives the last fault when the tries are used up', async () => {
    const { slept, clock } = pauses();
    let tries = 0;
    const run = () => {
      tries += 1;
      return Promise.reject(away);
    };
    await expect(retry(run, options(clock))).rejects.toBe(away);
    expect(tries).toBe(5);
    expect(slept).toEqual([100, 200, 400, 400]);
  });

  it('gives the result of the first try that succeeds', async () => {
    const { slept, clock } = pauses();
    const seen: unknown[] = [];
    const run = (attempt: number) => (attempt < 3 ? Promise.reject(away) : Promise.resolve(attempt));
    const onRetry = (...all: unknown[]) => void seen.push(all);
    expect(await retry(run, { ...options(clock), onRetry })).toBe(3);
    expect(slept).toHaveLength(2);
    expect(seen).toEqual([
      [away, 1, 100],
      [away, 2, 200],
    ]);
  });

  it('spreads its pauses between half and all of their length', async () => {
    const { slept, clock } = pauses();
    await expect(retry(() => Promise.reject(away), { ...options(clock), random: () => 0 })).rejects.toBe(
      away,
    );
    expect(slept).toEqual([50, 100, 200, 200]);
  });

  it.each([
    ['a fault of the input', new PoolmeterError('input.invalid', 'No.')],
    ['a defect', new TypeError('undefined is not a function')],
  ])('does not repeat %s', async (_name, fault) => {
    const { slept, clock } = pauses();
    await expect(retry(() => Promise.reject(fault), options(clock))).rejects.toBe(fault);
    expect(slept).toEqual([]);
  });

  it('lets the caller say what may be tried again', async () => {
    const { slept, clock } = pauses();
    const isRetriable = (fault: unknown) => fault instanceof TypeError;
    await expect(
      retry(() => Promise.reject(new TypeError('x')), { ...options(clock), attempts: 2, isRetriable }),
    ).rejects.toThrow('x');
    expect(slept).toHaveLength(1);
  });

  it('ends when the signal is aborted', async () => {
    const { clock } = pauses();
    const stop = new AbortController();
    let tries = 0;
    const run = () => {
      tries += 1;
      stop.abort(new Error('stopping'));
      return Promise.reject(away);
    };
    await expect(retry(run, { ...options(clock), signal: stop.signal })).rejects.toBe(away);
    await expect(retry(run, { ...options(clock), signal: stop.signal })).rejects.toThrow('stopping');
    expect(tries).toBe(1);
  });
});
