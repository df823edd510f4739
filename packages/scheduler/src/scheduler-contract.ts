/**
 * What every scheduler adapter must do, as cases that any test runner can run. The pool behind the adapter needs one
 * idle node, one node with a running lease, and work that waits. What an adapter does not declare it must refuse.
 */
import assert from 'node:assert/strict';
import { add, compare, instantFromMs, ONE, ZERO, type EpochMs, type Fraction } from '@poolmeter/domain';
import type { ActionOutcome, NodeState, Scheduler, SchedulerAction } from './scheduler.js';

export interface SchedulerFixture {
  readonly scheduler: Scheduler;
  /** A node without leases. */
  readonly idleNode: string;
  /** A node with a lease that runs until the test is over. */
  readonly busyNode: string;
  /** Before the first lease. */
  readonly beginning: EpochMs;
  /** Lets this much time pass in the pool, or as much as it needs to finish what it does. */
  readonly pass: (ms: number) => Promise<void>;
}

export interface ContractCase {
  readonly name: string;
  run(fixture: SchedulerFixture): Promise<void>;
}

async function stateOf(scheduler: Scheduler, node: string): Promise<NodeState | undefined> {
  return (await scheduler.observe()).nodes.find((one) => one.node === node)?.state;
}

async function tell(
  scheduler: Scheduler,
  kind: 'cordon' | 'uncordon' | 'drain' | 'remove' | 'power_up' | 'power_down',
  target: { node: string; key: string },
) {
  return scheduler.act({ kind, node: target.node }, { idempotencyKey: target.key, reason: 'contract' });
}

function refusalOf(outcome: ActionOutcome): string | undefined {
  return outcome.ok ? undefined : outcome.reason;
}

export const schedulerContract: readonly ContractCase[] = [
  {
    name: 'observes nodes, held shares that fit on their GPUs, and work that waits',
    async run({ scheduler, busyNode }) {
      const seen = await scheduler.observe();
      assert.ok(seen.pending.length > 0, 'the fixture has work that waits');
      const total = new Map<string, Fraction>();
      for (const held of seen.held) total.set(held.gpuUuid, add(total.get(held.gpuUuid) ?? ZERO, held.share));
      for (const [gpu, share] of total) assert.ok(compare(share, ONE) <= 0, `${gpu} is held once at most`);
      const busy = seen.nodes.find((one) => one.node === busyNode);
      const onNode = seen.held.filter((one) => one.node === busyNode).map((one) => one.leaseId);
      assert.ok(onNode.length > 0, 'the busy node has a lease');
      assert.deepEqual(busy?.gpus.flatMap((gpu) => [...gpu.leaseIds]).sort(), onNode.sort());
    },
  },
  {
    name: 'answers the same lease under the same id from observation and accounting',
    async run({ scheduler, beginning, busyNode }) {
      if (!scheduler.capabilities.has('accounting')) {
        await assert.rejects(scheduler.accounting(beginning), { code: 'dependency.refused' });
        return;
      }
      const held = (await scheduler.observe()).held.find((one) => one.node === busyNode);
      const accounted = await scheduler.accounting(beginning);
      assert.deepEqual(
        accounted.find((one) => one.leaseId === held?.leaseId),
        held,
      );
    },
  },
  {
    name: 'cordons and uncordons',
    async run({ scheduler, idleNode }) {
      assert.equal((await tell(scheduler, 'cordon', { node: idleNode, key: 'c-1' })).ok, true);
      assert.equal(await stateOf(scheduler, idleNode), 'cordoned');
      assert.equal((await tell(scheduler, 'uncordon', { node: idleNode, key: 'c-2' })).ok, true);
      assert.equal(await stateOf(scheduler, idleNode), 'ready');
    },
  },
  {
    name: 'drains without ending what runs',
    async run({ scheduler, busyNode }) {
      const before = (await scheduler.observe()).held.filter((one) => one.node === busyNode);
      assert.equal((await tell(scheduler, 'drain', { node: busyNode, key: 'd-1' })).ok, true);
      const after = await scheduler.observe();
      assert.equal(after.nodes.find((one) => one.node === busyNode)?.state, 'draining');
      assert.deepEqual(
        after.held.filter((one) => one.node === busyNode).map((one) => one.leaseId),
        before.map((one) => one.leaseId),
      );
      await tell(scheduler, 'uncordon', { node: busyNode, key: 'd-2' });
    },
  },
  {
    name: 'never removes or powers down a busy node',
    async run({ scheduler, busyNode }) {
      for (const kind of ['remove', 'power_down'] as const) {
        const outcome = await tell(scheduler, kind, { node: busyNode, key: `b-${kind}` });
        assert.equal(refusalOf(outcome), scheduler.capabilities.has(kind) ? 'busy' : 'unsupported');
        assert.notEqual(await stateOf(scheduler, busyNode), undefined);
      }
    },
  },
  {
    name: 'says not_found for a node that is not there',
    async run({ scheduler }) {
      const outcome = await tell(scheduler, 'drain', { node: 'no-such-node', key: 'n-1' });
      assert.equal(refusalOf(outcome), 'not_found');
    },
  },
  {
    name: 'does an action once, however often its key comes, and refuses the key for another action',
    async run({ scheduler, idleNode }) {
      const adds = scheduler.capabilities.has('add');
      const before = (await scheduler.observe()).nodes.length;
      const action: SchedulerAction = adds
        ? { kind: 'add', count: 1, gpuModel: (await firstModel(scheduler)) ?? '' }
        : { kind: 'uncordon', node: idleNode };
      const first = await scheduler.act(action, { idempotencyKey: 'once-1', reason: 'contract' });
      const second = await scheduler.act(action, { idempotencyKey: 'once-1', reason: 'contract' });
      assert.equal(first.ok, true);
      assert.deepEqual(second, first);
      assert.equal((await scheduler.observe()).nodes.length, before + (adds ? 1 : 0));
      await assert.rejects(tell(scheduler, 'cordon', { node: idleNode, key: 'once-1' }), {
        code: 'input.conflict',
      });
      assert.equal(await stateOf(scheduler, idleNode), 'ready');
    },
  },
  {
    name: 'refuses to add nodes where it does not declare that it can',
    async run({ scheduler }) {
      if (scheduler.capabilities.has('add')) return;
      const add1 = { kind: 'add', count: 1, gpuModel: 'any' } as const;
      const outcome = await scheduler.act(add1, { idempotencyKey: 'add-1', reason: 'contract' });
      assert.equal(refusalOf(outcome), 'unsupported');
    },
  },
  {
    name: 'powers an idle node down and boots it again, which takes time',
    async run({ scheduler, idleNode, pass }) {
      const off = await tell(scheduler, 'power_down', { node: idleNode, key: 'p-1' });
      if (!scheduler.capabilities.has('power_down')) {
        assert.equal(refusalOf(off), 'unsupported');
        return;
      }
      assert.equal(off.ok, true);
      assert.equal(await stateOf(scheduler, idleNode), 'powered_down');
      await pass(600_000);
      assert.equal((await tell(scheduler, 'power_up', { node: idleNode, key: 'p-2' })).ok, true);
      assert.equal(await stateOf(scheduler, idleNode), 'booting');
      await pass(600_000);
      assert.equal(await stateOf(scheduler, idleNode), 'ready');
    },
  },
  {
    name: 'removes an idle node',
    async run({ scheduler, idleNode }) {
      const outcome = await tell(scheduler, 'remove', { node: idleNode, key: 'r-1' });
      if (!scheduler.capabilities.has('remove')) {
        assert.equal(refusalOf(outcome), 'unsupported');
        assert.equal(await stateOf(scheduler, idleNode), 'ready');
        return;
      }
      assert.equal(outcome.ok, true);
      assert.equal(await stateOf(scheduler, idleNode), undefined);
    },
  },
  {
    name: 'accounts for nothing that ended before the instant that is asked for',
    async run({ scheduler, beginning }) {
      if (!scheduler.capabilities.has('accounting')) return;
      const now = (await scheduler.observe()).observedAt;
      const all = await scheduler.accounting(beginning);
      const recent = await scheduler.accounting(instantFromMs(now));
      assert.ok(recent.length <= all.length);
      for (const held of recent) assert.ok(held.endedAt === undefined || held.endedAt > now);
    },
  },
];

async function firstModel(scheduler: Scheduler): Promise<string | undefined> {
  return (await scheduler.observe()).nodes[0]?.gpus[0]?.gpuModel;
}
