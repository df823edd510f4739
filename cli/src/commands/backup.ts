import type { Command } from 'commander';
import type { CommandContext } from '../command-context.js';
import { DEFAULT_DATA_DIR } from '../connect.js';
import type { PlaceFlags } from '../backup/backup-places.js';
import type { Manifest } from '../backup/manifest.js';
import { createPrinter } from '../printer.js';

interface Flags extends PlaceFlags {
  readonly json?: boolean;
}

/** `poolmeter backup DIR` and `poolmeter restore DIR`: ClickHouse and PostgreSQL together. */
export function addBackup(program: Command, context: CommandContext): void {
  const { terminal, clock } = context;
  const onTable = (table: string, rows: bigint) => {
    if (terminal.isTerminal) terminal.writeError(`${table}: ${rows} rows\n`);
  };
  placed(program.command('backup <folder>'))
    .description('copy ClickHouse and PostgreSQL into a new folder, while they are used')
    .option('--kafka <brokers>', 'HOST:PORT, separated by commas: note where consumers stand')
    .action(async (folder: string, flags: Flags) => {
      const [{ placesToRead }, { takeBackup }] = await Promise.all([
        import('../backup/backup-places.js'),
        import('../backup/take-backup.js'),
      ]);
      const places = await placesToRead(flags);
      try {
        const manifest = await takeBackup({ folder, places, clock, onTable });
        printSummary(context, flags, { folder, manifest, done: 'Backed up' });
      } finally {
        await places.close();
      }
    });
  placed(program.command('restore <folder>'))
    .description('fill an empty data folder, or empty servers, from a backup')
    .action(async (folder: string, flags: Flags) => {
      const [{ placesToFill }, { checkBackup, restoreBackup }] = await Promise.all([
        import('../backup/backup-places.js'),
        import('../backup/restore-backup.js'),
      ]);
      const manifest = await checkBackup(folder);
      const places = await placesToFill(flags);
      try {
        await restoreBackup({ folder, manifest, places, onTable });
        printSummary(context, flags, { folder, manifest, done: 'Restored' });
      } finally {
        await places.close();
      }
    });
}

function placed(command: Command): Command {
  return command
    .option('--data-dir <folder>', 'of "poolmeter up", running or not', DEFAULT_DATA_DIR)
    .option('--clickhouse <url>', 'a server instead; with --postgres')
    .option('--postgres <url>', 'a server instead; with --clickhouse')
    .option('--json', 'print machine-readable output');
}

function printSummary(
  { terminal }: CommandContext,
  { json }: Flags,
  { folder, manifest, done }: { folder: string; manifest: Manifest; done: string },
): void {
  const print = createPrinter(terminal, json === true);
  const rowsOf = (tables: readonly { readonly rows: bigint }[]) =>
    Number(tables.reduce((sum, { rows }) => sum + rows, 0n));
  const summary = {
    folder,
    taken_at: manifest.clickhouse.taken_at,
    settled: manifest.clickhouse.settled,
    bytes: manifest.files.reduce((sum, { bytes }) => sum + bytes, 0),
    clickhouse_rows: rowsOf(manifest.clickhouse.tables),
    postgres_rows: rowsOf(manifest.postgres.tables),
  };
  if (print.json) print.value(summary);
  else {
    print.lines([
      `${done} ${summary.clickhouse_rows} rows of ClickHouse and ${summary.postgres_rows} rows of PostgreSQL, as of ${summary.taken_at}.`,
    ]);
  }
  if (!summary.settled) {
    print.note(
      'Inserts never paused while it was taken, so a rollup may be one insert ahead: reconcile after a restore.',
    );
  }
}
