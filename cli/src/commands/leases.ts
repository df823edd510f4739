import { Option, type Command } from 'commander';
import { writeFile } from 'node:fs/promises';
import { messageOf, PoolmeterError } from '@poolmeter/domain';
import type { CommandContext } from '../command-context.js';
import type { Row } from '../printer.js';
import {
  addClientCommand,
  addList,
  addNoun,
  addShow,
  queryOf,
  textFlag,
  type ClientCall,
  type Filter,
} from './client-command.js';
import { readInput } from './read-input.js';
import { writeOutput } from './write-output.js';

const PAGE_ROWS = 1_000;

const filters: readonly Filter[] = [
  { flags: '--customer <id>', summary: 'of one customer', parameter: 'customer_id' },
  { flags: '--pool <pool>', summary: 'of one pool', parameter: 'pool' },
  { flags: '--gpu <uuid>', summary: 'of one GPU', parameter: 'gpu_uuid' },
  { flags: '--state <state>', summary: 'running, ended, cancelled or incomplete', parameter: 'state' },
  { flags: '--from <instant>', summary: 'running at or after', parameter: 'from' },
  { flags: '--to <instant>', summary: 'started before', parameter: 'to' },
];

/** `poolmeter leases`: who had which GPU when, and the CSV file of it. */
export function addLeases(program: Command, context: CommandContext): void {
  const leases = addNoun(program, 'leases', 'who had which GPU when');
  addList(leases, context, {
    path: '/v1/leases',
    summary: 'list leases by their start',
    filters,
    columns: [
      'lease_id',
      'customer_id',
      'project',
      'pool',
      'node',
      'gpu_uuid',
      'share',
      'pricing_mode',
      'state',
      'started_at',
      'ended_at',
    ],
  });
  addShow(leases, context, { path: '/v1/leases', summary: 'show one lease' });
  addClientCommand(leases, context, {
    usage: 'import <file>',
    summary: 'import a leases CSV; the same file twice changes nothing',
    options: [new Option('--skip-bad-rows', 'import the rest and write FILE.rejected.csv')],
    run: importLeases,
  });
  addClientCommand(leases, context, {
    usage: 'export',
    summary: 'write leases as the CSV that an import reads',
    options: [
      ...filters.map((filter) => new Option(filter.flags, filter.summary)),
      new Option('--out <file>', 'stdout when absent'),
    ],
    run: exportLeases,
  });
}

interface ImportAnswer {
  readonly imported: number;
  readonly unchanged: number;
  readonly rejected: readonly Row[];
  readonly rejected_csv: string;
  readonly created_customers: readonly string[];
  readonly created_providers: readonly string[];
}

async function importLeases({ client, print, args, flags }: ClientCall): Promise<void> {
  const file = args[0] ?? '';
  const answer = await client.post<ImportAnswer>('/v1/leases/import', await readInput(file), {
    contentType: 'text/csv',
    query: { skip_bad_rows: String(flags['skipBadRows'] === true) },
  });
  const rejectedFile = answer.rejected.length === 0 ? null : `${file}.rejected.csv`;
  if (rejectedFile !== null) await writeRejected(rejectedFile, answer.rejected_csv);
  const { rejected_csv: _, ...counts } = answer;
  if (print.json) {
    print.value({ ...counts, rejected_file: rejectedFile });
    return;
  }
  print.lines([
    `Imported ${answer.imported} leases; ${answer.unchanged} were known already.`,
    ...created('customers', answer.created_customers),
    ...created('providers', answer.created_providers),
    ...(rejectedFile === null
      ? []
      : [`${answer.rejected.length} bad rows were skipped and are in ${rejectedFile}:`]),
    ...answer.rejected.map(({ line, reason }) => `  line ${String(line)}: ${String(reason)}`),
  ]);
}

function created(what: string, ids: readonly string[]): string[] {
  return ids.length === 0 ? [] : [`Created ${what} that were not known before: ${ids.join(', ')}.`];
}

async function writeRejected(path: string, csv: string): Promise<void> {
  try {
    await writeFile(path, csv);
  } catch (cause) {
    const message = `The good rows are imported, but ${path} cannot be written: ${messageOf(cause)}.`;
    throw new PoolmeterError('input.invalid', message, { cause });
  }
}

const csvColumns = [
  'lease_id',
  'customer_id',
  'provider_id',
  'pool',
  'node',
  'gpu_uuid',
  'gpu_index',
  'gpu_model',
  'share',
  'started_at',
  'ended_at',
  'pricing_mode',
  'project',
  'gpu_instance',
];

interface ListedLease extends Row {
  readonly state: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Labels become columns, as in an import; which ones there are is known when every lease is. */
async function exportLeases({ client, print, flags, context }: ClientCall): Promise<void> {
  const leases: ListedLease[] = [];
  let leftOut = 0;
  for await (const lease of client.list<ListedLease>('/v1/leases', {
    limit: PAGE_ROWS,
    ...queryOf(filters, flags),
  })) {
    // An import would take a cancelled lease for one that counts.
    if (lease.state === 'running' || lease.state === 'ended') leases.push(lease);
    else leftOut += 1;
  }
  const { toCsv } = await import('@poolmeter/http-api');
  const labels = [...new Set(leases.flatMap((lease) => Object.keys(lease.labels)))].sort();
  const csv = toCsv(
    leases.map((lease) => ({ ...lease.labels, ...lease })),
    [...csvColumns, ...labels],
  );
  await writeOutput(csv, { out: textFlag(flags, 'out'), terminal: context.terminal });
  if (leftOut > 0) print.note(`${leftOut} cancelled or incomplete leases are left out.`);
}
