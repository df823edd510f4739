/** The command line as a whole: which commands there are, and how a run ends. */
import { PoolmeterError } from '@poolmeter/domain';
import { Command, CommanderError } from 'commander';
import type { CommandContext } from './command-context.js';
import { addBacktest } from './commands/backtest.js';
import { addBackup } from './commands/backup.js';
import { addAlertsBacktest } from './commands/alerts-backtest.js';
import { addDashboards } from './commands/dashboards.js';
import { addDoctor } from './commands/doctor.js';
import { addExport } from './commands/export.js';
import { addIncidents } from './commands/incidents.js';
import { addInvoices } from './commands/invoices.js';
import { addLeases } from './commands/leases.js';
import { addMigrate } from './commands/migrate.js';
import { addMoney } from './commands/money.js';
import { addPool } from './commands/pool.js';
import { addRoles } from './commands/roles.js';
import { addStatus } from './commands/status.js';
import { addTokens } from './commands/tokens.js';
import { addTop } from './commands/top.js';
import { addUp } from './commands/up.js';
import { addUsage } from './commands/usage.js';
import { PRODUCT_VERSION } from './product-version.js';
import { exitCodes, reportFault } from './report-fault.js';

const commandGroups = [
  addUp,
  addRoles,
  addAlertsBacktest,
  addMigrate,
  addBackup,
  addDoctor,
  addStatus,
  addTop,
  addPool,
  addIncidents,
  addLeases,
  addUsage,
  addMoney,
  addInvoices,
  addTokens,
  addExport,
  addDashboards,
  addBacktest,
];

/** Runs one command line and returns the exit code. Everything that goes wrong is told on stderr. */
export async function runCommandLine(args: readonly string[], context: CommandContext): Promise<number> {
  const program = createProgram(context);
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCodes.done;
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return exitCodes.done;
    const fault = thrown instanceof CommanderError ? usageFault(program, thrown, args) : thrown;
    const debug = program.opts()['debug'] === true;
    return reportFault(fault, { debug, write: (text) => context.terminal.writeError(text) });
  }
}

export function createProgram(context: CommandContext): Command {
  const program = new Command('poolmeter')
    .description('Observability and billing of a GPU pool.')
    .version(PRODUCT_VERSION)
    .option('--debug', 'print stack traces')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => {
        context.terminal.write(text);
      },
      // What commander would say is said once, in our form, when the run ends.
      writeErr: () => undefined,
    });
  for (const add of commandGroups) add(program, context);
  return program;
}

function usageFault(program: Command, fault: CommanderError, args: readonly string[]): PoolmeterError {
  return new PoolmeterError('input.invalid', usageSentence(program, fault, args), { cause: fault });
}

function usageSentence(program: Command, fault: CommanderError, args: readonly string[]): string {
  const named = program.commands.find(
    (command) => command.name() === args.find((arg) => !arg.startsWith('-')),
  );
  if (fault.code === 'commander.help') {
    const choices = (named ?? program).commands.map((command) => command.name()).join(', ');
    return named === undefined
      ? `Say what to do: ${choices}; "poolmeter --help" explains them.`
      : `Say what to do with ${named.name()}: ${choices}.`;
  }
  const [first = '', ...more] = fault.message
    .replace(/^error: /, '')
    .trim()
    .split('\n');
  const hint = more.map((line) => line.trim().replace(/^\(Did/, '(did')).join(' ');
  const sentence = `${first.replace(/\.$/, '')}${hint === '' ? '' : ` ${hint}`}`;
  const help = named === undefined ? 'poolmeter --help' : `poolmeter ${named.name()} --help`;
  return `${sentence.charAt(0).toUpperCase()}${sentence.slice(1)}: see "${help}".`;
}
