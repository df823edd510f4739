/** A few hundred worlds per law; laws.int.test.ts tries ten thousand. */
import { describe, it } from 'vitest';
import { laws } from './laws.js';

/** The naive one looks at every millisecond, so it gets fewer worlds here. */
const RUNS = 120;

describe('laws of billing', () => {
  it.each(Object.entries(laws))('%s', (_name, law) => {
    law(RUNS);
  });
});
