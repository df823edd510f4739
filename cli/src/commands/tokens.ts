import { createIdSource, PoolmeterError } from '@poolmeter/domain';
import type { AccessDatabase } from '@poolmeter/http-api';
import { Option, type Command } from 'commander';
import type { CommandContext } from '../command-context.js';
import { createPrinter, type Row } from '../printer.js';
import {
  addClientCommand,
  addList,
  addNoun,
  printObject,
  segment,
  textFlag,
  type Flags,
} from './client-command.js';
import { repeated } from './up.js';

interface NewToken {
  readonly name: string;
  readonly scopes: string[];
  readonly binding: { kind: 'operator' } | { kind: 'customer' | 'provider'; id: string };
}

const tokenOptions = () => [
  new Option('--name <name>', 'what it is for').makeOptionMandatory(),
  repeated('--scope <scope>', 'resource:read, resource:write, *:read, *:write or *'),
  new Option('--customer <id>', 'sees only this customer').conflicts('provider'),
  new Option('--provider <id>', 'sees only this provider'),
];

/** `poolmeter tokens`: who may call the API. */
export function addTokens(program: Command, context: CommandContext): void {
  const tokens = addNoun(program, 'tokens', 'who may call the API');
  addList(tokens, context, {
    path: '/v1/tokens',
    whole: true,
    summary: 'list tokens, without their secrets',
    columns: ['id', 'name', 'scopes', 'binding', 'created_at', 'last_used_at', 'revoked_at'],
  });
  addClientCommand(tokens, context, {
    usage: 'create',
    summary: 'create a token; its secret is shown once',
    options: tokenOptions(),
    async run({ client, print, flags }) {
      printObject(print, await client.post<Row>('/v1/tokens', newToken(flags)));
    },
  });
  addClientCommand(tokens, context, {
    usage: 'revoke <id>',
    summary: 'end a token for good',
    async run({ client, print, args }) {
      await client.delete(`/v1/tokens/${segment(args)}`);
      printObject(print, { revoked: args[0] });
    },
  });
  addFirstToken(tokens, context);
}

function newToken(flags: Flags): NewToken {
  const scopes = flags['scope'] as string[];
  if (scopes.length === 0)
    throw new PoolmeterError('input.invalid', 'Give at least one --scope, such as --scope invoices:read.');
  const customer = textFlag(flags, 'customer');
  const provider = textFlag(flags, 'provider');
  const name = textFlag(flags, 'name') ?? '';
  if (customer !== undefined) return { name, scopes, binding: { kind: 'customer', id: customer } };
  if (provider !== undefined) return { name, scopes, binding: { kind: 'provider', id: provider } };
  return { name, scopes, binding: { kind: 'operator' } };
}

/** The API asks for a token, so the first one of a production installation is written past it. */
function addFirstToken(tokens: Command, { terminal, clock }: CommandContext): void {
  const command = tokens
    .command('create-first')
    .description('create a token in the database itself, for an installation that has none')
    .requiredOption('--postgres <url>', 'postgres://USER:PASSWORD@HOST:PORT/DATABASE')
    .option('--json', 'print machine-readable output');
  for (const option of tokenOptions()) command.addOption(option);
  command.action(async (flags: Flags) => {
    const token = newToken(flags);
    const [{ openRelationalStore }, { createTokenStore }] = await Promise.all([
      import('@poolmeter/relational-store'),
      import('@poolmeter/http-api'),
    ]);
    const store = openRelationalStore<AccessDatabase>({
      url: textFlag(flags, 'postgres') ?? '',
      applicationName: 'poolmeter-tokens',
      maxConnections: 1,
    });
    try {
      const created = await createTokenStore({ db: store.db, clock, ids: createIdSource(clock) }).create(
        token,
      );
      printObject(createPrinter(terminal, flags['json'] === true), { ...created });
    } finally {
      await store.close();
    }
  });
}
