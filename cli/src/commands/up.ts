import { Option, type Command } from 'commander';
import type { CommandContext } from '../command-context.js';
import { DEFAULT_DATA_DIR } from '../connect.js';
import { upOptions, type UpFlags } from '../up/up-options.js';

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'];

/** `poolmeter up`: everything in one place. */
export function addUp(program: Command, { terminal }: CommandContext): void {
  program
    .command('up')
    .description('run everything in one place, on embedded parts unless an address is given')
    .option('--data-dir <folder>', 'folder for data, logs and endpoint.json', DEFAULT_DATA_DIR)
    .option('--port <number>', 'port of the API and the console; 0 takes any free one', '8080')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--demo', 'simulate a pool; the default unless --scrape or --kernel-log is given')
    .option('--no-demo', 'simulate nothing')
    .addOption(repeated('--scrape <url>', 'address of a dcgm-exporter; NODE=URL names the node'))
    .addOption(repeated('--kernel-log <file>', 'kernel log of a node; NODE=FILE names the node'))
    .option('--scrape-interval <duration>', 'from one scrape to the next', '10s')
    .option('--kafka <brokers>', 'HOST:PORT, separated by commas, instead of the embedded log')
    .option('--clickhouse <url>', 'instead of the embedded ClickHouse')
    .option('--postgres <url>', 'instead of the embedded PostgreSQL')
    .option('--pools <file>', 'pools.yaml: pools, their schedulers and policies')
    .addOption(
      new Option('--log-level <level>', 'what poolmeter.log holds').choices(logLevels).default('info'),
    )
    .action(async (flags: UpFlags) => {
      const options = upOptions(flags);
      // Loaded late: a client command needs neither the engines nor the roles.
      const { runUp } = await import('../up/run-up.js');
      await runUp(options, {
        print: (line) => {
          terminal.write(`${line}\n`);
        },
        isTerminal: terminal.isTerminal,
      });
    });
}

/** A flag that may be given more than once. */
export function repeated(flags: string, summary: string): Option {
  return new Option(flags, `${summary} (repeatable)`)
    .default([], 'none')
    .argParser((value: string, before: string[]) => [...before, value]);
}
