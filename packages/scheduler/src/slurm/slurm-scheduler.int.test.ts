/** The adapter against a real Slurm (Debian's packages, fake GPUs). Each test leaves an empty queue and open nodes. */
import { instantFromMs } from '@poolmeter/domain';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createScheduler } from '../create-scheduler.js';
import { schedulerContract } from '../scheduler-contract.js';
import type { NodeState, Scheduler, SchedulerAction } from '../scheduler.js';
import { startSlurmTestCluster, type SlurmTestCluster } from './slurm-test-cluster.js';

let slurm: SlurmTestCluster;
let scheduler: Scheduler;
const pool = { id: 'main', providerId: 'north', nodePatterns: ['gpu*'] };

function adapter(changes: Readonly<Record<string, unknown>> = {}): Scheduler {
  const gpu_models = { h100: 'NVIDIA H100 80GB HBM3', a100: 'NVIDIA A100-SXM4-80GB' };
  const settings = {
    kind: 'slurm',
    url: slurm.url,
    token_file: slurm.tokenFile,
    slurm_conf: slurm.slurmConf,
  };
  return createScheduler({ ...settings, gpu_models, ...changes }, pool);
}

beforeAll(async () => {
  slurm = await startSlurmTestCluster();
  scheduler = adapter();
});

afterAll(async () => {
  await slurm.stop();
});

async function until(what: string, holds: () => Promise<boolean>, seconds = 20): Promise<void> {
  const end = Date.now() + seconds * 1_000;
  while (!(await holds())) {
    if (Date.now() > end) {
      const queue = await slurm.command('squeue', '-o', '%i %T %r %N');
      const nodes = await slurm.command('sinfo', '-N', '-o', '%N %T %E');
      throw new Error(`Not within ${seconds} s: ${what}.\n${queue}\n${nodes}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function states(of: Scheduler = scheduler): Promise<Record<string, NodeState>> {
  return Object.fromEntries((await of.observe()).nodes.map((node) => [node.node, node.state]));
}

let keys = 0;
function act(kind: Exclude<SchedulerAction['kind'], 'add'>, node: string, reason = 'test') {
  keys += 1;
  return scheduler.act({ kind, node }, { idempotencyKey: `key-${keys}`, reason });
}

async function jobRuns(job: number): Promise<boolean> {
  return (await scheduler.observe()).held.some((share) => share.leaseId.startsWith(`poolmeter-${job}.`));
}

afterEach(async () => {
  await slurm.command('scancel', '--full', '--user=root');
  await until('the queue is empty', async () => (await slurm.command('squeue', '-h')) === '');
});

describe('the contract', () => {
  it.each(schedulerContract)('$name', async (contractCase) => {
    const begun = Date.now() - 60_000;
    const job = await slurm.submit(['-A', 'org-a', '--gres=gpu:h100:8', '-w', 'gpu1', '--time=60']);
    await until('the job runs', () => jobRuns(job));
    await slurm.submit(['-A', 'org-b', '--gres=gpu:h100:8', '-N2', '--exclude=gpu3,gpu4']);
    await contractCase.run({
      scheduler: adapter(),
      idleNode: 'gpu2',
      busyNode: 'gpu1',
      beginning: instantFromMs(begun),
      pass: () =>
        until('gpu2 is at rest', async () => {
          const shown = await slurm.command('scontrol', 'show', 'node', 'gpu2');
          return !/State=\S*(POWER_|POWERING_|NOT_RESPONDING)/.test(shown);
        }),
    });
  });
});

describe('the way of a pool from waiting work to powered-down nodes', () => {
  it('goes through real Slurm', async () => {
    const before = await scheduler.observe();
    expect(before.nodes.map((node) => [node.node, node.state, node.gpus.length])).toEqual([
      ['gpu1', 'ready', 8],
      ['gpu2', 'ready', 8],
      ['gpu3', 'powered_down', 8],
      ['gpu4', 'powered_down', 8],
    ]);
    expect(before.pending).toEqual([]);

    // poolmeter keeps gpu3 and gpu4 off, so Slurm does not wake them by itself.
    for (const node of ['gpu3', 'gpu4']) expect((await act('power_down', node)).ok).toBe(true);
    const job = await slurm.submit(['-A', 'org-c', '--gres=gpu:a100:8', '-N2']);
    await until('the job is seen', async () => (await scheduler.observe()).pending.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    const waiting = await scheduler.observe();
    expect(waiting.pending).toMatchObject([
      { id: String(job), gpus: 16, gpuModel: 'NVIDIA A100-SXM4-80GB', gang: true, customerId: 'org-c' },
    ]);
    expect(await slurm.powerLog()).toEqual(expect.not.arrayContaining(['resume gpu3', 'resume gpu4']));

    for (const node of ['gpu3', 'gpu4']) expect((await act('power_up', node)).ok).toBe(true);
    expect(['booting', 'ready']).toContain((await states())['gpu3']);
    await until('the job runs on both', () => jobRuns(job), 60);
    const running = await scheduler.observe();
    expect(running.pending).toEqual([]);
    expect(running.held.map((share) => `${share.node} ${share.gpuIndex}`)).toHaveLength(16);
    expect(new Set(running.held.map((share) => share.node))).toEqual(new Set(['gpu3', 'gpu4']));

    expect(await act('power_down', 'gpu3')).toMatchObject({ ok: false, reason: 'busy' });
    await slurm.command('scancel', String(job));
    await until('gpu3 is free', async () => (await act('power_down', 'gpu3')).ok);
    await until('gpu4 is free', async () => (await act('power_down', 'gpu4')).ok);
    expect(await states()).toEqual({
      gpu1: 'ready',
      gpu2: 'ready',
      gpu3: 'powered_down',
      gpu4: 'powered_down',
    });
    await until('the suspend program ran', async () => (await slurm.powerLog()).includes('suspend gpu4'));
    const ended = await scheduler.accounting(instantFromMs(running.observedAt - 60_000));
    expect(ended.filter((share) => share.leaseId.startsWith(`poolmeter-${job}.`))).toHaveLength(16);
    expect(ended.every((share) => share.endedAt !== undefined)).toBe(true);
  });
});

describe('a node with an incident', () => {
  it('is drained with the incident in its reason while its job goes on, and is open again when told', async () => {
    const job = await slurm.submit(['--gres=gpu:h100:8', '-w', 'gpu1']);
    await until('the job runs', () => jobRuns(job));
    expect((await act('drain', 'gpu1', 'incident inc-79: xid-79 on "GPU 3"\nsee the runbook')).ok).toBe(true);
    const seen = await scheduler.observe();
    expect(seen.nodes[0]).toMatchObject({ node: 'gpu1', state: 'draining' });
    expect(await slurm.command('sinfo', '-h', '-R', '-o', '%N %E')).toContain(
      "gpu1 poolmeter: incident inc-79: xid-79 on 'GPU 3' see the runbook",
    );
    expect(seen.held).toHaveLength(8);
    for (const kind of ['power_down', 'remove'] as const) expect((await act(kind, 'gpu1')).ok).toBe(false);
    expect(await jobRuns(job)).toBe(true);
    expect((await act('uncordon', 'gpu1')).ok).toBe(true);
  });

  it('that a person drained is left to the person', async () => {
    await slurm.command('scontrol', 'update', 'nodename=gpu2', 'state=drain', 'reason=fans, Ana');
    for (const kind of ['uncordon', 'power_up'] as const) {
      expect(await act(kind, 'gpu2')).toMatchObject({ ok: false, reason: 'refused' });
    }
    expect((await act('drain', 'gpu2')).ok).toBe(true);
    expect((await scheduler.observe()).nodes[1]).toMatchObject({ state: 'cordoned', reason: 'fans, Ana' });
    await slurm.command('scontrol', 'update', 'nodename=gpu2', 'state=undrain');
  });
});

describe('waiting work', () => {
  it('is demand only when nodes would end the wait', async () => {
    await slurm.submit(['--gres=gpu:h100:8', '-w', 'gpu1']);
    await slurm.submit(['--gres=gpu:h100:8', '-w', 'gpu2']);
    await until('both run', async () => (await scheduler.observe()).held.length === 16);
    const array = await slurm.submit(['--gres=gpu:h100:4', '--array=1-6%2', '--exclude=gpu3,gpu4']);
    await slurm.submit(['--gres=gpu:h100:8', '--hold']);
    await slurm.submit(['--gres=gpu:h100:8', '--begin=now+1hour']);
    await slurm.submit(['--gres=gpu:h100:8', `--dependency=afterok:${array}`]);
    await slurm.submit(['-n1', '-w', 'gpu1']);
    await until(
      'Slurm has looked at them',
      async () => !/ None$/m.test(await slurm.command('squeue', '-h', '-t', 'PD', '-o', '%i %r')),
    );
    const { pending } = await scheduler.observe();
    expect(pending.map(({ id, gpus }) => [id, gpus])).toEqual([
      [`${array}_1`, 4],
      [`${array}_2`, 4],
    ]);
  });
});

describe('ways to fail', () => {
  it('slurmctld killed makes observe, accounting and act reject, and all is back after a restart', async () => {
    const job = await slurm.submit(['--gres=gpu:h100:8', '-w', 'gpu1']);
    await until('the job runs', () => jobRuns(job));
    await slurm.killController();
    const began = Date.now();
    await expect(scheduler.observe()).rejects.toMatchObject({
      code: 'dependency.unavailable',
      retriable: true,
    });
    await expect(scheduler.accounting(instantFromMs(began))).rejects.toMatchObject({ retriable: true });
    await expect(act('cordon', 'gpu2')).rejects.toMatchObject({ retriable: true });
    await slurm.restart();
    await until('the job is seen again', () => jobRuns(job), 30);
    await until('gpu2 is ready', async () => (await states())['gpu2'] === 'ready', 30);
  });

  it('a wrong token is told as such', async () => {
    const stranger = adapter({ token_file: undefined, token: 'eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl' });
    await expect(stranger.observe()).rejects.toMatchObject({ name: 'PoolmeterError' });
  });

  it('the socket of slurmrestd does as well as its port', async () => {
    expect((await states(adapter({ url: `unix:${slurm.socket}` })))['gpu1']).toBe('ready');
  });

  it('a pool whose nodes Slurm does not have is refused, not empty', async () => {
    const settings = { kind: 'slurm', url: slurm.url, token_file: slurm.tokenFile };
    const other = createScheduler(settings, { ...pool, nodePatterns: ['tpu*'] });
    await expect(other.observe()).rejects.toThrow(/compare its nodes/);
  });
});
