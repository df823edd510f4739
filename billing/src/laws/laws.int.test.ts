/** Every law of billing in thousands of random worlds; POOLMETER_LAW_WORLDS=10000 for the long run. */
import { describe, it } from 'vitest';
import { laws } from './laws.js';

const RUNS = Number(process.env['POOLMETER_LAW_WORLDS'] ?? '2000');

describe(`laws of billing in ${RUNS} worlds`, () => {
  it.each(Object.entries(laws))('%s', { timeout: 1_200_000 }, (_name, law) => {
    law(RUNS);
  });
});
