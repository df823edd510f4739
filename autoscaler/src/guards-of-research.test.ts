/** Every safety rule by its name: a world in which it is the one that speaks, and what it then allows. */
import { expect, it } from 'vitest';
import { evaluate } from './evaluate.js';
import { H100, node, NOW_MS, policy, pool, waiting } from './observation-fixture.js';
import type { PoolObservation, RecentAction } from './observation.js';
import type { ScalingPolicy } from './scaling-policy.js';

const full = (name: string) => node(name, { leased: 8 });
/** Wants to give back one node; wants one more node. */
const idle = pool([node('a'), full('b'), full('c')]);
const short = pool([full('a')], { pending: [waiting('w')] });
const withMemory = (world: PoolObservation, memory: Partial<PoolObservation['memory']>) => ({
  ...world,
  memory: { ...world.memory, ...memory },
});
const late = { ok: true, atMs: NOW_MS - 91_000, detail: '' };
const ahead = { ok: true, atMs: NOW_MS + 31_000, detail: '' };
const past = (minutes: number, action: RecentAction['action'], nodes: number): RecentAction => ({
  action,
  atMs: NOW_MS - minutes * 60_000,
  nodesAdded: action === 'scale_out' ? nodes : 0,
  nodesRemoved: action === 'scale_in' ? nodes : 0,
});
/** 2.00 a GPU and hour: a node of eight costs 16.00. */
const priced = (money: object) => policy({ money: { cost_per_gpu_hour: { '*': '2.00' }, ...money } });
const sick = (name: string) => node(name, { leased: 8, first: { health: 'faulty' } });

interface Row {
  readonly rule: string;
  readonly world: PoolObservation;
  readonly by?: ScalingPolicy;
  readonly says: readonly string[];
  readonly then: string;
}

const rows: Row[] = [
  { rule: 'nothing speaks against giving back an idle node', world: idle, says: [], then: 'scale_in act' },
  { rule: 'nothing speaks against adding one', world: short, says: [], then: 'scale_out act' },
  {
    rule: 'stale data freezes scale-in',
    world: { ...idle, sources: { ...idle.sources, leases: late } },
    says: ['leases_stale'],
    then: 'scale_in hold',
  },
  {
    rule: 'stale health does not stop scale-out',
    world: { ...short, sources: { ...short.sources, health: late } },
    says: [],
    then: 'scale_out act',
  },
  {
    rule: 'data from the future means a clock is wrong',
    world: { ...idle, sources: { ...idle.sources, health: ahead } },
    says: ['health_ahead'],
    then: 'scale_in hold',
  },
  {
    rule: 'no scale-in for a window after a restart',
    world: withMemory(idle, { decidingSinceMs: NOW_MS - 599_000 }),
    says: ['restart_window'],
    then: 'scale_in hold',
  },
  {
    rule: 'a clock that was set back does not end the restart window',
    world: withMemory(idle, { decidingSinceMs: NOW_MS + 3_600_000 }),
    says: ['restart_window'],
    then: 'scale_in hold',
  },
  {
    rule: 'a clock that was set back does not end a cooldown',
    world: withMemory(idle, { lastScaleInMs: NOW_MS + 3_600_000 }),
    says: ['cooldown'],
    then: 'scale_in hold',
  },
  {
    rule: 'rate of scale-in over an hour',
    world: withMemory(idle, { recent: [past(50, 'scale_in', 2)] }),
    by: policy({ scale_in: { max_nodes_per_hour: 2 } }),
    says: ['rate_limit'],
    then: 'scale_in hold',
  },
  {
    rule: 'what was given back more than an hour ago does not count',
    world: withMemory(idle, { recent: [past(61, 'scale_in', 2)] }),
    by: policy({ scale_in: { max_nodes_per_hour: 2 } }),
    says: [],
    then: 'scale_in act',
  },
  {
    rule: 'rate of scale-out over an hour',
    world: withMemory(short, { recent: [past(50, 'scale_out', 4)] }),
    by: policy({ scale_out: { max_nodes_per_hour: 4 } }),
    says: ['rate_limit'],
    then: 'scale_out hold',
  },
  {
    rule: 'no flapping: out, in, out and in again is three turns',
    world: withMemory(idle, {
      recent: [past(50, 'scale_out', 1), past(40, 'scale_in', 1), past(30, 'scale_out', 1)],
    }),
    by: policy({ scale_in: { max_turns_per_hour: 2 } }),
    says: ['flapping'],
    then: 'scale_in hold',
  },
  {
    rule: 'back-off after additions that brought nothing: 300 s, then 600 s',
    world: withMemory(short, { failedAdditions: { count: 2, lastMs: NOW_MS - 599_000 } }),
    says: ['back_off'],
    then: 'scale_out hold',
  },
  {
    rule: 'after the back-off it is tried again',
    world: withMemory(short, { failedAdditions: { count: 2, lastMs: NOW_MS - 600_000 } }),
    says: [],
    then: 'scale_out act',
  },
  {
    rule: 'cap in money: two nodes cost 32.00, which is allowed',
    world: short,
    by: priced({ max_cost_per_hour: '32.00' }),
    says: [],
    then: 'scale_out act',
  },
  {
    rule: 'cap in money: a cent less is not',
    world: short,
    by: priced({ max_cost_per_hour: '31.99' }),
    says: ['max_cost_per_hour'],
    then: 'scale_out hold',
  },
  {
    rule: 'cap in money with a model that has no price',
    world: short,
    by: policy({ money: { max_cost_per_hour: '100' } }),
    says: ['cost_unknown'],
    then: 'scale_out hold',
  },
  {
    rule: 'approval above a number of nodes',
    world: { ...short, pending: [waiting('w', { gpus: 16 })] },
    by: policy({ approval: { above_nodes: 1 } }),
    says: ['approval'],
    then: 'scale_out recommend',
  },
  {
    rule: 'approval above a cost',
    world: short,
    by: { ...priced({}), approval: { above_nodes: null, above_cost_per_hour: '15.99' } },
    says: ['approval'],
    then: 'scale_out recommend',
  },
  {
    rule: 'what a person approved needs no further approval',
    world: { ...short, approved: true },
    by: { ...priced({}), approval: { above_nodes: 0, above_cost_per_hour: '0' } },
    says: [],
    then: 'scale_out act',
  },
  {
    rule: 'kill switch',
    world: { ...short, paused: true },
    says: ['paused'],
    then: 'scale_out hold',
  },
  {
    rule: 'scale-in-only pause holds giving back',
    world: { ...idle, scaleInPaused: true },
    says: ['scale_in_paused'],
    then: 'scale_in hold',
  },
  {
    rule: 'scale-in-only pause lets the pool grow',
    world: { ...short, scaleInPaused: true },
    says: [],
    then: 'scale_out act',
  },
  {
    rule: 'circuit breaker: four of five nodes are sick',
    world: pool([sick('a'), sick('b'), sick('c'), sick('d'), full('e')], { pending: [waiting('w')] }),
    says: ['circuit_breaker'],
    then: 'replace hold',
  },
  {
    rule: 'circuit breaker: a pool of three is below its floor',
    world: pool([sick('a'), sick('b'), sick('c')]),
    says: [],
    then: 'replace act',
  },
  {
    rule: 'default mode is to recommend',
    world: { ...idle, mode: 'recommend' },
    says: ['mode'],
    then: 'scale_in recommend',
  },
  {
    rule: 'mode scale_out adds by itself',
    world: { ...short, mode: 'scale_out' },
    says: [],
    then: 'scale_out act',
  },
  {
    rule: 'a node that boots is counted and none is bought twice',
    world: pool([full('a'), node('b', { state: 'booting', sinceMs: NOW_MS - 60_000 })], {
      pending: [waiting('w')],
    }),
    says: [],
    then: 'none none',
  },
];

it.each(rows)('$rule', ({ world, by = policy(), says, then }) => {
  const [first] = evaluate(world, by).proposals;
  expect(`${first?.action ?? ''} ${first?.disposition ?? ''}`).toBe(then);
  expect(first?.guards.map((hit) => hit.guard)).toEqual(says);
});

it('the caps in nodes and in GPUs are kept before anything is proposed', () => {
  for (const by of [policy({ max_nodes: 1 }), policy({ max_gpus: 15 })]) {
    expect(evaluate(short, by).proposals).toMatchObject([{ action: 'none', targets: [] }]);
  }
  const [added] = evaluate(short, policy({ max_gpus: 16 })).proposals;
  expect(added?.targets).toEqual([{ gpu_model: H100, count: 1 }]);
});
