/** Slurm's words to poolmeter's, on answers recorded from Slurm 22.05.8 (in `recorded/`, cut to the fields that are read). */
import { instantFromMs } from '@poolmeter/domain';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { NodeState } from '../scheduler.js';
import { gpuCounts, gpuIndexes, numbersOf } from './gres-text.js';
import { hostsOf } from './host-list.js';
import { SlurmAccount } from './slurm-account.js';
import { demandOf, gpusWanted, isDemand } from './slurm-demand.js';
import { slurmNames } from './slurm-names.js';
import { nodeStateOf } from './slurm-node-state.js';
import { observationFromSlurm, type SlurmAnswers } from './slurm-observation.js';
import { reasonText } from './slurm-updates.js';
import { jobsAnswer, nodesAnswer, type SlurmJob, type SlurmNode } from './slurm-wire.js';

const at = instantFromMs(1_795_248_600_000);
const H100 = 'NVIDIA H100 80GB HBM3';
const names = slurmNames({
  pool: 'main',
  providerId: 'north',
  gpuModels: { h100: H100 },
  pricingModes: { preemptible: 'spot' },
  uuids: new Map([['gpu1/0', 'GPU-aaaa']]),
});
const scope = { nodePatterns: ['gpu*'], partitions: [] };

interface Recording {
  readonly nodes: unknown;
  readonly jobs: unknown;
}

function recording(name: string): Recording {
  return JSON.parse(readFileSync(new URL(`recorded/${name}.json`, import.meta.url), 'utf8')) as Recording;
}

function answers(name: string): SlurmAnswers {
  const { nodes, jobs } = recording(name);
  return { nodes: nodesAnswer.parse(nodes), jobs: jobsAnswer.parse(jobs), at };
}

const queue = answers('busy-with-a-queue');
const runningJob = queue.jobs[0]!;
const idleNode = queue.nodes[2]!;

describe('a recorded busy cluster with a queue', () => {
  const seen = observationFromSlurm(queue, { scope, names });

  it('has two nodes at work and two that are off', () => {
    expect(
      seen.nodes.map((node) => [
        node.node,
        node.state,
        node.gpus.filter((gpu) => gpu.leaseIds.length > 0).length,
      ]),
    ).toEqual([
      ['gpu1', 'ready', 8],
      ['gpu2', 'ready', 4],
      ['gpu3', 'powered_down', 0],
      ['gpu4', 'powered_down', 0],
    ]);
  });

  it('holds twelve GPUs for two customers, under the names that the settings give', () => {
    expect(seen.held).toHaveLength(12);
    expect(seen.held[0]).toEqual({
      leaseId: 'poolmeter-1.0-gpu1/0',
      customerId: 'org-a',
      project: '',
      providerId: 'north',
      pool: 'main',
      node: 'gpu1',
      gpuUuid: 'GPU-aaaa',
      gpuInstance: '',
      gpuIndex: 0,
      gpuModel: H100,
      share: { numerator: 1n, denominator: 1n },
      pricingMode: 'on_demand',
      startedAt: 1_795_248_393_000,
      endedAt: undefined,
    });
    expect(seen.held.filter((share) => share.customerId === 'org-b').map((share) => share.gpuUuid)).toEqual([
      'gpu2/0',
      'gpu2/1',
      'gpu2/2',
      'gpu2/3',
    ]);
  });

  it('waits for a gang of sixteen and two of four array tasks, not for what is held or depends', () => {
    expect(
      seen.pending.map(({ id, gpus, gpuModel, gang, since }) => [id, gpus, gpuModel, gang, since]),
    ).toEqual([
      ['3', 16, H100, true, 1_795_248_395_000],
      ['4_0', 8, H100, true, 1_795_248_396_000],
      ['4_1', 8, H100, true, 1_795_248_396_000],
    ]);
    expect(seen.pending[0]!.priority).toBeGreaterThan(seen.pending[1]!.priority);
  });
});

it('a recorded drain of a busy node goes on with its job', () => {
  const seen = observationFromSlurm(answers('draining'), { scope, names });
  expect(seen.nodes[0]).toMatchObject({
    node: 'gpu1',
    state: 'draining',
    reason: 'poolmeter incident inc-7',
    since: 1_795_248_493_000,
  });
  expect(seen.held.map((share) => share.node)).toEqual([
    ...Array<string>(8).fill('gpu1'),
    ...Array<string>(8).fill('gpu2'),
  ]);
});

it('a recorded job whose nodes boot is still waiting: it is billed from when they are up', () => {
  const seen = observationFromSlurm(answers('configuring'), { scope, names });
  expect(seen.pending.map(({ id, gpus }) => [id, gpus])).toEqual([['8', 16]]);
  expect(new Set(seen.held.map((share) => share.node))).toEqual(new Set(['gpu1', 'gpu2']));
});

describe('an answer that is none', () => {
  const down = recording('controller-down');

  it('the one of a controller that is down is refused by what it says, even if its status were 200', () => {
    expect(jobsAnswer.safeParse(down.jobs).error?.issues[0]?.message).toBe(
      'Slurm reports: Unspecified error, Failed while looking for jobs, slurm_load_jobs',
    );
    expect(nodesAnswer.safeParse(down.nodes).success).toBe(false);
  });

  it.each([
    ['no list of jobs', { errors: [] }],
    ['null for the jobs', { errors: [], jobs: null }],
    ['a job without an id', { errors: [], jobs: [{ job_state: 'PENDING' }] }],
    ['any error beside good jobs', { errors: [{ errno: 1 }], jobs: [] }],
  ])('%s', (_what, answer) => expect(jobsAnswer.safeParse(answer).success).toBe(false));

  it('no node at all', () => expect(nodesAnswer.safeParse({ errors: [], nodes: [] }).success).toBe(false));

  it('GPUs in use that no listed job explains', () => {
    expect(() => observationFromSlurm({ ...queue, jobs: [] }, { scope, names })).toThrow(/may see all jobs/);
  });

  it('a job on two nodes with GPUs on one', () => {
    const torn: SlurmJob = { ...runningJob, nodes: 'gpu[1-2]' };
    expect(() => observationFromSlurm({ ...queue, jobs: [torn] }, { scope, names })).toThrow(
      /runs on 2 nodes/,
    );
  });
});

/** base state, flags, GPUs in use → what the autoscaler sees. */
const nodeStates: readonly [string, string[], string, NodeState][] = [
  ['idle', [], '', 'ready'],
  ['mixed', [], 'gpu:h100:4(IDX:0-3)', 'ready'],
  ['allocated', ['CLOUD'], 'gpu:h100:8(IDX:0-7)', 'ready'],
  ['idle', ['PLANNED'], '', 'ready'],
  ['idle', ['COMPLETING'], '', 'ready'],
  ['idle', ['DRAIN'], 'gpu:h100:0(IDX:N/A)', 'cordoned'],
  ['mixed', ['DRAIN'], 'gpu:h100:8(IDX:0-7)', 'draining'],
  ['idle', ['DRAIN', 'COMPLETING'], '', 'draining'],
  ['idle', ['MAINTENANCE'], '', 'cordoned'],
  ['idle', ['RESERVED'], '', 'cordoned'],
  ['idle', ['CLOUD', 'POWERED_DOWN'], '', 'powered_down'],
  ['idle', ['CLOUD', 'DRAIN', 'POWERED_DOWN'], '', 'powered_down'],
  ['idle', ['CLOUD', 'POWERING_DOWN'], '', 'powered_down'],
  ['idle', ['CLOUD', 'DRAIN', 'POWER_DOWN'], '', 'powered_down'],
  ['mixed', ['DRAIN', 'POWER_DOWN'], 'gpu:h100:8(IDX:0-7)', 'draining'],
  ['idle', ['CLOUD', 'POWER_UP', 'POWERED_DOWN'], '', 'booting'],
  ['mixed', ['CLOUD', 'NOT_RESPONDING', 'POWERING_UP'], 'gpu:a100:8(IDX:0-7)', 'booting'],
  ['down', ['NOT_RESPONDING'], '', 'down'],
  ['down', ['DRAIN'], '', 'down'],
  ['error', [], '', 'down'],
  ['unknown', [], '', 'unknown'],
  ['idle', ['NOT_RESPONDING'], '', 'unknown'],
  ['future', [], '', 'unknown'],
  ['sleeping', [], '', 'unknown'],
];

it.each(nodeStates)('a node that is %s %j with "%s" is %4$s', (state, state_flags, gres_used, expected) => {
  const node: SlurmNode = { ...idleNode, state: [state.toUpperCase()], state_flags, gres_used };
  expect(nodeStateOf(node)).toBe(expected);
});

it('later versions of the API, with lists of states and numbers in objects, say the same (made by hand from their schema)', () => {
  const [node] = nodesAnswer.parse({
    errors: [],
    nodes: [
      {
        name: 'gpu9',
        state: ['IDLE', 'DRAIN'],
        gres: 'gpu:h100:8',
        reason_changed_at: { set: true, infinite: false, number: 7 },
      },
    ],
  });
  expect([nodeStateOf(node!), node!.reason_changed_at]).toEqual(['cordoned', 7]);
  const [job] = jobsAnswer.parse({
    errors: [],
    jobs: [
      {
        job_id: 5,
        job_state: ['PENDING'],
        state_reason: 'Resources',
        node_count: { set: true, number: 2 },
        tres_per_node: 'gres/gpu:h100:4',
      },
    ],
  });
  expect(demandOf([job!], names).map(({ id, gpus }) => [id, gpus])).toEqual([['5', 8]]);
});

it.each([
  ['Resources', true],
  ['Priority', true],
  ['None', true],
  ['ReqNodeNotAvail, UnavailableNodes:gpu[3-4]', true],
  ['AssocGrpGRES', false],
  ['AssocGrpCpuLimit', false],
  ['QOSMaxGRESPerUser', false],
  ['QOSGrpGRES', false],
  ['Dependency', false],
  ['BeginTime', false],
  ['JobHeldUser', false],
  ['JobHeldAdmin', false],
  ['JobArrayTaskLimit', false],
  ['Licenses', false],
  ['PartitionTimeLimit', false],
  ['Reservation', false],
  ['SomeReasonOfALaterVersion', false],
])('a job that waits for %s is demand: %s', (state_reason, expected) => {
  expect(isDemand({ ...runningJob, job_state: ['PENDING'], state_reason })).toBe(expected);
});

it.each<[string, Partial<SlurmJob>, [string | undefined, number][]]>([
  ['4 per node on 3 nodes', { tres_per_node: 'gres:gpu:h100:4', node_count: 3 }, [['h100', 12]]],
  ['8 for the job', { tres_per_node: '', tres_per_job: 'gres:gpu:8' }, [[undefined, 8]]],
  ['2 per task of 4', { tres_per_node: '', tres_per_task: 'gres:gpu:2', tasks: 4 }, [[undefined, 8]]],
  [
    '1 per socket of 2 on 2 nodes',
    { tres_per_node: '', tres_per_socket: 'gres/gpu:a100:1', sockets_per_node: 2, node_count: 2 },
    [['a100', 4]],
  ],
  [
    'two types',
    { tres_per_node: 'gres:gpu:h100:2,gres:gpu:a100:1', node_count: 1 },
    [
      ['h100', 2],
      ['a100', 1],
    ],
  ],
  ['no GPU', { tres_per_node: '' }, []],
  ['only licences and shards', { tres_per_node: 'gres:shard:4,license:x:1' }, []],
])('a job of %s', (_what, changes, expected) => {
  expect(gpusWanted({ ...runningJob, ...changes }).map(({ type, count }) => [type, count])).toEqual(expected);
});

describe('the small languages', () => {
  it.each<[string, string[]]>([
    ['', []],
    ['gpu1', ['gpu1']],
    ['gpu[1-3,07-09],login1', ['gpu1', 'gpu2', 'gpu3', 'gpu07', 'gpu08', 'gpu09', 'login1']],
    ['r[1-2]n[08-10]', ['r1n08', 'r1n09', 'r1n10', 'r2n08', 'r2n09', 'r2n10']],
  ])('host list %s', (text, expected) => expect(hostsOf(text)).toEqual(expected));

  it.each(['gpu[1-', 'gpu[3-1]', 'gpu[a]', 'gpu]1', 'gpu[1-99999999]'])('host list %s is refused', (text) => {
    expect(() => hostsOf(text)).toThrow(/cannot be read/);
  });

  it.each<[string, number[]]>([
    ['gpu:h100:8(IDX:0-7)', [0, 1, 2, 3, 4, 5, 6, 7]],
    ['gpu:h100:2(IDX:0,3),gpu:a100:1(IDX:6)', [0, 3, 6]],
    ['gpu:1(IDX:5)', [5]],
    ['gpu:h100:0(IDX:N/A)', []],
    ['shard:2(IDX:0),craynetwork:1', []],
  ])('GPUs %s', (text, expected) =>
    expect(gpuIndexes(text).flatMap(({ indexes }) => indexes)).toEqual(expected),
  );

  it.each(['gpu:h100:2(IDX:0)', 'gpu:h100:2(CNT:2)', 'gpu:h100:2'])(
    'GPUs %s are counted but not named, which is refused',
    (text) => {
      expect(() => gpuIndexes(text)).toThrow(/cannot be read/);
    },
  );

  it.each<[string, [string | undefined, number][]]>([
    ['gpu:h100:8(S:0-1)', [['h100', 8]]],
    [
      'gpu:h100:4(S:0),gpu:a100:4(S:1),nic:2',
      [
        ['h100', 4],
        ['a100', 4],
      ],
    ],
    ['gpu:no_consume:8', [[undefined, 8]]],
    ['gpu', [[undefined, 1]]],
    ['(null)', []],
  ])('counts of %s', (text, expected) => {
    expect(gpuCounts(text).map(({ type, count }) => [type, count])).toEqual(expected);
  });

  it('array tasks 0-8:4,10', () => expect(numbersOf('0-8:4,10')).toEqual([0, 4, 8, 10]));

  it('a reason is one printable line that says whose it is', () => {
    expect(reasonText('incident "inc-1"\nGPU\u202e 3')).toBe("poolmeter: incident 'inc-1' GPU 3");
    expect(reasonText('poolmeter decision d-1: idle')).toBe('poolmeter decision d-1: idle');
  });
});

describe('what has ended', () => {
  const ended = instantFromMs(1_795_248_500_000);
  const over = (job: SlurmJob): SlurmJob => ({
    ...job,
    job_state: ['COMPLETED'],
    gres_detail: [],
    end_time: ended / 1_000,
  });
  const after = {
    ...queue,
    jobs: queue.jobs.map((job) => (job.job_state.includes('RUNNING') ? over(job) : job)),
  };
  const since = instantFromMs(ended - 1_000);

  it('is accounted for on the GPUs that were seen while it ran', () => {
    const account = new SlurmAccount();
    account.note(queue.jobs);
    account.note(after.jobs);
    const shares = account.sharesSince(since, { answers: after, names });
    expect(shares).toHaveLength(12);
    expect(shares.every((share) => share.endedAt === ended)).toBe(true);
  });

  it('is known without a look only when it had whole nodes', () => {
    const shares = new SlurmAccount().sharesSince(since, { answers: after, names });
    expect(shares.map((share) => share.node)).toEqual(Array<string>(8).fill('gpu1'));
  });

  it('is a lease of no length when it ended in the second in which it began', () => {
    const short = after.jobs.map((job) => ({ ...job, end_time: job.start_time }));
    const account = new SlurmAccount();
    account.note(queue.jobs);
    const shares = account.sharesSince(instantFromMs(0), { answers: { ...after, jobs: short }, names });
    expect(shares.map((share) => share.endedAt)).toEqual(Array<number>(12).fill(1_795_248_393_000));
  });

  it('is left out when it was cancelled while its nodes booted', () => {
    const booting = answers('configuring');
    const account = new SlurmAccount();
    account.note(booting.jobs);
    const cancelled = booting.jobs.map((job) => (job.job_id === 8 ? over(job) : job));
    account.note(cancelled);
    const shares = account.sharesSince(since, { answers: { ...booting, jobs: cancelled }, names });
    expect(new Set(shares.map((share) => share.node))).toEqual(new Set(['gpu1', 'gpu2']));
  });

  it('is left out when it ended before', () => {
    expect(new SlurmAccount().sharesSince(ended, { answers: after, names })).toEqual([]);
  });
});

it('a pool takes its partitions and nodes of a cluster, and no others', () => {
  const two = {
    ...queue,
    nodes: queue.nodes.map((node, index) => ({ ...node, partitions: index < 2 ? ['train'] : ['serve'] })),
  };
  const seen = observationFromSlurm(
    {
      ...two,
      jobs: two.jobs.map((job) => ({ ...job, partition: job.job_id === 3 ? 'serve,debug' : 'train' })),
    },
    { scope: { nodePatterns: ['gpu*'], partitions: ['serve'] }, names },
  );
  expect(seen.nodes.map((node) => node.node)).toEqual(['gpu3', 'gpu4']);
  expect(seen.pending.map((one) => one.id)).toEqual(['3']);
  expect(seen.held).toEqual([]);
});
