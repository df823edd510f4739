/** `npm run bench -- NAME --json`: runs one benchmark and prints its figures. */
import { execFileSync } from 'node:child_process';
import { availableParallelism, cpus, totalmem } from 'node:os';
import type { Figures } from './bench.js';
import { benchBacktest } from './backtest.js';
import { benchBilling } from './billing.js';
import { benchFaults } from './faults.js';
import { benchKills } from './kills.js';
import { benchLatency } from './latency.js';
import { benchPipeline } from './pipeline.js';
import { benchQueries } from './queries.js';
import { benchStart } from './start.js';
import { benchStorage } from './storage.js';
import { heldAgainstTargets } from './targets.js';

const benches: Readonly<Record<string, () => Promise<Figures>>> = {
  backtest: benchBacktest,
  billing: benchBilling,
  faults: benchFaults,
  kills: benchKills,
  latency: () => benchLatency(),
  pipeline: benchPipeline,
  queries: benchQueries,
  start: benchStart,
  storage: benchStorage,
};

async function main(args: readonly string[]): Promise<void> {
  const name = args.find((arg) => !arg.startsWith('--')) ?? '';
  const bench = benches[name];
  if (bench === undefined) {
    process.stderr.write(`Name a benchmark: ${Object.keys(benches).join(', ')}.\n`);
    process.exitCode = 2;
    return;
  }
  const figures = rounded(await bench());
  if (args.includes('--json')) {
    process.stdout.write(
      `${JSON.stringify({ bench: name, commit: commit(), ...machine(), figures, targets: heldAgainstTargets(name, figures) })}\n`,
    );
    return;
  }
  for (const [key, value] of Object.entries(figures)) process.stdout.write(`${key.padEnd(32)} ${value}\n`);
}

function rounded(figures: Figures): Figures {
  return Object.fromEntries(
    Object.entries(figures).map(([key, value]) => [key, Number(value.toPrecision(6))]),
  );
}

function machine() {
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? '',
    memory_gigabytes: Math.round(totalmem() / 1e9),
    node: process.version,
  };
}

function commit(): string {
  return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
}

await main(process.argv.slice(2));
