import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PoolmeterError } from '@poolmeter/domain';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { loadConfig, readConfigFile, type ConfigSource } from './load-config.js';
import { defineConfig } from './setting-schema.js';
import { durationMs, flag, portNumber, secretText, textList, wholeNumber } from './setting.js';

const schema = defineConfig({
  scrapeUrls: textList.default([]).describe('Exporters to scrape, separated by commas.'),
  scrapeIntervalMs: durationMs.default(10_000),
  port: portNumber.default(9_401),
  batchRows: wholeNumber.default(500),
  verify: flag.default(true),
  node: z.string(),
  password: secretText.optional(),
});

const PREFIX = 'POOLMETER_COLLECTOR';
const load = (env: ConfigSource['env'], rest: Partial<ConfigSource> = {}) =>
  loadConfig(schema, { env, prefix: PREFIX, ...rest });
const inFolder = () => mkdtempSync(join(tmpdir(), 'poolmeter-config-'));

function faultsOf(run: () => unknown): Record<string, string> {
  try {
    run();
  } catch (fault) {
    if (!(fault instanceof PoolmeterError)) throw fault;
    expect(fault.code).toBe('config.invalid');
    const faults = fault.details['faults'] as { name: string; message: string }[];
    for (const one of faults) expect(fault.message).toContain(`${one.name} ${one.message}`);
    return Object.fromEntries(faults.map((one) => [one.name, one.message]));
  }
  throw new Error('The configuration was accepted.');
}

describe('loading a configuration', () => {
  it('reads text into the types of the schema, with defaults for the rest', () => {
    const env = {
      POOLMETER_COLLECTOR_NODE: 'gpu-1',
      POOLMETER_COLLECTOR_SCRAPE_URLS: 'http://a:9400/metrics, http://b:9400/metrics,',
      POOLMETER_COLLECTOR_SCRAPE_INTERVAL: '5m',
      POOLMETER_COLLECTOR_VERIFY: 'no',
      POOLMETER_COLLECTOR_PORT: '',
      OTHER: 'x',
    };
    expect(load(env)).toEqual({
      node: 'gpu-1',
      scrapeUrls: ['http://a:9400/metrics', 'http://b:9400/metrics'],
      scrapeIntervalMs: 300_000,
      port: 9_401,
      batchRows: 500,
      verify: false,
    });
  });

  it('tells all faults at once, each under the name that the person wrote', () => {
    const env = {
      POOLMETER_COLLECTOR_SCRAPE_INTERVAL: '10',
      POOLMETER_COLLECTOR_PORT: '70000',
      POOLMETER_COLLECTOR_BATCH_ROWS: 'many',
      POOLMETER_COLLECTOR_SCRAPE_INTERVALL: '10s',
      POOLMETER_COLLECTOR_PASSWORD_FILE: '/does/not/exist',
    };
    const faults = faultsOf(() => load(env, { fileValues: { verify: 'perhaps', colour: 'red' } }));
    expect(faults).toEqual({
      POOLMETER_COLLECTOR_SCRAPE_INTERVALL: 'is not a setting of this role (did you mean SCRAPE_INTERVAL?)',
      colour: 'is not a setting of this role',
      POOLMETER_COLLECTOR_PASSWORD_FILE: expect.stringContaining('/does/not/exist') as string,
      POOLMETER_COLLECTOR_SCRAPE_INTERVAL: 'write a duration with its unit, such as 250ms, 10s, 5m, 1h or 7d',
      POOLMETER_COLLECTOR_PORT: 'write a port between 0 and 65535',
      POOLMETER_COLLECTOR_BATCH_ROWS: 'write a whole number',
      verify: expect.stringContaining('expected one of "true"') as string,
      POOLMETER_COLLECTOR_NODE: 'is required',
    });
  });

  it('never repeats a secret in a fault', () => {
    const strict = defineConfig({ key: secretText.regex(/^k-/) });
    const env = { X_KEY: 'hush-hush' };
    const faults = faultsOf(() => loadConfig(strict, { env, prefix: 'X' }));
    expect(JSON.stringify(faults)).not.toContain('hush-hush');
    expect(faults).toHaveProperty('X_KEY');
  });

  it('reads a secret from the file that NAME_FILE names, without its last newline', () => {
    const path = join(inFolder(), 'password');
    writeFileSync(path, 'hush hush\n');
    const env = { POOLMETER_COLLECTOR_NODE: 'a', POOLMETER_COLLECTOR_PASSWORD_FILE: path };
    expect(load(env).password).toBe('hush hush');
  });

  it('refuses a secret that is given twice, and NAME_FILE for what is no secret', () => {
    const both = {
      POOLMETER_COLLECTOR_NODE: 'a',
      POOLMETER_COLLECTOR_PASSWORD: 'x',
      POOLMETER_COLLECTOR_PASSWORD_FILE: '/y',
    };
    expect(faultsOf(() => load(both))).toEqual({
      POOLMETER_COLLECTOR_PASSWORD:
        'is given twice, here and in POOLMETER_COLLECTOR_PASSWORD_FILE: remove one',
    });
    expect(faultsOf(() => load({ POOLMETER_COLLECTOR_NODE_FILE: '/y' }))).toMatchObject({
      POOLMETER_COLLECTOR_NODE_FILE: 'is not a setting of this role',
    });
  });

  it('overlooks the variables that Kubernetes adds for a service of the same name', () => {
    const env = {
      POOLMETER_COLLECTOR_NODE: 'a',
      POOLMETER_COLLECTOR_SERVICE_HOST: '10.0.0.1',
      POOLMETER_COLLECTOR_PORT_9401_TCP_ADDR: '10.0.0.1',
    };
    expect(load(env).node).toBe('a');
  });

  it('checks rules across settings', () => {
    const crossed = schema.refine((one) => !one.verify || one.port !== 0, {
      path: ['port'],
      message: 'must not be 0 here',
    });
    const env = { POOLMETER_COLLECTOR_NODE: 'a', POOLMETER_COLLECTOR_PORT: '0' };
    expect(faultsOf(() => loadConfig(crossed, { env, prefix: PREFIX }))).toEqual({
      POOLMETER_COLLECTOR_PORT: 'must not be 0 here',
    });
  });
});

describe('a configuration file', () => {
  const write = (name: string, text: string) => {
    const path = join(inFolder(), name);
    writeFileSync(path, text);
    return path;
  };

  it.each([
    [
      'YAML',
      'c.yaml',
      'node: gpu-1\nport: 9000\nverify: false\nscrapeUrls: [http://a, http://b]\nscrapeIntervalMs: 15s\n',
    ],
    [
      'JSON',
      'c.json',
      '{"node":"gpu-1","port":9000,"verify":false,"scrapeUrls":["http://a","http://b"],"scrapeIntervalMs":"15s"}',
    ],
  ])('in %s is merged under the environment', (_name, file, text) => {
    const env = { POOLMETER_COLLECTOR_PORT: '9001' };
    expect(load(env, { fileValues: readConfigFile(write(file, text)) })).toMatchObject({
      node: 'gpu-1',
      port: 9_001,
      verify: false,
      scrapeUrls: ['http://a', 'http://b'],
      scrapeIntervalMs: 15_000,
    });
  });

  it.each([
    ['that is not there', () => '/does/not/exist.yaml', /cannot be read/],
    ['that is no YAML', () => write('c.yaml', 'a: [1'), /cannot be read/],
    ['that holds a list', () => write('c.yaml', '- 1\n'), /must hold keys and values/],
  ])('%s is refused with its name', (_name, path, message) => {
    expect(() => readConfigFile(path())).toThrow(message);
  });

  it('may be empty', () => {
    expect(readConfigFile(write('c.yaml', '# nothing yet\n'))).toEqual({});
  });
});
