import { Option, type Command } from 'commander';
import type { AlertsDatabase, FaultIncident, PolicyComparison, PolicyOutcome } from '@poolmeter/alerts';
import {
  formatGpuHours,
  formatInstant,
  gpuHours,
  Money,
  parseInstant,
  PoolmeterError,
  times,
} from '@poolmeter/domain';
import type { CommandContext } from '../command-context.js';
import { DEFAULT_DATA_DIR } from '../connect.js';
import { readEndpoint } from '../endpoint-file.js';
import { columnsOf, createPrinter } from '../printer.js';

interface BacktestFlags {
  readonly policy: string;
  readonly from: string;
  readonly to: string;
  readonly dataDir: string;
  readonly gpuHourPrice?: string;
  readonly json?: boolean;
}

/** `poolmeter alerts backtest`: what a changed policy would have said of the past, and what it would have cost. */
export function addAlertsBacktest(program: Command, context: CommandContext): void {
  const alerts = program.commands.find((command) => command.name() === 'alerts');
  if (alerts === undefined)
    throw new Error('Invariant broken: the role "alerts" is added before its backtest.');
  const command = alerts
    .command('backtest')
    .description('tell what a changed policy would have said of the past')
    .requiredOption('--policy <file>', 'the changed fault policy')
    .requiredOption('--from <instant>', 'RFC 3339')
    .requiredOption('--to <instant>', 'RFC 3339, exclusive')
    .addOption(new Option('--gpu-hour-price <money>', 'such as "2.50 USD": shows the credit as money'))
    .option('--json', 'print machine-readable output')
    .option('--data-dir <folder>', 'folder of a running "poolmeter up"', DEFAULT_DATA_DIR);
  command.action(async () => {
    const flags: BacktestFlags = command.opts();
    const print = createPrinter(context.terminal, flags.json === true);
    const price = flags.gpuHourPrice === undefined ? undefined : moneyOf(flags.gpuHourPrice);
    const found = await backtest(flags);
    const policies = [found.before, found.after].map((one) => outcomeRow(one, price));
    const [added, removed] = [found.added.map(incidentRow), found.removed.map(incidentRow)];
    if (print.json) {
      print.value({ policies, added, removed });
      return;
    }
    const columns = [
      'policy',
      'incidents',
      'credited_gpu_hours',
      'held_gpu_hours',
      'credit',
      'lead_time_s_median',
    ];
    print.table(policies, columnsOf(...columns));
    const lineOf = (sign: string) => (one: ReturnType<typeof incidentRow>) =>
      `${sign} ${one.opened_at} ${one.code} ${one.node} ${one.gpu_uuid} (class ${one.billing_class})`;
    print.lines([
      `${added.length} incidents more, ${removed.length} fewer.`,
      ...added.map(lineOf('+')),
      ...removed.map(lineOf('-')),
    ]);
  });
}

async function backtest(flags: BacktestFlags): Promise<PolicyComparison> {
  const app = await import('@poolmeter/alerts');
  const [{ openMetricsStore }, { openRelationalStore }] = await Promise.all([
    import('@poolmeter/metrics-store'),
    import('@poolmeter/relational-store'),
  ]);
  const after = app.loadFaultPolicy(flags.policy);
  const before = app.loadFaultPolicy(app.defaultPolicyFile);
  const span = { from: parseInstant(flags.from), to: parseInstant(flags.to) };
  if (span.to <= span.from) throw new PoolmeterError('input.invalid', '--to must be after --from.');
  const endpoint = await readEndpoint(flags.dataDir);
  if (endpoint === undefined) {
    throw new PoolmeterError(
      'dependency.unavailable',
      `No poolmeter runs in ${flags.dataDir}: start one with "poolmeter up" or name its folder with --data-dir.`,
    );
  }
  const { url, database } = endpoint.clickhouse;
  const metrics = openMetricsStore({ url, database, applicationName: 'backtest' });
  const relational = openRelationalStore<AlertsDatabase>({
    url: endpoint.postgres,
    applicationName: 'backtest',
  });
  try {
    return await app.backtestPolicy({ metrics, relational }, { before, after, span });
  } finally {
    await metrics.close();
    await relational.close();
  }
}

function moneyOf(text: string): Money {
  const [, amount, currency] = /^(\d+(?:\.\d+)?) ([A-Z]{3})$/.exec(text.trim()) ?? [];
  if (amount === undefined || currency === undefined) {
    throw new PoolmeterError('input.invalid', `--gpu-hour-price must be like "2.50 USD", not "${text}".`);
  }
  return Money.of(amount, currency);
}

function outcomeRow(outcome: PolicyOutcome, price: Money | undefined) {
  const leads = [...outcome.leadTimesMs].sort((a, b) => a - b);
  const median = leads[Math.floor(leads.length / 2)];
  return {
    policy: outcome.version,
    incidents: outcome.incidents,
    incidents_by_code: Object.fromEntries([...outcome.byCode].sort(([a], [b]) => (a < b ? -1 : 1))),
    credited_gpu_hours: formatGpuHours(outcome.gpuTime.C),
    held_gpu_hours: formatGpuHours(outcome.gpuTime.H),
    credit:
      price === undefined
        ? null
        : Money.round(times(gpuHours(outcome.gpuTime.C), price.toFraction()), price.currency).toString(),
    lead_time_s_median: median === undefined ? null : Math.round(median / 1_000),
  };
}

function incidentRow(incident: FaultIncident) {
  return {
    code: incident.code,
    node: incident.node,
    gpu_uuid: incident.gpuUuid,
    billing_class: incident.fault.billing_class,
    opened_at: formatInstant(incident.openedAt),
    cleared_at: incident.clearedAt === undefined ? null : formatInstant(incident.clearedAt),
  };
}
