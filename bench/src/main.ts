/** `npm run bench -- NAME --json`: runs one benchmark and prints its figures. */
import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import type { Figures } from './bench.js';
import { benchStart } from './start.js';

const benches: Readonly<Record<string, () => Promise<Figures>>> = {
  start: benchStart,
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
      `${JSON.stringify({ bench: name, commit: commit(), cores: availableParallelism(), figures })}\n`,
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

function commit(): string {
  return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
}

await main(process.argv.slice(2));
