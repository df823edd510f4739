import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { openHttpListener } from './http-listener.js';

const listen = (fetch: () => Response | Promise<Response>) =>
  openHttpListener({ name: 'The test', host: '127.0.0.1', port: 0, fetch });

it('lets a request in hand finish before it closes', async () => {
  const listener = await listen(async () => {
    await delay(60);
    return new Response('done');
  });
  const answer = fetch(listener.url);
  await delay(20);
  const from = performance.now();
  await listener.close();
  expect(await (await answer).text()).toBe('done');
  // Well before the grace time, although the client keeps its connection.
  expect(performance.now() - from).toBeLessThan(1_500);
  await expect(fetch(listener.url)).rejects.toThrow();
});

it('cuts what does not finish within the grace time', async () => {
  const listener = await listen(() => new Promise(() => undefined));
  const answer = fetch(listener.url).then(
    () => 'answered',
    () => 'cut',
  );
  await delay(20);
  const from = performance.now();
  await listener.close(50);
  expect(await answer).toBe('cut');
  expect(performance.now() - from).toBeLessThan(1_000);
  await listener.close();
});

it('writes an IPv6 address as a URL wants it', async () => {
  const listener = await openHttpListener({
    name: 'x',
    host: '::1',
    port: 0,
    fetch: () => new Response('six'),
  });
  expect(listener.url).toBe(`http://[::1]:${listener.port}`);
  expect(await (await fetch(listener.url)).text()).toBe('six');
  await listener.close();
});
