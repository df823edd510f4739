/** Who is charged, at which prices, and what the books say: `customers`, `providers`, `prices`, `contracts`, `ledger`. */
import { PoolmeterError } from '@poolmeter/domain';
import { Option, type Command } from 'commander';
import type { CommandContext } from '../command-context.js';
import { columnsOf, type Column, type Row } from '../printer.js';
import { DoesNotHold } from '../report-fault.js';
import {
  addClientCommand,
  addList,
  addNoun,
  printObject,
  textFlag,
  type ClientCall,
} from './client-command.js';
import { addCorrections } from './corrections.js';
import { readInput } from './read-input.js';

export function addMoney(program: Command, context: CommandContext): void {
  addCustomers(program, context);
  addPrices(program, context);
  addCorrections(program, context);
  addLedger(program, context);
}

function addCustomers(program: Command, context: CommandContext): void {
  const customers = addNoun(program, 'customers', 'who is charged');
  addList(customers, context, {
    path: '/v1/customers',
    summary: 'list customers with their current terms',
    columns: ['id', 'name', 'version', 'zone', 'currency', 'tax', 'created_at'],
  });
  addShowFromList(customers, context, { path: '/v1/customers', key: 'id', what: 'customer' });
  addApply(customers, context, {
    path: '/v1/customers',
    summary: 'apply a customers.yaml: customers and providers',
    read: async (text, name) => (await import('@poolmeter/billing')).readCustomersFile(text, name),
  });
  const providers = addNoun(program, 'providers', 'who owns the hardware and is paid');
  addList(providers, context, {
    path: '/v1/providers',
    summary: 'list providers with their current terms',
    columns: ['id', 'name', 'currency', 'payout_share', 'created_at', 'updated_at'],
  });
}

const rateCount: Column = { head: 'rates', value: (row) => (row['rates'] as unknown[] | undefined)?.length };

function addPrices(program: Command, context: CommandContext): void {
  const prices = addNoun(program, 'prices', 'the price book');
  addList(prices, context, {
    path: '/v1/prices',
    summary: 'list versions of the price book, newest first',
    columns: ['version', 'currency', 'effective_from', rateCount, 'recorded_at'],
  });
  addShowFromList(prices, context, { path: '/v1/prices', key: 'version', what: 'price book version' });
  addApply(prices, context, {
    path: '/v1/prices',
    summary: 'apply a prices.yaml as a new version; the same content again changes nothing',
    read: async (text, name) => (await import('@poolmeter/billing')).readPricesFile(text, name),
  });
  const contracts = addNoun(program, 'contracts', 'what customers agreed to beside list prices');
  addList(contracts, context, {
    path: '/v1/contracts',
    whole: true,
    summary: 'list all versions of contracts',
    filters: [{ flags: '--customer <id>', summary: 'of one customer', parameter: 'customer_id' }],
    columns: [
      'id',
      'version',
      'customer',
      'effective_from',
      'effective_until',
      'discount',
      'minimum_spend',
      rateCount,
    ],
  });
  addApply(contracts, context, {
    path: '/v1/contracts',
    summary: 'apply a contracts.yaml: a changed contract gets a new version',
    read: async (text, name) => (await import('@poolmeter/billing')).readContractsFile(text, name),
  });
}

/** For nouns whose API has a list only. */
function addShowFromList(
  noun: Command,
  context: CommandContext,
  of: { path: string; key: string; what: string },
): void {
  addClientCommand(noun, context, {
    usage: `show <${of.key}>`,
    summary: `show one ${of.what}`,
    async run({ client, print, args: [wanted = ''] }) {
      for await (const row of client.list<Row>(of.path)) {
        if (String(row[of.key]) === wanted) {
          printObject(print, row);
          return;
        }
      }
      throw new PoolmeterError('not_found', `There is no ${of.what} ${wanted}.`);
    },
  });
}

interface ApplyCommand {
  readonly path: string;
  readonly summary: string;
  /** Checks the file; faults carry its name and line numbers, which the API could not know. */
  readonly read: (text: string, name: string) => Promise<object>;
}

function addApply(noun: Command, context: CommandContext, of: ApplyCommand): void {
  addClientCommand(noun, context, {
    usage: 'apply <file>',
    summary: of.summary,
    async run({ client, print, args: [file = ''] }) {
      const content = await of.read(await readInput(file), file);
      printObject(print, await client.post<Row>(of.path, content));
    },
  });
}

function addLedger(program: Command, context: CommandContext): void {
  const ledger = addNoun(program, 'ledger', 'the double-entry books');
  addList(ledger, context, {
    usage: 'accounts',
    path: '/v1/ledger/accounts',
    whole: true,
    summary: 'list balances; debits are positive, credits negative',
    columns: ['id', 'kind', 'owner_id', 'balance'],
  });
  addList(ledger, context, {
    usage: 'transactions',
    path: '/v1/ledger/transactions',
    summary: 'list booked events with their entries, newest first',
    filters: [{ flags: '--invoice <id>', summary: 'of one invoice', parameter: 'invoice_id' }],
    columns: ['id', 'occurred_at', 'kind', 'invoice_id', 'description', 'entries'],
  }).alias('list');
  addClientCommand(ledger, context, {
    usage: 'check',
    summary: 'check the conservation laws of a month; exit 1 when one is broken',
    options: [new Option('--period <month>', 'such as 2026-03').makeOptionMandatory()],
    run: checkLedger,
  });
}

interface Reconciliation {
  readonly period: string;
  readonly ok: boolean;
  readonly checks: readonly { law: string; ok: boolean; checked: number; findings: readonly Row[] }[];
}

async function checkLedger({ client, print, flags }: ClientCall): Promise<void> {
  const answer = await client.get<Reconciliation>('/v1/reconciliation', {
    period: textFlag(flags, 'period'),
  });
  if (print.json) print.value(answer);
  else {
    print.table(answer.checks, columnsOf('law', 'ok', 'checked', 'findings'));
  }
  if (!answer.ok)
    throw new DoesNotHold(
      `The books of ${answer.period} break ${answer.checks.filter((one) => !one.ok).length} of their laws.`,
    );
}
