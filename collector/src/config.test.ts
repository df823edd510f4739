import { isPoolmeterError } from '@poolmeter/domain';
import { describe, expect, it } from 'vitest';
import { loadCollectorConfig } from './config.js';
import { collectorSettings } from './run-collector.js';

const settings = (env: Record<string, string>) =>
  collectorSettings(
    loadCollectorConfig(
      Object.fromEntries(Object.entries(env).map(([name, value]) => [`POOLMETER_COLLECTOR_${name}`, value])),
    ),
  );

function refusal(env: Record<string, string>): string {
  try {
    settings(env);
  } catch (fault) {
    return isPoolmeterError(fault) ? `${fault.code}: ${fault.message}` : String(fault);
  }
  return 'accepted';
}

describe('the configuration of a collector', () => {
  it('reads addresses and logs, with or without the node’s name', () => {
    expect(
      settings({
        SCRAPE: 'http://10.0.0.1:9400/metrics?x=1, gpu-2=http://gpu-2:9400/metrics',
        KERNEL_LOGS: 'gpu-2=/var/log/kern.log',
        POOL: 'main',
        PROVIDER_ID: 'north',
        SCRAPE_INTERVAL: '15s',
        STATE_DIRECTORY: '/tmp/x',
      }),
    ).toMatchObject({
      targets: [
        { url: 'http://10.0.0.1:9400/metrics?x=1', node: undefined, pool: 'main', providerId: 'north' },
        { url: 'http://gpu-2:9400/metrics', node: 'gpu-2' },
      ],
      kernelLogs: [{ file: '/var/log/kern.log', node: 'gpu-2', pool: 'main', providerId: 'north' }],
      intervalMs: 15_000,
      stateDir: '/tmp/x',
    });
  });

  it('publishes to the provider’s own topics when it is told to', () => {
    const own = { SCRAPE: 'http://a/metrics', PROVIDER_ID: 'north', PROVIDER_TOPICS: 'true' };
    expect(settings(own).topicsOfProvider).toBe('north');
    expect(settings({ ...own, PROVIDER_TOPICS: 'false' }).topicsOfProvider).toBeUndefined();
  });

  it('one exporter gives its name to a log without one', () => {
    expect(settings({ SCRAPE: 'http://a/metrics', KERNEL_LOGS: '/k.log' }).kernelLogs).toMatchObject([
      { node: undefined },
    ]);
  });

  it.each<[string, Record<string, string>, RegExp]>([
    ['nothing to read', {}, /config\.invalid: .*nothing to read/],
    ['an address that is none', { SCRAPE: 'gpu-1:9400' }, /SCRAPE must list http\(s\) addresses/],
    ['an interval without a unit', { SCRAPE: 'http://a/', SCRAPE_INTERVAL: '10' }, /SCRAPE_INTERVAL .*unit/],
    [
      'a provider that cannot be part of a topic',
      { SCRAPE: 'http://a/', PROVIDER_ID: 'north/1', PROVIDER_TOPICS: 'true' },
      /"north\/1" cannot be part of a topic/,
    ],
    [
      'a log whose node is not clear',
      { SCRAPE: 'http://a/,http://b/', KERNEL_LOGS: '/k.log' },
      /which node wrote \/k\.log/,
    ],
  ])('refuses %s', (_case, env, expected) => {
    expect(refusal(env)).toMatch(expected);
  });
});
