/** A thousand rounds of kills: on the embedded bus, where they come quickly, and on Kafka, where brokers die as well. */
import type { Figures } from './bench.js';
import { runKillRounds } from './kill-rounds/run-kill-rounds.js';

const ROUNDS = { log: 850, kafka: 150 } as const;
const COMPARE_EVERY = 10;

export async function benchKills(): Promise<Figures> {
  const seed = Date.now() % 1_000_000;
  let [rounds, rows, differences] = [0, 0, 0];
  const from = performance.now();
  for (const bus of ['log', 'kafka'] as const) {
    const result = await runKillRounds({
      bus,
      rounds: ROUNDS[bus],
      compareEvery: COMPARE_EVERY,
      seed,
      onProgress: (text) => process.stderr.write(`${text}\n`),
    });
    rounds += result.rounds;
    rows += result.rows;
    differences += result.differences.length;
    process.stderr.write(
      `${bus}: ${JSON.stringify(result.strikes)} ${result.differences.slice(0, 20).join('; ')}\n`,
    );
  }
  return { rounds, rows, differences, seed, took_s: (performance.now() - from) / 1_000 };
}
