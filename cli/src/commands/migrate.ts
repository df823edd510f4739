import { PoolmeterError } from '@poolmeter/domain';
import { defineConfig, loadConfig, secretText, wholeNumber } from '@poolmeter/service';
import type { Command } from 'commander';
import { z } from 'zod';
import type { CommandContext } from '../command-context.js';
import { createPrinter, columnsOf } from '../printer.js';

export const MIGRATE_PREFIX = 'POOLMETER_MIGRATE';

export const migrateConfigSchema = defineConfig({
  clickhouseUrl: z.url({ protocol: /^https?$/, error: 'must be an http(s) address' }).optional(),
  clickhouseDatabase: z.string().min(1).default('poolmeter'),
  clickhouseCluster: z
    .string()
    .regex(/^[A-Za-z_]\w*$/, 'write the name that stands in remote_servers')
    .optional()
    .describe('Cluster of ClickHouse servers: replicated tables, those of samples sharded by GPU.'),
  clickhouseReaderUsername: z
    .string()
    .regex(/^[A-Za-z_]\w*$/, 'write letters, digits and _')
    .default('grafana_reader')
    .describe('The user that may only read, within limits; made when there is a password for it.'),
  clickhouseReaderPassword: secretText.optional(),
  retentionRawDays: days('raw samples', 30),
  retentionMinutesDays: days('samples by minute', 400),
  retentionHoursDays: days('samples by hour', 1_826),
  postgresUrl: secretText
    .regex(/^postgres(ql)?:\/\//, 'must be postgres://USER:PASSWORD@HOST:PORT/DATABASE')
    .optional(),
});

function days(what: string, initially: number) {
  return wholeNumber
    .optional()
    .describe(`How many days ${what} are kept; unchanged when absent, ${initially} in a new database.`);
}

interface MigrateFlags {
  readonly clickhouse?: string;
  readonly postgres?: string;
  readonly json?: boolean;
}

interface Applied {
  readonly store: 'ClickHouse' | 'PostgreSQL';
  readonly set: string;
  /** Of a migration; of a changed retention, what it is now. */
  readonly file: string;
}

/** `poolmeter migrate`: brings both stores forward; a second run changes nothing. */
export function addMigrate(program: Command, context: CommandContext): void {
  program
    .command('migrate')
    .description('apply the ClickHouse and PostgreSQL migrations that are missing')
    .option('--clickhouse <url>', `ClickHouse; or ${MIGRATE_PREFIX}_CLICKHOUSE_URL`)
    .option('--postgres <url>', `PostgreSQL; or ${MIGRATE_PREFIX}_POSTGRES_URL`)
    .option('--json', 'print machine-readable output')
    .action(async (flags: MigrateFlags) => {
      const config = configOf(context, flags);
      const applied = [...(await migrateMetrics(config)), ...(await migrateRelational(config))];
      const print = createPrinter(context.terminal, flags.json === true);
      if (print.json) print.value({ applied });
      else if (applied.length === 0) print.lines(['Nothing was missing.']);
      else
        print.table(
          applied.map((one) => ({ ...one })),
          columnsOf('store', 'set', 'file'),
        );
      for (const left of notNamed(config)) print.note(`${left} was left alone: no address was given for it.`);
    });
}

type MigrateConfig = z.output<typeof migrateConfigSchema>;

function configOf({ env }: CommandContext, flags: MigrateFlags): MigrateConfig {
  const given = {
    ...(flags.clickhouse === undefined ? {} : { [`${MIGRATE_PREFIX}_CLICKHOUSE_URL`]: flags.clickhouse }),
    ...(flags.postgres === undefined ? {} : { [`${MIGRATE_PREFIX}_POSTGRES_URL`]: flags.postgres }),
  };
  const config = loadConfig(migrateConfigSchema, { env: { ...env, ...given }, prefix: MIGRATE_PREFIX });
  if (config.clickhouseUrl !== undefined || config.postgresUrl !== undefined) return config;
  throw new PoolmeterError(
    'config.invalid',
    'There is nothing to migrate: give --clickhouse URL, --postgres URL or both.',
  );
}

async function migrateMetrics(config: MigrateConfig): Promise<Applied[]> {
  const { clickhouseUrl: url, clickhouseDatabase: database, clickhouseReaderPassword: password } = config;
  if (url === undefined) return [];
  const { migrateClickHouse } = await import('../up/embedded-parts.js');
  const { applied, changed } = await migrateClickHouse({
    url,
    database,
    cluster: config.clickhouseCluster,
    retention: {
      raw: config.retentionRawDays,
      minutes: config.retentionMinutesDays,
      hours: config.retentionHoursDays,
    },
    reader: password === undefined ? undefined : { username: config.clickhouseReaderUsername, password },
  });
  const files = applied.filter((one) => one.isNew).map((one) => one.name);
  const rules = changed.map((one) => `${one.table}: kept for ${one.days} days`);
  return [...files, ...rules].map((file) => ({ store: 'ClickHouse', set: database, file }));
}

async function migrateRelational({ postgresUrl: url }: MigrateConfig): Promise<Applied[]> {
  if (url === undefined) return [];
  const [{ runMigrations }, { migrationSets }] = await Promise.all([
    import('@poolmeter/relational-store'),
    import('../migration-sets.js'),
  ]);
  const applied = await runMigrations({ url, sets: [...migrationSets] });
  return applied.map(({ set, file }) => ({ store: 'PostgreSQL', set, file }));
}

function notNamed(config: MigrateConfig): string[] {
  return [
    ...(config.clickhouseUrl === undefined ? ['ClickHouse'] : []),
    ...(config.postgresUrl === undefined ? ['PostgreSQL'] : []),
  ];
}
