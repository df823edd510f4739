import { isPoolmeterError } from '@poolmeter/domain';
import type { Command } from 'commander';
import type { ApiClient } from '../api-client.js';
import type { CommandContext } from '../command-context.js';
import type { Printer, Row } from '../printer.js';
import { cellText } from '../printer.js';
import { addClientCommand, segment } from './client-command.js';

interface Explanation extends Row {
  readonly line: Row;
  readonly invoice: Row;
  readonly formula: string;
  readonly price_version: string;
  readonly rounding: string;
  readonly cut_points: readonly string[];
  readonly exclusions: readonly Row[];
  readonly evidence: Row | null;
}

const CUT_POINTS_SHOWN_MAX = 10;

/** `invoices explain`: why a line, or every line of an invoice, is what it is. */
export function addExplain(invoices: Command, context: CommandContext): void {
  addClientCommand(invoices, context, {
    usage: 'explain <id>',
    summary: 'tell why a line, or every line of an invoice, is what it is',
    async run({ client, print, args }) {
      const line = await findLine(client, segment(args));
      if (line !== undefined) {
        if (print.json) print.value(line);
        else printExplanation(print, line);
        return;
      }
      const all = await explainInvoice(client, segment(args));
      if (print.json) print.value({ data: all });
      else for (const one of all) printExplanation(print, one);
    },
  });
}

/** Undefined when the id is not that of a line; it may be an invoice's. */
async function findLine(client: ApiClient, id: string): Promise<Explanation | undefined> {
  try {
    return await client.get<Explanation>(`/v1/invoice-lines/${id}/explain`);
  } catch (fault) {
    if (isPoolmeterError(fault) && fault.code === 'not_found') return undefined;
    throw fault;
  }
}

async function explainInvoice(client: ApiClient, id: string): Promise<Explanation[]> {
  const { lines } = await client.get<{ lines: readonly { id: string }[] }>(`/v1/invoices/${id}`);
  const all: Explanation[] = [];
  for (const line of lines) {
    all.push(await client.get<Explanation>(`/v1/invoice-lines/${encodeURIComponent(line.id)}/explain`));
  }
  return all;
}

function printExplanation(print: Printer, explanation: Explanation): void {
  const { line, formula, price_version, rounding, cut_points, exclusions, evidence } = explanation;
  const more = cut_points.length - CUT_POINTS_SHOWN_MAX;
  print.lines([`${cellText(line['description'])}: ${cellText(line['amount'])}`]);
  print.fields({
    line: line['id'],
    gpu_hours: line['gpu_hours'],
    unit_price: line['unit_price'],
    formula,
    price_version,
    rounding,
    cut_at: [...cut_points.slice(0, CUT_POINTS_SHOWN_MAX), ...(more > 0 ? [`${more} more`] : [])],
    exclusions,
    evidence,
  });
  print.lines(['']);
}
