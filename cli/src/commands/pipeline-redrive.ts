/** `poolmeter pipeline redrive`: sends dead letters again, after what refused them was upgraded or mended. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PoolmeterError } from '@poolmeter/domain';
import { openBus, type EventBus } from '@poolmeter/event-bus';
import type { RedriveOutcome } from '@poolmeter/pipeline';
import { createLogger, readConfigFile } from '@poolmeter/service';
import type { Command } from 'commander';
import type { CommandContext } from '../command-context.js';
import { DEFAULT_DATA_DIR } from '../connect.js';
import { createPrinter } from '../printer.js';

interface RedriveFlags {
  readonly code?: string;
  readonly topic?: string;
  readonly limit?: string;
  readonly maxAttempts: string;
  readonly dryRun?: boolean;
  readonly dataDir: string;
  readonly json?: boolean;
}

export function addRedrive(pipeline: Command, context: CommandContext): void {
  pipeline
    .command('redrive')
    .description('send dead letters again to the topics that they came from')
    .option('--code <code>', 'only letters with this code, such as wire.unknown_schema')
    .option('--topic <topic>', 'only letters that came from this topic')
    .option('--limit <n>', 'at most this many letters')
    .option('--max-attempts <n>', 'leave letters that were refused this often', '5')
    .option('--dry-run', 'count them, and change nothing')
    .option('--data-dir <folder>', 'folder of "poolmeter up", where no bus is named', DEFAULT_DATA_DIR)
    .option('--json', 'print machine-readable output')
    .action(async (flags: RedriveFlags, command: Command) => {
      const limit = flags.limit === undefined ? undefined : aboveZero('--limit', flags.limit);
      const maxAttempts = aboveZero('--max-attempts', flags.maxAttempts);
      const { code, topic, dryRun } = flags;
      const bus = await busOf(flags, command, context);
      try {
        const { redriveDeadLetters } = await import('@poolmeter/pipeline');
        const { clock } = context;
        const options = { bus, clock, code, topic, limit, dryRun, maxAttempts };
        const outcome = await redriveDeadLetters(options);
        const print = createPrinter(context.terminal, flags.json === true);
        if (print.json) print.value(jsonOf(outcome, dryRun === true));
        else print.lines([sentenceOf(outcome, flags)]);
      } finally {
        await bus.close();
      }
    });
}

/** The bus that the pipeline's settings name, else the embedded one of a data folder. */
async function busOf(flags: RedriveFlags, command: Command, context: CommandContext): Promise<EventBus> {
  const app = await import('@poolmeter/pipeline');
  const file: unknown = command.parent?.opts()['config'];
  const settings = app.loadPipelineBusConfig(
    context.env,
    typeof file === 'string' ? readConfigFile(file) : {},
  );
  const logger = createLogger({ service: 'redrive', level: 'error' });
  const of = { clientId: 'poolmeter-redrive', prefix: app.PIPELINE_PREFIX, logger };
  if (settings.brokers !== undefined || settings.busDirectory !== undefined) return openBus(settings, of);
  const busDirectory = join(flags.dataDir, 'bus');
  if (existsSync(busDirectory)) return openBus({ ...settings, busDirectory }, of);
  throw new PoolmeterError(
    'config.invalid',
    `There is no bus in ${flags.dataDir}: name the folder of "poolmeter up" with --data-dir, or set ${app.PIPELINE_PREFIX}_BROKERS.`,
  );
}

function aboveZero(flag: string, text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new PoolmeterError('input.invalid', `${flag} must be a whole number above 0, not "${text}".`);
}

function jsonOf(outcome: RedriveOutcome, isDryRun: boolean): Record<string, unknown> {
  return {
    dry_run: isDryRun,
    redriven: outcome.redriven,
    redriven_by_topic: outcome.redrivenByTopic,
    others: outcome.others,
    exhausted: outcome.exhausted,
    unusable: outcome.unusable,
    cut_short: outcome.isCutShort,
  };
}

function sentenceOf(outcome: RedriveOutcome, flags: RedriveFlags): string {
  const where = Object.entries(outcome.redrivenByTopic).map(([topic, count]) => `${count} to ${topic}`);
  const done = `${flags.dryRun === true ? 'Would send' : 'Sent'} ${lettersOf(outcome.redriven)} again`;
  const left = [
    ...(outcome.others > 0 ? [`${outcome.others} of another code or topic`] : []),
    ...(outcome.exhausted > 0 ? [`${outcome.exhausted} refused ${flags.maxAttempts} times or more`] : []),
    ...(outcome.unusable > 0 ? [`${outcome.unusable} that do not hold the whole message`] : []),
    ...(outcome.isCutShort ? ['those that follow'] : []),
  ];
  const listed = where.length === 0 ? '' : ` (${where.join(', ')})`;
  return `${done}${listed}${left.length === 0 ? '' : `, and left ${left.join(', ')}`}.`;
}

function lettersOf(count: number): string {
  return count === 1 ? '1 dead letter' : `${count} dead letters`;
}
