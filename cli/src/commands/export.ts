import { Argument, Option, type Command } from 'commander';
import type { CommandContext } from '../command-context.js';
import { addClientCommand, queryOf, textFlag, type Filter } from './client-command.js';
import { writeOutput } from './write-output.js';

const filters: readonly Filter[] = [
  { flags: '--from <instant>', summary: 'RFC 3339', parameter: 'from' },
  { flags: '--to <instant>', summary: 'RFC 3339, exclusive', parameter: 'to' },
  { flags: '--customer <id>', summary: 'of one customer', parameter: 'customer_id' },
];

const GROUPS = 'customer_id,project,provider_id,pool,node,gpu_uuid,gpu_model,pricing_mode,lease_id';

/** `poolmeter export csv`: usage per lease and day, for a spreadsheet. */
export function addExport(program: Command, context: CommandContext): void {
  const [from, to, customer] = filters.map((filter) => new Option(filter.flags, filter.summary));
  const command = addClientCommand(program, context, {
    usage: 'export',
    summary: 'write usage per lease and day as a file',
    options: [
      from?.makeOptionMandatory(),
      to?.makeOptionMandatory(),
      customer,
      new Option('--out <file>', 'stdout when absent'),
    ].filter((option) => option !== undefined),
    async run({ client, flags }) {
      const query = { ...queryOf(filters, flags), group_by: GROUPS, bucket: 'day' };
      const answer = await client.getRaw('/v1/usage', query, 'text/csv');
      await writeOutput(await answer.text(), { out: textFlag(flags, 'out'), terminal: context.terminal });
    },
  });
  command.addArgument(new Argument('<format>', 'of the file').choices(['csv']));
}
