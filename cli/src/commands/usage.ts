import { Option, type Command } from 'commander';
import type { CommandContext } from '../command-context.js';
import { columnsOf, type Row } from '../printer.js';
import { addClientCommand, queryOf, type Filter } from './client-command.js';

const filters: readonly Filter[] = [
  { flags: '--from <instant>', summary: 'RFC 3339', parameter: 'from' },
  { flags: '--to <instant>', summary: 'RFC 3339, exclusive', parameter: 'to' },
  { flags: '--group-by <fields>', summary: 'such as customer_id,gpu_model', parameter: 'group_by' },
  { flags: '--bucket <size>', summary: 'hour, day or month', parameter: 'bucket' },
  { flags: '--tz <zone>', summary: 'IANA zone of days and months', parameter: 'tz' },
  { flags: '--customer <id>', summary: 'of one customer', parameter: 'customer_id' },
  { flags: '--provider <id>', summary: 'of one provider', parameter: 'provider_id' },
  { flags: '--pool <pool>', summary: 'of one pool', parameter: 'pool' },
];

interface UsageAnswer {
  readonly data: readonly UsageRow[];
  readonly total: UsageRow;
}

interface UsageRow extends Row {
  readonly group: Row;
}

/** `poolmeter usage`: GPU time by whatever one wants to see it by. */
export function addUsage(program: Command, context: CommandContext): void {
  addClientCommand(program, context, {
    usage: 'usage',
    summary: 'GPU time: billed, excluded and held add up to the whole',
    options: filters.map(({ flags, summary }) => {
      const option = new Option(flags, summary);
      return ['--from', '--to'].includes(option.long ?? '') ? option.makeOptionMandatory() : option;
    }),
    async run({ client, print, flags }) {
      const usage = await client.get<UsageAnswer>('/v1/usage', queryOf(filters, flags));
      if (print.json) {
        print.value(usage);
        return;
      }
      const groups = Object.keys(usage.data[0]?.group ?? {});
      const [first = 'group', ...others] = groups;
      print.table(
        [...usage.data.map((row) => ({ ...row, ...row.group })), { ...usage.total, [first]: 'total' }],
        columnsOf(first, ...others, 'gpu_hours', 'gpu_ms', 'billed_gpu_ms', 'excluded_gpu_ms', 'held_gpu_ms'),
      );
    },
  });
}
