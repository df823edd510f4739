import { isPoolmeterError, PoolmeterError } from '@poolmeter/domain';
import { Option, type Command } from 'commander';
import type { CommandContext } from '../command-context.js';
import { columnsOf, type Column, type Printer, type Row } from '../printer.js';
import { DoesNotHold } from '../report-fault.js';
import {
  addClientCommand,
  addList,
  addNoun,
  printObject,
  segment,
  textFlag,
  type ClientCall,
} from './client-command.js';
import { addExplain } from './explain-invoice.js';
import { writeOutput } from './write-output.js';

const month: Column = { head: 'period', value: (row) => (row['period'] as Row)['month'] };
const monthOption = () => new Option('--period <month>', 'such as 2026-03').makeOptionMandatory();

interface Invoice extends Row {
  readonly lines: readonly Row[];
}

/** `poolmeter invoices`: drafts, final invoices, and the proof that they are right. */
export function addInvoices(program: Command, context: CommandContext): void {
  const invoices = addNoun(program, 'invoices', 'what customers are charged, and why');
  addList(invoices, context, {
    path: '/v1/invoices',
    summary: 'list invoices and drafts, newest period first',
    filters: [
      { flags: '--customer <id>', summary: 'of one customer', parameter: 'customer_id' },
      { flags: '--period <month>', summary: 'of one month, such as 2026-03', parameter: 'period' },
      { flags: '--status <status>', summary: 'draft, final or void', parameter: 'status' },
    ],
    columns: ['id', 'number', 'status', 'customer_id', month, 'subtotal', 'tax', 'total', 'updated_at'],
  });
  addClientCommand(invoices, context, {
    usage: 'show <id>',
    summary: 'show one invoice with its lines, by id or number',
    async run({ client, print, args }) {
      printInvoice(print, await client.get<Invoice>(`/v1/invoices/${segment(args)}`));
    },
  });
  addClientCommand(invoices, context, {
    usage: 'preview',
    summary: 'show the invoice of a period as it would be now',
    options: [new Option('--customer <id>', 'whose').makeOptionMandatory(), monthOption()],
    async run({ client, print, flags }) {
      const body = { customer_id: textFlag(flags, 'customer'), period: textFlag(flags, 'period') };
      printInvoice(print, await client.post<Invoice>('/v1/invoices/preview', body));
    },
  });
  addClientCommand(invoices, context, {
    usage: 'finalize',
    summary: 'make the invoices of a period final; exit 1 when one cannot be',
    options: [monthOption(), new Option('--customer <id>', 'of one customer; of all when absent')],
    run: finalize,
  });
  addClientCommand(invoices, context, {
    usage: 'void <id>',
    summary: 'take a final invoice back',
    options: [new Option('--reason <text>', 'why; kept with the invoice').makeOptionMandatory()],
    async run({ client, print, args, flags }) {
      const body = { reason: textFlag(flags, 'reason') };
      printInvoice(print, await client.post<Invoice>(`/v1/invoices/${segment(args)}/void`, body));
    },
  });
  addClientCommand(invoices, context, {
    usage: 'verify <id>',
    summary: 'compute an invoice again from what it pinned; exit 1 when it differs',
    run: verify,
  });
  addExplain(invoices, context);
  addClientCommand(invoices, context, {
    usage: 'pdf <id>',
    summary: 'write the invoice as a PDF',
    options: [new Option('--out <file>', 'ID.pdf when absent')],
    run: writePdf,
  });
}

function printInvoice(print: Printer, invoice: Invoice): void {
  if (print.json) {
    print.value(invoice);
    return;
  }
  const { lines, ...head } = invoice;
  print.fields(head);
  print.lines(['']);
  print.table(lines, columnsOf('id', 'kind', 'description', 'gpu_hours', 'unit_price', 'amount'));
}

interface Closed {
  readonly data: readonly {
    customer_id: string;
    outcome: string;
    invoice: Row | null;
    message: string | null;
  }[];
}

async function finalize({ client, print, flags }: ClientCall): Promise<void> {
  const body = { period: textFlag(flags, 'period'), customer_id: textFlag(flags, 'customer') };
  const closed = await client.post<Closed>('/v1/invoices/finalize', body);
  if (print.json) print.value(closed);
  else {
    print.table(closed.data, [
      ...columnsOf('customer_id', 'outcome'),
      { head: 'number', value: (row) => (row['invoice'] as Row | null)?.['number'] },
      { head: 'total', value: (row) => (row['invoice'] as Row | null)?.['total'] },
      ...columnsOf('message'),
    ]);
  }
  const left = closed.data.filter((one) => one.outcome === 'held' || one.outcome === 'failed');
  if (left.length === 0) return;
  const reasons = left.map(
    (one) => `${one.customer_id} (${(one.message ?? one.outcome).replace(/\.$/, '')})`,
  );
  throw new DoesNotHold(`Not final: ${reasons.join('; ')}.`);
}

interface Verification extends Row {
  readonly match: boolean;
  readonly differences: readonly Row[];
}

async function verify({ client, print, args }: ClientCall): Promise<void> {
  const answer = await client.post<Verification>(`/v1/invoices/${segment(args)}/verify`);
  if (print.json) print.value(answer);
  else {
    const { differences, ...head } = answer;
    print.fields(head);
    if (differences.length > 0)
      print.table(differences, columnsOf('line_id', 'field', 'stored', 'recomputed'));
  }
  if (!answer.match)
    throw new DoesNotHold(`Invoice ${args[0] ?? ''} does not match what it was computed from.`);
}

async function writePdf({ client, print, args, flags, context }: ClientCall): Promise<void> {
  const id = args[0] ?? '';
  const out = textFlag(flags, 'out') ?? `${id}.pdf`;
  const path = `/v1/invoices/${segment(args)}`;
  const answer = await client.getRaw(`${path}.pdf`, {}, 'application/pdf').catch(async (fault: unknown) => {
    if (!isPoolmeterError(fault) || fault.code !== 'not_found') throw fault;
    // Tells an unknown invoice from a server that makes no PDFs.
    await client.get(path);
    const message = `The poolmeter at ${client.url} makes no PDFs: use "poolmeter invoices show ${id}".`;
    throw new PoolmeterError('input.invalid', message, { cause: fault });
  });
  await writeOutput(new Uint8Array(await answer.arrayBuffer()), { out, terminal: context.terminal });
  printObject(print, { written: out });
}
