import { EventEmitter } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createLifecycle, nextStopSignal, type Component } from './lifecycle.js';
import { createLogger } from './logger.js';

const logger = createLogger({ service: 'test', level: 'silent' });

function part(name: string, events: string[], changes: Partial<Component> = {}): Component {
  return {
    name,
    start: () => Promise.resolve(void events.push(`start ${name}`)),
    stop: () => Promise.resolve(void events.push(`stop ${name}`)),
    ...changes,
  };
}

const never = () => new Promise<void>(() => undefined);

describe('a life cycle', () => {
  it('starts in order and stops in reverse', async () => {
    const events: string[] = [];
    const lifecycle = createLifecycle({ logger }).add(part('store', events)).add(part('server', events));
    await lifecycle.start();
    await lifecycle.stop();
    expect(events).toEqual(['start store', 'start server', 'stop server', 'stop store']);
  });

  it('stops once, however often it is asked', async () => {
    const events: string[] = [];
    const lifecycle = createLifecycle({ logger }).add(part('a', events));
    await Promise.all([lifecycle.start(), lifecycle.start()]);
    await Promise.all([lifecycle.stop(), lifecycle.stop()]);
    await lifecycle.stop();
    expect(events).toEqual(['start a', 'stop a']);
  });

  it('undoes a start that fails, and tells its reason', async () => {
    const events: string[] = [];
    const reason = new Error('port taken');
    const lifecycle = createLifecycle({ logger })
      .add(part('a', events))
      .add(part('b', events, { start: () => Promise.reject(reason) }))
      .add(part('c', events));
    await expect(lifecycle.start()).rejects.toBe(reason);
    expect(events).toEqual(['start a', 'stop a']);
    await lifecycle.stop();
    expect(events).toEqual(['start a', 'stop a']);
  });

  it('tells the reason of the start even when undoing it fails as well', async () => {
    const lifecycle = createLifecycle({ logger })
      .add(part('a', [], { stop: () => Promise.reject(new Error('stuck')) }))
      .add(part('b', [], { start: () => Promise.reject(new Error('port taken')) }));
    await expect(lifecycle.start()).rejects.toThrow('port taken');
  });

  it('asks every component to stop, though one fails', async () => {
    const events: string[] = [];
    const lifecycle = createLifecycle({ logger })
      .add(part('a', events))
      .add(part('b', events, { stop: () => Promise.reject(new Error('disk gone')) }))
      .add(part('c', events));
    await lifecycle.start();
    await expect(lifecycle.stop()).rejects.toThrow('Not stopped cleanly: b. b: disk gone');
    expect(events).toEqual(['start a', 'start b', 'start c', 'stop c', 'stop a']);
  });

  it('leaves behind what does not stop in time, and still stops the rest', async () => {
    const events: string[] = [];
    const lifecycle = createLifecycle({ logger, drainMs: 200 })
      .add(part('a', events, { stop: async () => void events.push(await delay(20, 'stop a')) }))
      .add(part('stuck', events, { stop: never }))
      .add(part('stuck too', events, { stop: never }));
    await lifecycle.start();
    const from = performance.now();
    await expect(lifecycle.stop()).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringContaining('stuck too, stuck') as string,
    });
    expect(performance.now() - from).toBeLessThan(600);
    expect(events).toContain('stop a');
  });

  it('can be stopped while it starts: what started is stopped, the rest never starts', async () => {
    const events: string[] = [];
    const lifecycle = createLifecycle({ logger })
      .add(part('slow', events, { start: async () => void events.push(await delay(30, 'start slow')) }))
      .add(part('late', events));
    const started = lifecycle.start();
    await Promise.all([expect(started).rejects.toThrow('Stopped before late was started'), lifecycle.stop()]);
    expect(events).toEqual(['start slow', 'stop slow']);
  });

  it('refuses a component after the start', async () => {
    const lifecycle = createLifecycle({ logger });
    await lifecycle.start();
    expect(() => lifecycle.add(part('late', []))).toThrow(/late was added after the start/);
  });
});

it('waits for the first signal and then listens no more', async () => {
  const source = new EventEmitter();
  const signal = nextStopSignal(source);
  source.emit('SIGINT');
  expect(await signal).toBe('SIGINT');
  expect(source.listenerCount('SIGINT') + source.listenerCount('SIGTERM')).toBe(0);
});
