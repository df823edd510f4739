/** The pool as it is: `gpus`, `nodes`, `pools`, and what the autoscaler decides about it: `decisions`. */
import { Option, type Command } from 'commander';
import type { CommandContext } from '../command-context.js';
import type { Row } from '../printer.js';
import { DoesNotHold } from '../report-fault.js';
import {
  addClientCommand,
  addList,
  addNoun,
  addShow,
  printObject,
  segment,
  textFlag,
} from './client-command.js';

export function addPool(program: Command, context: CommandContext): void {
  addGpus(program, context);
  addNodes(program, context);
  addPools(program, context);
  addDecisions(program, context);
}

const latest = (name: string, field: string) => ({
  head: name,
  value: (row: Row) => (row['latest'] as Row | null)?.[field],
});

function addGpus(program: Command, context: CommandContext): void {
  const gpus = addNoun(program, 'gpus', 'GPUs as they are now');
  addList(gpus, context, {
    path: '/v1/gpus',
    summary: 'list GPUs by node and index',
    filters: [
      { flags: '--node <node>', summary: 'of one node', parameter: 'node' },
      { flags: '--pool <pool>', summary: 'of one pool', parameter: 'pool' },
      {
        flags: '--state <state>',
        summary: 'healthy, faulty, verifying, unknown or lost',
        parameter: 'state',
      },
      { flags: '--model <model>', summary: 'of one model', parameter: 'gpu_model' },
    ],
    columns: [
      'node',
      'gpu_index',
      'gpu_uuid',
      'gpu_model',
      'pool',
      'state',
      { head: 'customer_id', value: (row) => (row['lease'] as Row | null)?.['customer_id'] },
      latest('gpu_util_ratio', 'gpu_util_ratio'),
      latest('power_watts', 'power_watts'),
      latest('temperature_celsius', 'temperature_celsius'),
      latest('ts', 'ts'),
    ],
  });
  addShow(gpus, context, { path: '/v1/gpus', summary: 'show one GPU by its UUID' });
}

function addNodes(program: Command, context: CommandContext): void {
  addList(addNoun(program, 'nodes', 'nodes with the health of their GPUs'), context, {
    path: '/v1/nodes',
    summary: 'list nodes',
    filters: [
      { flags: '--pool <pool>', summary: 'of one pool', parameter: 'pool' },
      { flags: '--health <health>', summary: 'healthy, faulty, verifying or unknown', parameter: 'health' },
    ],
    columns: ['node', 'pool', 'provider_id', 'gpu_count', 'health', 'scheduler_state', 'last_seen_at'],
  });
}

function addPools(program: Command, context: CommandContext): void {
  const pools = addNoun(program, 'pools', 'pools, and how far poolmeter may go there');
  addList(pools, context, {
    path: '/v1/pools',
    summary: 'list pools',
    columns: [
      'id',
      'provider_id',
      'scheduler_kind',
      'mode',
      'paused',
      { head: 'nodes', value: (row) => (row['nodes'] as unknown[] | undefined)?.length },
      'observed_at',
    ],
  });
  addShow(pools, context, { path: '/v1/pools', summary: 'show one pool with its nodes' });
  addClientCommand(pools, context, {
    usage: 'pause <id>',
    summary: 'stop all actions in a pool, those half-way included',
    options: [new Option('--only <what>', 'scale_in: nothing is given back, the rest goes on')],
    async run({ client, print, args, flags }) {
      const text = textFlag(flags, 'only');
      const only = text === undefined ? '' : `?only=${encodeURIComponent(text)}`;
      printObject(print, await client.post<Row>(`/v1/pools/${segment(args)}/pause${only}`));
    },
  });
  addClientCommand(pools, context, {
    usage: 'resume <id>',
    summary: 'let a paused pool go on',
    async run({ client, print, args }) {
      printObject(print, await client.post<Row>(`/v1/pools/${segment(args)}/resume`));
    },
  });
  for (const [verb, summary] of [
    ['halt', 'the kill switch: stop all actions in all pools'],
    ['release', 'let all pools go on after a halt, but for those that are paused'],
  ] as const) {
    addClientCommand(pools, context, {
      usage: verb,
      summary,
      async run({ client, print }) {
        printObject(print, await client.post<Row>(`/v1/kill-switch/${verb}`));
      },
    });
  }
}

interface Replay extends Row {
  readonly identical: boolean;
  readonly differences: readonly Row[];
}

function addDecisions(program: Command, context: CommandContext): void {
  const decisions = addNoun(program, 'decisions', 'scaling decisions and their reasons');
  addList(decisions, context, {
    path: '/v1/decisions',
    summary: 'list decisions, newest first',
    filters: [
      { flags: '--pool <pool>', summary: 'of one pool', parameter: 'pool' },
      {
        flags: '--action <action>',
        summary: 'none, scale_out, scale_in, replace or cordon',
        parameter: 'action',
      },
      { flags: '--status <status>', summary: 'such as recommended or done', parameter: 'status' },
      { flags: '--from <instant>', summary: 'decided at or after', parameter: 'from' },
      { flags: '--to <instant>', summary: 'decided before', parameter: 'to' },
    ],
    columns: ['id', 'decided_at', 'pool', 'mode', 'action', 'targets', 'status'],
  });
  addShow(decisions, context, { path: '/v1/decisions', summary: 'show one decision' });
  addClientCommand(decisions, context, {
    usage: 'explain <id>',
    summary: 'tell in sentences why it was decided so',
    async run({ client, print, args }) {
      const answer = await client.get<{ text: string }>(`/v1/decisions/${segment(args)}/explain`);
      if (print.json) print.value(answer);
      else print.lines(answer.text.split('\n'));
    },
  });
  addClientCommand(decisions, context, {
    usage: 'replay <id>',
    summary: 'decide again from the stored inputs; exit 1 when the outcome differs',
    async run({ client, print, args }) {
      const replay = await client.post<Replay>(`/v1/decisions/${segment(args)}/replay`);
      printObject(print, replay);
      if (!replay.identical) throw new DoesNotHold(`Decision ${args[0] ?? ''} comes out differently now.`);
    },
  });
  addClientCommand(decisions, context, {
    usage: 'approve <id>',
    summary: 'let a recommendation be carried out',
    async run({ client, print, args }) {
      printObject(print, await client.post<Row>(`/v1/decisions/${segment(args)}/approve`));
    },
  });
}
