import { Option, type Command } from 'commander';
import type { CommandContext } from '../command-context.js';
import type { Row } from '../printer.js';
import {
  addClientCommand,
  addList,
  addNoun,
  addShow,
  printObject,
  segment,
  textFlag,
  type ClientCall,
} from './client-command.js';

const reasonOption = () => new Option('--reason <text>', 'why; kept in the audit log');

/** `poolmeter incidents`: what is wrong, why, and the operator's word on it. */
export function addIncidents(program: Command, context: CommandContext): void {
  const incidents = addNoun(program, 'incidents', 'faults and what they cost');
  addList(incidents, context, {
    path: '/v1/incidents',
    summary: 'list incidents, newest first',
    filters: [
      {
        flags: '--status <status>',
        summary: 'open, acknowledged, verifying, resolved or expired',
        parameter: 'status',
      },
      { flags: '--node <node>', summary: 'of one node', parameter: 'node' },
      { flags: '--gpu <uuid>', summary: 'of one GPU', parameter: 'gpu' },
      { flags: '--code <code>', summary: 'such as xid-79', parameter: 'code' },
    ],
    columns: [
      'id',
      'code',
      'severity',
      'status',
      'blame',
      'billing_class',
      'node',
      'gpu_uuids',
      'opened_at',
      'cleared_at',
    ],
  });
  addShow(incidents, context, { path: '/v1/incidents', summary: 'show one incident with its verdicts' });
  addList(incidents, context, {
    usage: 'evidence <id>',
    path: '/v1/incidents/:id/evidence',
    summary: 'list the raw lines and stretches behind an incident',
    columns: ['ts', 'until', 'kind', 'fault_code', 'gpu_uuid', 'message'],
  });
  addClientCommand(incidents, context, {
    usage: 'explain <id>',
    summary: 'tell in sentences why it is what it is',
    async run({ client, print, args }) {
      const { explanation } = await client.get<{ explanation: string[] }>(`/v1/incidents/${segment(args)}`);
      if (print.json) print.value({ explanation });
      else print.lines(explanation);
    },
  });
  addWords(incidents, context);
}

function addWords(incidents: Command, context: CommandContext): void {
  addClientCommand(incidents, context, {
    usage: 'ack <id>',
    summary: 'say that somebody has taken it on',
    options: [reasonOption()],
    run: (call) => say(call, 'ack', { reason: textFlag(call.flags, 'reason') }),
  });
  addClientCommand(incidents, context, {
    usage: 'resolve <id>',
    summary: 'say that it is over',
    options: [
      reasonOption().makeOptionMandatory(),
      new Option('--cleared-at <instant>', 'since when; now when absent'),
    ],
    run: (call) =>
      say(call, 'resolve', {
        reason: textFlag(call.flags, 'reason'),
        cleared_at: textFlag(call.flags, 'clearedAt'),
      }),
  });
  addClientCommand(incidents, context, {
    usage: 'classify <id>',
    summary: 'say who is to blame and who pays',
    options: [
      new Option('--class <class>', 'B billable, C credited, H held')
        .choices(['B', 'C', 'H'])
        .makeOptionMandatory(),
      new Option('--blame <blame>', 'who is to blame').choices(['hardware', 'application', 'unknown']),
      reasonOption().makeOptionMandatory(),
    ],
    run: (call) =>
      say(call, 'classify', {
        billing_class: textFlag(call.flags, 'class'),
        blame: textFlag(call.flags, 'blame'),
        reason: textFlag(call.flags, 'reason'),
      }),
  });
}

async function say({ client, print, args }: ClientCall, verb: string, body: Row): Promise<void> {
  printObject(print, await client.post<Row>(`/v1/incidents/${segment(args)}/${verb}`, body));
}
