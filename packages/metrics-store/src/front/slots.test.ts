import { describe, expect, it } from 'vitest';
import { createSlots } from './slots.js';

describe('slots', () => {
  it('let so many run, keep so many waiting in order, and refuse the rest at once', async () => {
    const slots = createSlots({ running: 2, waiting: 2 });
    const first = await slots.take();
    await slots.take();
    const order: string[] = [];
    const third = slots.take().then((release) => {
      order.push('third');
      return release;
    });
    const fourth = slots.take().then((release) => {
      order.push('fourth');
      return release;
    });
    await expect(slots.take()).rejects.toMatchObject({ clickhouseCode: 202 });
    first();
    (await third)();
    await fourth;
    expect(order).toEqual(['third', 'fourth']);
  });

  it('give a slot back once, however often its release is called', async () => {
    const slots = createSlots({ running: 1, waiting: 0 });
    const release = await slots.take();
    release();
    release();
    expect(slots.running).toBe(0);
    await slots.take();
    await expect(slots.take()).rejects.toMatchObject({ clickhouseCode: 202 });
  });
});
