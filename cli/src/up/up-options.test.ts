import { describe, expect, it } from 'vitest';
import { upOptions, type UpFlags } from './up-options.js';

const defaults: UpFlags = {
  dataDir: '.poolmeter',
  host: '127.0.0.1',
  port: '8080',
  scrape: [],
  kernelLog: [],
  scrapeInterval: '10s',
  logLevel: 'info',
};

describe('upOptions', () => {
  it.each<[string, Partial<UpFlags>, object]>([
    [
      'nothing: the demo pool on port 8080',
      {},
      { demo: true, port: 8080, scrapeIntervalMs: 10_000, kafka: undefined },
    ],
    ['--no-demo', { demo: false }, { demo: false }],
    ['--scrape implies --no-demo', { scrape: ['http://gpu-1:9400/metrics'] }, { demo: false }],
    ['--kernel-log implies --no-demo', { kernelLog: ['gpu-1=/var/log/kern.log'] }, { demo: false }],
    [
      'a named exporter',
      { scrape: ['gpu-1=http://10.0.0.1:9400/metrics'] },
      { scrape: ['gpu-1=http://10.0.0.1:9400/metrics'] },
    ],
    ['--port 0', { port: '0' }, { port: 0 }],
    ['--scrape-interval', { scrapeInterval: '250ms' }, { scrapeIntervalMs: 250 }],
    ['--kafka', { kafka: 'a:9092, b:9093' }, { kafka: ['a:9092', 'b:9093'] }],
    ['--postgres', { postgres: 'postgresql://u:p@h/d' }, { postgres: 'postgresql://u:p@h/d' }],
  ])('%s', (_, flags, expected) => {
    expect(upOptions({ ...defaults, ...flags })).toMatchObject(expected);
  });

  it.each<[Partial<UpFlags>, string]>([
    [{ port: '65536' }, '--port must be 0 to 65535, not "65536"'],
    [{ port: '' }, '--port must be 0 to 65535, not ""'],
    [{ port: '1e3' }, '--port must be 0 to 65535, not "1e3"'],
    [
      { scrapeInterval: '10' },
      '--scrape-interval must be a duration of 100ms or more, such as 10s, not "10"',
    ],
    [
      { scrapeInterval: '99ms' },
      '--scrape-interval must be a duration of 100ms or more, such as 10s, not "99ms"',
    ],
    [{ scrape: ['gpu-1:9400'] }, '--scrape must be an http(s) address, not "gpu-1:9400"'],
    [{ clickhouse: 'tcp://h:9000' }, '--clickhouse must be an http(s) address, not "tcp://h:9000"'],
    [{ postgres: 'h/d' }, '--postgres must be postgres://USER:PASSWORD@HOST:PORT/DATABASE, not "h/d"'],
    [{ kafka: 'broker' }, '--kafka must list HOST:PORT, not "broker"'],
    [{ demo: true, scrape: ['http://h/'] }, '--demo and --scrape/--kernel-log exclude one another'],
  ])('%j is refused', (flags, fault) => {
    expect(() => upOptions({ ...defaults, ...flags })).toThrow(`Wrong options: ${fault}.`);
  });

  it('names all faults at once', () => {
    const flags = { ...defaults, port: 'x', scrapeInterval: 'x', clickhouse: 'x' };
    expect(() => upOptions(flags)).toThrow(/--port.*--scrape-interval.*--clickhouse/);
  });
});
