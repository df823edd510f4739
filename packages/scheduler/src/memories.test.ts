import { instantFromMs } from '@poolmeter/domain';
import { expect, it } from 'vitest';
import { ActionMemory } from './action-memory.js';
import type { ActionOutcome, NodeState, SchedulerNode } from './scheduler.js';
import { SinceStates } from './since-states.js';

const node = (state: NodeState, sinceS: number): SchedulerNode => ({
  node: 'gpu1',
  state,
  reason: '',
  gpus: [],
  since: instantFromMs(sinceS * 1_000),
});

/** What the scheduler says at each look (state, dated), and what comes out of it. */
it('a node is as old as its first sight, and a boot that takes more than 60 s is given up', () => {
  const states = new SinceStates({ bootTimeoutMs: 60_000 });
  const looks: [atS: number, said: [NodeState, number], expected: [NodeState, number]][] = [
    [100, ['powered_down', 100], ['powered_down', 100]],
    [115, ['powered_down', 115], ['powered_down', 100]],
    [130, ['booting', 130], ['booting', 130]],
    [189, ['booting', 189], ['booting', 130]],
    [190, ['booting', 190], ['down', 130]],
    [205, ['booting', 205], ['down', 130]],
    [210, ['ready', 208], ['ready', 208]],
    [225, ['ready', 208], ['ready', 208]],
  ];
  for (const [atS, [state, sinceS], [expectedState, expectedS]] of looks) {
    const [seen] = states.note([node(state, sinceS)], instantFromMs(atS * 1_000));
    expect([atS, seen?.state, seen?.since]).toEqual([atS, expectedState, expectedS * 1_000]);
  }
});

it('what was done under a key is answered again, what was refused or failed is tried again', async () => {
  const memory = new ActionMemory();
  const action = { kind: 'drain', node: 'gpu1' } as const;
  const busy: ActionOutcome = { ok: false, reason: 'busy', detail: '' };
  const done: ActionOutcome = { ok: true, detail: '', nodes: ['gpu1'] };
  let calls = 0;
  const tell = (answer: () => Promise<ActionOutcome>) =>
    memory.once('k', {
      action,
      act: () => {
        calls += 1;
        return answer();
      },
    });
  expect(await tell(() => Promise.resolve(busy))).toEqual(busy);
  await expect(tell(() => Promise.reject(new Error('gone')))).rejects.toThrow('gone');
  expect(await Promise.all([tell(() => Promise.resolve(done)), tell(() => Promise.resolve(busy))])).toEqual([
    done,
    done,
  ]);
  expect(calls).toBe(3);
  const other = { kind: 'drain', node: 'gpu2' } as const;
  await expect(memory.once('k', { action: other, act: () => Promise.resolve(done) })).rejects.toMatchObject({
    code: 'input.conflict',
  });
});
