import { PoolmeterError } from '@poolmeter/domain';
import { defineConfig, loadConfig, secretText } from '@poolmeter/service';
import type { Command } from 'commander';
import { z } from 'zod';
import type { CommandContext } from '../command-context.js';
import { createPrinter, columnsOf } from '../printer.js';

export const MIGRATE_PREFIX = 'POOLMETER_MIGRATE';

export const migrateConfigSchema = defineConfig({
  clickhouseUrl: z.url({ protocol: /^https?$/, error: 'must be an http(s) address' }).optional(),
  clickhouseDatabase: z.string().min(1).default('poolmeter'),
  postgresUrl: secretText
    .regex(/^postgres(ql)?:\/\//, 'must be postgres://USER:PASSWORD@HOST:PORT/DATABASE')
    .optional(),
});

interface MigrateFlags {
  readonly clickhouse?: string;
  readonly postgres?: string;
  readonly json?: boolean;
}

interface Applied {
  readonly store: 'ClickHouse' | 'PostgreSQL';
  readonly set: string;
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

async function migrateMetrics({
  clickhouseUrl: url,
  clickhouseDatabase: database,
}: MigrateConfig): Promise<Applied[]> {
  if (url === undefined) return [];
  const { migrateClickHouse } = await import('../up/embedded-parts.js');
  const applied = await migrateClickHouse({ url, database });
  return applied
    .filter((one) => one.isNew)
    .map((one) => ({ store: 'ClickHouse', set: database, file: one.name }));
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
