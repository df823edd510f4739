/** The promise of the pipeline: whatever dies, each sample is stored once. `npm run bench -- kills` does a thousand. */
import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { runKillRounds } from './run-kill-rounds.js';

const SEED = Date.now() % 1_000_000;
const LIMIT_MS = 600_000;
const linux = existsSync('/proc/self/task');
if (!linux) console.log('Skipped: chDB and the signals of these rounds are tried on Linux only.');

describe.skipIf(!linux)('rounds of kills', () => {
  it.each([
    { bus: 'log', rounds: 35, compareEvery: 7 },
    { bus: 'kafka', rounds: 25, compareEvery: 5 },
  ] as const)(
    '$rounds on the bus "$bus" lose nothing and store nothing twice',
    async (options) => {
      console.log(`Seed of the rounds on ${options.bus}: ${SEED}.`);
      const result = await runKillRounds({ ...options, seed: SEED });
      if (result.differences.length > 0) console.log(result.lines.join('\n'));
      expect(result.differences).toEqual([]);
      expect(result.rounds).toBe(options.rounds);
      expect(result.rows).toBeGreaterThan(1_000);
      console.log(`${result.rows} rows, ${JSON.stringify(result.strikes)}`);
    },
    LIMIT_MS,
  );
});
