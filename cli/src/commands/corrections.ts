/** What corrects and settles invoices: `credit-notes`, `payouts`, `wallets`, `budgets`, `holds`. */
import { Option, type Command } from 'commander';
import type { CommandContext } from '../command-context.js';
import { columnsOf, type Row } from '../printer.js';
import { addClientCommand, addList, addNoun, printObject, segment, textFlag } from './client-command.js';

const mandatory = (flags: string, summary: string) => new Option(flags, summary).makeOptionMandatory();

export function addCorrections(program: Command, context: CommandContext): void {
  addNotes(program, context);
  addPayouts(program, context);
  addWallets(program, context);
  addHolds(program, context);
  addList(addNoun(program, 'budgets', 'alerts on spending and prepaid money'), context, {
    path: '/v1/budgets',
    whole: true,
    summary: 'list budgets and the alerts that they gave',
    columns: ['id', 'customer_id', 'kind', 'amount', 'currency', 'thresholds', 'alerts'],
  });
}

function addNotes(program: Command, context: CommandContext): void {
  const notes = addNoun(program, 'credit-notes', 'credit and debit notes on final invoices');
  addList(notes, context, {
    path: '/v1/credit-notes',
    whole: true,
    summary: 'list notes, newest first',
    filters: [
      { flags: '--customer <id>', summary: 'of one customer', parameter: 'customer_id' },
      { flags: '--invoice <id>', summary: 'on one invoice', parameter: 'invoice_id' },
    ],
    columns: ['number', 'kind', 'invoice_id', 'customer_id', 'period', 'total', 'issued_at'],
  });
  addClientCommand(notes, context, {
    usage: 'show <id>',
    summary: 'show one note with what changed, by id or number',
    async run({ client, print, args }) {
      printObject(print, await client.get<Row>(`/v1/credit-notes/${segment(args)}`));
    },
  });
  addClientCommand(notes, context, {
    usage: 'issue <invoice>',
    summary: 'issue the note that changed verdicts make due on an invoice; none when they stand',
    async run({ client, print, args: [invoice = ''] }) {
      const answer = await client.post<{ note: Row | null }>('/v1/credit-notes', { invoice_id: invoice });
      if (answer.note !== null || print.json) printObject(print, answer.note ?? { note: null });
      else print.lines([`Nothing is due: the verdicts behind ${invoice} stand.`]);
    },
  });
}

function addPayouts(program: Command, context: CommandContext): void {
  const payouts = addNoun(program, 'payouts', 'what providers earned and were paid');
  addList(payouts, context, {
    path: '/v1/payouts',
    whole: true,
    summary: 'list payouts, newest first',
    columns: ['id', 'provider_id', 'amount', 'currency', 'paid_amount', 'paid_currency', 'rate', 'paid_at'],
  });
  addClientCommand(payouts, context, {
    usage: 'statement <provider>',
    summary: 'show what a provider earned in a month: gross less claw-back',
    options: [mandatory('--period <month>', 'such as 2026-03')],
    async run({ client, print, args, flags }) {
      const path = `/v1/providers/${segment(args)}/statements`;
      const statement = await client.get<Row & { lines: readonly Row[] }>(path, {
        period: textFlag(flags, 'period'),
      });
      if (print.json) {
        print.value(statement);
        return;
      }
      const { lines, ...head } = statement;
      print.fields(head);
      print.table(
        lines,
        columnsOf('invoice_id', 'charged', 'payout_share', 'gross', 'clawed_back', 'earned'),
      );
    },
  });
  addClientCommand(payouts, context, {
    usage: 'pay <provider>',
    summary: 'pay everything that is owed in one currency; the same key twice is one payout',
    options: [mandatory('--currency <code>', 'of the books'), mandatory('--key <text>', 'such as 2026-03')],
    async run({ client, print, args: [provider = ''], flags }) {
      const body = {
        provider_id: provider,
        currency: textFlag(flags, 'currency'),
        key: textFlag(flags, 'key'),
      };
      printObject(print, await client.post<Row>('/v1/payouts', body));
    },
  });
}

function addWallets(program: Command, context: CommandContext): void {
  const wallets = addNoun(program, 'wallets', 'prepaid money of customers');
  addClientCommand(wallets, context, {
    usage: 'show <customer>',
    summary: 'show what is left of each grant',
    async run({ client, print, args }) {
      printObject(print, await client.get<Row>(`/v1/wallets/${segment(args)}`));
    },
  });
  addClientCommand(wallets, context, {
    usage: 'grant <customer>',
    summary: 'book prepaid money; the same id again changes nothing',
    options: [
      mandatory('--id <id>', 'of the grant, such as a payment reference'),
      mandatory('--amount <amount>', 'such as 100.00'),
      mandatory('--currency <code>', 'such as USD'),
      new Option('--kind <kind>', 'paid or promotional').choices(['paid', 'promotional']).default('paid'),
      new Option('--expires <instant>', 'RFC 3339; never when absent'),
    ],
    async run({ client, print, args, flags }) {
      const expires = textFlag(flags, 'expires');
      const body = {
        id: textFlag(flags, 'id'),
        amount: { amount: textFlag(flags, 'amount'), currency: textFlag(flags, 'currency') },
        kind: textFlag(flags, 'kind'),
        ...(expires === undefined ? {} : { expires_at: expires }),
      };
      printObject(print, await client.post<Row>(`/v1/wallets/${segment(args)}/grants`, body));
    },
  });
}

function addHolds(program: Command, context: CommandContext): void {
  const holds = addNoun(program, 'holds', 'what people object to, and what keeps invoices from being final');
  addList(holds, context, {
    path: '/v1/holds',
    whole: true,
    summary: 'list holds, open ones first',
    filters: [
      { flags: '--customer <id>', summary: 'of one customer', parameter: 'customer_id' },
      { flags: '--period <month>', summary: 'of one month', parameter: 'period' },
    ],
    columns: ['id', 'customer_id', 'period', 'reason', 'description', 'blocked', 'owner', 'released_at'],
  });
  addClientCommand(holds, context, {
    usage: 'release <id>',
    summary: 'release a hold',
    options: [mandatory('--note <text>', 'what settled it; kept with the hold')],
    async run({ client, print, args, flags }) {
      const body = { note: textFlag(flags, 'note') };
      printObject(print, await client.post<Row>(`/v1/holds/${segment(args)}/release`, body));
    },
  });
}
