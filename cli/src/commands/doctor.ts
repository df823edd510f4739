import { readConfigFile } from '@poolmeter/service';
import type { Command } from 'commander';
import type { CommandContext } from '../command-context.js';
import { DEFAULT_DATA_DIR, originOf } from '../connect.js';
import { apiCheck, findings, processCheck, storeChecks, type Check, type Stores } from '../doctor-checks.js';
import { readEndpoint, type Endpoint } from '../endpoint-file.js';
import { columnsOf, createPrinter } from '../printer.js';
import { DoesNotHold } from '../report-fault.js';
import { roles, type Role } from './role-definitions.js';

interface DoctorFlags {
  readonly dataDir: string;
  readonly config: readonly string[];
  readonly json?: boolean;
}

/** `poolmeter doctor`: what is wrong, and how to mend it. */
export function addDoctor(program: Command, context: CommandContext): void {
  program
    .command('doctor')
    .description('check settings and every dependency; exit 1 if anything is wrong')
    .option('--data-dir <folder>', 'folder of a running "poolmeter up"', DEFAULT_DATA_DIR)
    .option('--json', 'print machine-readable output')
    .option('--config <role=file...>', 'configuration file of a role, such as billing=billing.yaml', [])
    .action(async (flags: DoctorFlags) => {
      const found = await findings([
        ...(await installationChecks(context, flags.dataDir)),
        ...(await roleChecks(context, flags.config)),
      ]);
      const wrong = found.filter((one) => !one.ok);
      const print = createPrinter(context.terminal, flags.json === true);
      if (print.json) print.value({ ok: wrong.length === 0, checks: found });
      else {
        print.table(
          found.map((one) => ({ ...one, state: one.ok ? 'ok' : 'WRONG' })),
          columnsOf('check', 'state', 'found', 'mend'),
        );
      }
      if (wrong.length > 0)
        throw new DoesNotHold(
          `${wrong.length} of ${found.length} checks failed: ${wrong.map((one) => one.check).join(', ')}.`,
        );
    });
}

async function installationChecks({ env }: CommandContext, dataDir: string): Promise<Check[]> {
  const read = readEndpoint(dataDir);
  const endpoint = await read.catch(() => undefined);
  const origin = settled(() => originOf(env));
  const usesFolder = origin.value === undefined && origin.fault === undefined;
  return [
    ...(origin.fault === undefined
      ? []
      : [failed('POOLMETER_URL', origin.fault, 'Set POOLMETER_URL and POOLMETER_TOKEN, or neither.')]),
    ...(origin.value === undefined ? [] : [apiCheck(origin.value)]),
    ...(usesFolder ? [folderCheck(dataDir, read)] : []),
    ...(usesFolder && endpoint !== undefined ? runningChecks(endpoint) : []),
  ];
}

function settled<T>(work: () => T): { value?: T; fault?: unknown } {
  try {
    return { value: work() };
  } catch (fault) {
    return { fault };
  }
}

function failed(name: string, fault: unknown, mend: string): Check {
  return {
    name,
    mend,
    look: () => Promise.reject(fault instanceof Error ? fault : new Error(String(fault))),
  };
}

function folderCheck(dataDir: string, read: Promise<Endpoint | undefined>): Check {
  return {
    name: 'data folder',
    mend: 'Start "poolmeter up", name its folder with --data-dir, or set POOLMETER_URL and POOLMETER_TOKEN.',
    async look() {
      if ((await read) === undefined) throw new Error(`There is no endpoint.json in ${dataDir}.`);
      return `${dataDir} has an endpoint.json.`;
    },
  };
}

function runningChecks(endpoint: Endpoint): Check[] {
  const stores = { clickhouse: endpoint.clickhouse, postgres: endpoint.postgres, brokers: [], kafka: {} };
  return [processCheck(endpoint), apiCheck(endpoint), ...storeChecks('', stores)];
}

/** Only roles that something is set for: nobody runs all of them on one machine. */
async function roleChecks({ env }: CommandContext, files: readonly string[]): Promise<Check[]> {
  const fileOf = new Map(
    files.map((text) => [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)]),
  );
  const unknown = [...fileOf.keys()].filter((name) => !roles.some((role) => role.name === name));
  const wanted = roles.filter(
    (role) => fileOf.has(role.name) || Object.keys(env).some((name) => name.startsWith(`${role.prefix}_`)),
  );
  const checks = await Promise.all(
    wanted.map((role) => checksOfRole(role, { env, file: fileOf.get(role.name) })),
  );
  return [
    ...unknown.map((name) =>
      failed(
        '--config',
        new Error(`"${name}" is not a role.`),
        'Write ROLE=FILE, such as billing=billing.yaml.',
      ),
    ),
    ...checks.flat(),
  ];
}

async function checksOfRole(
  role: Role,
  of: { env: CommandContext['env']; file: string | undefined },
): Promise<Check[]> {
  const name = `${role.name} settings`;
  try {
    const { settings } = await role.prepare(of.env, of.file === undefined ? {} : readConfigFile(of.file));
    const sound: Check = { name, mend: '', look: () => Promise.resolve('They are complete and sound.') };
    return [sound, ...storeChecks(`${role.name}: `, storesOf(settings))];
  } catch (fault) {
    return [
      failed(name, fault, `Mend these settings; "poolmeter ${role.name} --check-config" shows the result.`),
    ];
  }
}

function storesOf(settings: Readonly<Record<string, unknown>>): Stores {
  const text = (key: string) => (typeof settings[key] === 'string' ? settings[key] : undefined);
  const url = text('clickhouseUrl');
  return {
    clickhouse:
      url === undefined
        ? undefined
        : {
            url: withUser(url, text('clickhouseUsername'), text('clickhousePassword')),
            database: text('clickhouseDatabase') ?? 'poolmeter',
          },
    postgres: text('postgresUrl'),
    brokers: Array.isArray(settings['brokers']) ? (settings['brokers'] as string[]) : [],
    // The settings were checked by the role's schema, which holds those of the bus.
    kafka: settings,
  };
}

function withUser(address: string, username: string | undefined, password: string | undefined): string {
  if (!URL.canParse(address)) return address;
  const url = new URL(address);
  if (username !== undefined && password !== undefined) {
    url.username = username;
    url.password = password;
  }
  return url.href;
}
