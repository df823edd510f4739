import { expect, it } from 'vitest';
import { z } from 'zod';
import { loadConfig } from './load-config.js';
import { defineConfig } from './setting-schema.js';
import { durationMs, formatDurationMs, parseDurationMs, secretText, textList } from './setting.js';
import { envExample, maskedConfig } from './show-config.js';
import fc from 'fast-check';

const schema = defineConfig({
  postgresUrl: z.string().describe('Where PostgreSQL is.'),
  brokers: textList.default(['a:9092', 'b:9092']),
  graceMs: durationMs.default(86_400_000).describe('Waiting time after a period.'),
  password: secretText.optional().describe('For the broker.'),
  retries: z.string().default('3').meta({ env: 'MAX_RETRIES' }),
});

it('masks secrets and passwords inside addresses', () => {
  const value = loadConfig(schema, {
    env: { P_POSTGRES_URL: 'postgres://u:hush-hush@db/x', P_PASSWORD: 'hush-hush' },
    prefix: 'P',
  });
  expect(maskedConfig(schema, value)).toEqual({
    postgresUrl: 'postgres://u:********@db/x',
    brokers: ['a:9092', 'b:9092'],
    graceMs: 86_400_000,
    password: '********',
    retries: '3',
  });
});

it('writes an example that names every variable and loads again with its defaults', () => {
  const text = envExample([{ title: 'billing', prefix: 'POOLMETER_BILLING', schema }]);
  expect(text).toBe(`# Generated from the configuration schemas; every variable that poolmeter reads.

# --- billing
# Where PostgreSQL is. Required.
POOLMETER_BILLING_POSTGRES_URL=
# POOLMETER_BILLING_BROKERS=a:9092,b:9092
# Waiting time after a period.
# POOLMETER_BILLING_GRACE=1d
# For the broker. Secret; or put it into a file and name that in POOLMETER_BILLING_PASSWORD_FILE.
# POOLMETER_BILLING_PASSWORD=
# POOLMETER_BILLING_MAX_RETRIES=3
`);
  const lines = text.split('\n').filter((line) => /^#? ?POOLMETER_\w+=/.test(line));
  const env = Object.fromEntries(lines.map((line) => line.replace(/^# /, '').split('=') as [string, string]));
  const given = { ...env, POOLMETER_BILLING_POSTGRES_URL: 'x' };
  const empty = { POOLMETER_BILLING_POSTGRES_URL: 'x' };
  expect(loadConfig(schema, { env: given, prefix: 'POOLMETER_BILLING' })).toEqual(
    loadConfig(schema, { env: empty, prefix: 'POOLMETER_BILLING' }),
  );
});

it.each([
  ['250ms', 250],
  ['10s', 10_000],
  ['5m', 300_000],
  ['1h', 3_600_000],
  ['7d', 604_800_000],
  ['0s', 0],
  ['10', undefined],
  ['1.5s', undefined],
  ['-1s', undefined],
  ['10 s', undefined],
  ['s', undefined],
  ['999999999999d', undefined],
])('"%s" is %s ms', (text, ms) => {
  expect(parseDurationMs(text)).toBe(ms);
});

it('reads back every duration that it writes', () => {
  fc.assert(
    fc.property(fc.nat({ max: 1_000_000_000 }), (ms) => {
      expect(parseDurationMs(formatDurationMs(ms))).toBe(ms);
    }),
  );
});
