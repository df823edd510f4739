import type { Command } from 'commander';
import type { CommandContext } from '../command-context.js';
import { summaryLines } from '../summary-text.js';
import { readSummary, summaryToJson } from '../summary.js';
import { addClientCommand } from './client-command.js';

/** `poolmeter status`: the pool in a few lines. */
export function addStatus(program: Command, context: CommandContext): void {
  addClientCommand(program, context, {
    usage: 'status',
    summary: 'GPUs by state, unresolved incidents, latest invoice, last decision, freshness',
    async run({ client, print }) {
      const summary = await readSummary(client, context.clock.now());
      if (print.json) print.value(summaryToJson(summary));
      else print.lines(summaryLines(summary, { bordered: context.terminal.isTerminal }));
    },
  });
}
