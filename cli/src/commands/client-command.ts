/** What every client command has in common: who it asks, how it prints, how lists are read. */
import { Option, type Command } from 'commander';
import { PoolmeterError } from '@poolmeter/domain';
import type { ApiClient, Query } from '../api-client.js';
import type { CommandContext } from '../command-context.js';
import { connect, DEFAULT_DATA_DIR } from '../connect.js';
import { columnsOf, createPrinter, type Column, type Printer, type Row } from '../printer.js';

export type Flags = Readonly<Record<string, unknown>>;

export interface ClientCall {
  readonly client: ApiClient;
  readonly print: Printer;
  readonly args: readonly string[];
  readonly flags: Flags;
  readonly context: CommandContext;
}

export interface ClientCommand {
  /** `show <id>` */
  readonly usage: string;
  readonly summary: string;
  readonly options?: readonly Option[];
  run(call: ClientCall): Promise<void>;
}

/** A flag that becomes a parameter of the query. */
export interface Filter {
  /** `--customer <id>` */
  readonly flags: string;
  readonly summary: string;
  /** `customer_id` */
  readonly parameter: string;
}

export interface ListCommand {
  readonly path: string;
  readonly summary: string;
  readonly columns: readonly (Column | string)[];
  readonly filters?: readonly Filter[];
  /** True where the API answers the whole list at once. */
  readonly whole?: boolean;
  /** `list` when absent. */
  readonly usage?: string;
}

interface PageAnswer {
  readonly data: readonly Row[];
  readonly next_cursor: string | null;
}

const PAGE_ROWS = 1_000;

export function addNoun(program: Command, name: string, summary: string): Command {
  return program.command(name).description(summary);
}

export function addClientCommand(parent: Command, context: CommandContext, of: ClientCommand): Command {
  const command = parent
    .command(of.usage)
    .description(of.summary)
    .option('--json', 'print machine-readable output')
    .option('--data-dir <folder>', 'folder of a running "poolmeter up"', DEFAULT_DATA_DIR);
  for (const option of of.options ?? []) command.addOption(option);
  return command.action(async () => {
    const flags: Flags = command.opts();
    await of.run({
      client: await connect(context.env, String(flags['dataDir'])),
      print: createPrinter(context.terminal, flags['json'] === true),
      args: command.args,
      flags,
      context,
    });
  });
}

const pagingOptions = [
  new Option('--limit <rows>', 'rows at most').default('100'),
  new Option('--cursor <cursor>', 'go on after an earlier page (its next_cursor)'),
];

/** `NOUN list`: filters, `--limit`, and `--cursor` to go on where a page ended. */
export function addList(noun: Command, context: CommandContext, of: ListCommand): Command {
  const filters = of.filters ?? [];
  return addClientCommand(noun, context, {
    usage: of.usage ?? 'list',
    summary: of.summary,
    options: [
      ...filters.map((filter) => new Option(filter.flags, filter.summary)),
      ...(of.whole === true ? [] : pagingOptions),
    ],
    async run({ client, print, args, flags }) {
      const query = queryOf(filters, flags);
      const path = of.path.replace(':id', segment(args));
      const page =
        of.whole === true
          ? await client.get<PageAnswer>(path, query)
          : await readRows(client, {
              path,
              query: { ...query, cursor: textFlag(flags, 'cursor') },
              limit: rowLimit(flags),
            });
      if (print.json) {
        print.value(page);
        return;
      }
      print.table(
        page.data,
        of.columns.flatMap((column) => (typeof column === 'string' ? columnsOf(column) : [column])),
      );
      if (page.next_cursor !== null)
        print.note(`There is more: raise --limit, or go on with --cursor ${page.next_cursor}.`);
    },
  });
}

/** `NOUN show ID`: one object, field by field. */
export function addShow(noun: Command, context: CommandContext, of: { path: string; summary: string }): void {
  addClientCommand(noun, context, {
    usage: 'show <id>',
    summary: of.summary,
    async run({ client, print, args }) {
      printObject(print, await client.get<Row>(`${of.path}/${segment(args)}`));
    },
  });
}

export function printObject(print: Printer, answer: Row): void {
  if (print.json) print.value(answer);
  else print.fields(answer);
}

/** The parameters that were given as flags. */
export function queryOf(filters: readonly Filter[], flags: Flags): Query {
  return Object.fromEntries(
    filters.map((filter) => [filter.parameter, textFlag(flags, new Option(filter.flags).attributeName())]),
  );
}

export function textFlag(flags: Flags, name: string): string | undefined {
  const value = flags[name];
  return typeof value === 'string' ? value : undefined;
}

/** An id as a part of a path. */
export function segment(args: readonly string[], index = 0): string {
  return encodeURIComponent(args[index] ?? '');
}

function rowLimit(flags: Flags): number {
  const text = textFlag(flags, 'limit') ?? '';
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new PoolmeterError('input.invalid', `--limit must be a whole number above 0, not "${text}".`);
}

/** Pages are cut so that the last one's cursor stands right after the last row. */
async function readRows(
  client: ApiClient,
  { path, query, limit }: { path: string; query: Query; limit: number },
): Promise<PageAnswer> {
  const rows: Row[] = [];
  let cursor = query['cursor'];
  for (;;) {
    const wanted = Math.min(limit - rows.length, PAGE_ROWS);
    const page = await client.get<PageAnswer>(path, { ...query, limit: wanted, cursor });
    rows.push(...page.data);
    if (page.next_cursor === null || rows.length >= limit)
      return { data: rows, next_cursor: page.next_cursor };
    cursor = page.next_cursor;
  }
}
