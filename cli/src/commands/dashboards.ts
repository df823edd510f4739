import type { Command } from 'commander';
import { fileURLToPath } from 'node:url';
import type { CommandContext } from '../command-context.js';
import { columnsOf, createPrinter } from '../printer.js';
import { DoesNotHold } from '../report-fault.js';
import { addNoun } from './client-command.js';

/** The workspace's own folder, from `src/commands` as well as from `dist/commands`. */
const FOLDER = fileURLToPath(new URL('../../../dashboards', import.meta.url));

interface DashboardFlags {
  readonly dir: string;
  readonly json?: boolean;
}

/** `poolmeter dashboards`: the generated Grafana files. */
export function addDashboards(program: Command, { terminal }: CommandContext): void {
  const dashboards = addNoun(program, 'dashboards', 'the generated Grafana boards and provisioning files');
  withFlags(dashboards.command('build').description('write the files')).action(
    async (flags: DashboardFlags) => {
      const { writeDashboards } = await import('@poolmeter/dashboards');
      const written = await writeDashboards(flags.dir);
      const print = createPrinter(terminal, flags.json === true);
      if (print.json) print.value({ written });
      else print.lines(written);
    },
  );
  withFlags(
    dashboards
      .command('check')
      .description('compare the files with what would be written; exit 1 when they differ'),
  ).action(async (flags: DashboardFlags) => {
    const { checkDashboards } = await import('@poolmeter/dashboards');
    const mismatches = await checkDashboards(flags.dir);
    const print = createPrinter(terminal, flags.json === true);
    if (print.json) print.value({ ok: mismatches.length === 0, mismatches });
    else if (mismatches.length === 0) print.lines(['The files are those that would be written.']);
    else
      print.table(
        mismatches.map((one) => ({ ...one })),
        columnsOf('file', 'reason'),
      );
    if (mismatches.length > 0) {
      throw new DoesNotHold(
        `${mismatches.length} files in ${flags.dir} differ: run "poolmeter dashboards build".`,
      );
    }
  });
}

function withFlags(command: Command): Command {
  return command
    .option('--dir <folder>', 'folder of the files', FOLDER)
    .option('--json', 'print machine-readable output');
}
