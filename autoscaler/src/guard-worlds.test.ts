/**
 * Worlds that live on: jobs, faults, sources that fail or are old, a scheduler that lies about leases, restarts, clocks
 * that jump and a second replica that decides on an older look. What is really there is kept apart from what is seen,
 * and everything that is carried out is held against what is really there.
 * POOLMETER_TEST_WORLDS=10000 runs as many worlds; the seed is printed, and POOLMETER_TEST_SEED repeats it.
 */
import { env } from 'node:process';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { evaluate } from './evaluate.js';
import { gpu, NOW_MS, pool } from './observation-fixture.js';
import type { ObservedNode, PoolObservation, RecentAction } from './observation.js';
import type { GuardedProposal } from './proposal.js';
import { scalingPolicySchema, type ScalingPolicy } from './scaling-policy.js';

const WORLDS = Number(env['POOLMETER_TEST_WORLDS'] ?? 400);
const SEED = Number(env['POOLMETER_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const STEP_MS = 60_000;
const PER_NODE = 2;

interface TrueNode {
  readonly name: string;
  leases: number;
  faulty: boolean;
  idleSinceMs: number;
  bootUntilMs: number;
}

/** What the database keeps, so that no restart forgets it. */
interface Kept {
  decidingSinceMs: number;
  lastOutMs: number | null;
  lastInMs: number | null;
  lastReplaceMs: number | null;
  readonly recent: RecentAction[];
}

interface World {
  nowMs: number;
  nodes: TrueNode[];
  waiting: number;
  made: number;
  readonly kept: Kept;
}

const step = fc.record({
  arrive: fc.integer({ min: 0, max: 3 }),
  end: fc.integer({ min: 0, max: 4 }),
  fault: fc.integer({ min: 0, max: 12 }),
  /** Which source fails or is old at this look; most looks are good. */
  blind: fc.constantFrom(...Array<'none'>(8).fill('none'), 'scheduler', 'health', 'leases', 'samples'),
  stale: fc.boolean(),
  /** The scheduler says that nothing is leased; billing and telemetry know better. */
  lies: fc.integer({ min: 0, max: 9 }).map((one) => one === 0),
  restart: fc.integer({ min: 0, max: 14 }).map((one) => one === 0),
  jumpMs: fc.constantFrom(...Array<number>(10).fill(0), -7_200_000, 600_000),
  replica: fc.boolean(),
  paused: fc.constantFrom(...Array<'no'>(8).fill('no'), 'all', 'scale_in'),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const policies = fc
  .record({
    min_nodes: fc.integer({ min: 0, max: 2 }),
    max_nodes: fc.integer({ min: 3, max: 8 }),
    headroom: fc.record({ gpus: fc.integer({ min: 0, max: 2 }), ratio: fc.constant(0) }),
    scale_out: fc.record({
      max_nodes_per_step: fc.integer({ min: 1, max: 3 }),
      max_nodes_per_hour: fc.integer({ min: 3, max: 10 }),
      cooldown_s: fc.constantFrom(0, 120),
    }),
    scale_in: fc.record({
      idle_for_s: fc.constantFrom(0, 120),
      max_nodes_per_step: fc.integer({ min: 1, max: 2 }),
      max_nodes_per_hour: fc.integer({ min: 1, max: 5 }),
      max_turns_per_hour: fc.integer({ min: 1, max: 6 }),
      cooldown_s: fc.constantFrom(0, 120),
      after_restart_s: fc.constantFrom(60, 600),
    }),
    money: fc.record({
      cost_per_gpu_hour: fc.constant({ '*': '1' }),
      max_cost_per_hour: fc.constantFrom('8', '12', null),
    }),
  })
  .map((given) => scalingPolicySchema.parse(given));

/** What is seen: leases of billing are true, those of the scheduler may be left out, old data has an old stamp. */
function look(world: World, at: Step): PoolObservation {
  const atMs = world.nowMs;
  const state = (name: string) => ({
    ok: at.blind !== name || at.stale,
    atMs: at.blind === name && at.stale ? atMs - 200_000 : atMs,
    detail: '',
  });
  return pool(
    world.nodes.map((node) => seenNode(node, { atMs, unseen: at.blind === 'samples', lies: at.lies })),
    {
      observedAtMs: atMs,
      paused: at.paused === 'all',
      scaleInPaused: at.paused === 'scale_in',
      sources: {
        scheduler: state('scheduler'),
        health: state('health'),
        leases: state('leases'),
        samples: state('samples'),
      },
      pending: Array.from({ length: world.waiting }, (_, index) => ({
        id: `w${index}`,
        gpus: 1,
        gpuModel: null,
        gang: false,
        priority: 0,
        sinceMs: atMs - 300_000,
      })),
      memory: {
        decidingSinceMs: world.kept.decidingSinceMs,
        lastScaleOutMs: world.kept.lastOutMs,
        lastScaleInMs: world.kept.lastInMs,
        lastReplaceMs: world.kept.lastReplaceMs,
        open: [],
        recent: [...world.kept.recent],
      },
    },
  );
}

function seenNode(
  node: TrueNode,
  { atMs, unseen, lies }: { atMs: number; unseen: boolean; lies: boolean },
): ObservedNode {
  return {
    node: node.name,
    state: node.bootUntilMs > atMs ? 'booting' : 'ready',
    sinceMs: Math.min(atMs, node.idleSinceMs),
    idleSinceMs: node.leases > 0 ? null : node.idleSinceMs,
    gpus: Array.from({ length: PER_NODE }, (_, index) =>
      gpu(node.name, index, {
        leaseIds: index < node.leases && !lies ? [`${node.name}/${index}`] : [],
        health: node.faulty && index === 0 ? 'faulty' : 'healthy',
        sampleMs: unseen ? null : atMs - 5_000,
        busiestRatio: unseen ? null : index < node.leases ? 0.7 : 0,
      }),
    ),
  };
}

function live(world: World, at: Step): void {
  world.nowMs += STEP_MS + at.jumpMs;
  if (at.restart) world.kept.decidingSinceMs = world.nowMs;
  world.waiting += at.arrive;
  for (const node of world.nodes.slice(0, at.end)) {
    if (node.leases === 0) continue;
    node.leases -= 1;
    if (node.leases === 0) node.idleSinceMs = world.nowMs;
  }
  const hit = world.nodes[at.fault];
  if (hit !== undefined) hit.faulty = !hit.faulty;
  for (const node of world.nodes) {
    while (world.waiting > 0 && node.leases < PER_NODE && !node.faulty && node.bootUntilMs <= world.nowMs) {
      node.leases += 1;
      world.waiting -= 1;
    }
  }
}

/** Carries a proposal out on what is really there; returns what it broke. */
function carryOut(
  world: World,
  proposal: GuardedProposal,
  { at, policy }: { at: Step; policy: ScalingPolicy },
): string[] {
  const faults: string[] = [];
  const now = world.nowMs;
  const within = (lastMs: number | null, seconds: number) =>
    lastMs !== null && now - lastMs < seconds * 1_000;
  const hour = world.kept.recent.filter((one) => now - one.atMs < 3_600_000);
  const check = (broken: boolean, rule: string) => {
    if (broken) faults.push(rule);
  };
  check(at.paused === 'all', 'acts while halted');
  let added = 0;
  let removed = 0;
  for (const action of proposal.plan) {
    if (action.kind === 'add') {
      for (let count = 0; count < action.count; count += 1) world.nodes.push(freshNode(world));
      added += action.count;
    } else if (action.kind === 'remove' && proposal.action === 'scale_in') {
      check((world.nodes.find((node) => node.name === action.node)?.leases ?? 0) > 0, 'removes leased GPUs');
      world.nodes = world.nodes.filter((node) => node.name !== action.node);
      removed += 1;
    } else if (action.kind === 'remove') {
      // A faulty node goes when its leases have ended, which the carrying out waits for.
      world.nodes = world.nodes.filter((node) => node.name !== action.node || node.leases > 0);
    }
  }
  const sum = (of: (one: RecentAction) => number) => hour.reduce((all, one) => all + of(one), 0);
  if (removed > 0) {
    check(at.blind !== 'none', 'removes on doubtful data');
    check(at.paused === 'scale_in', 'removes while scale-in is paused');
    check(
      now - world.kept.decidingSinceMs < policy.scale_in.after_restart_s * 1_000,
      'removes after a restart',
    );
    check(within(world.kept.lastInMs, policy.scale_in.cooldown_s), 'removes in a cooldown');
    check(within(world.kept.lastOutMs, policy.scale_in.cooldown_s), 'removes just after adding');
    check(removed > policy.scale_in.max_nodes_per_step, 'removes too many at once');
    check(sum((one) => one.nodesRemoved) + removed > policy.scale_in.max_nodes_per_hour, 'removes too fast');
    check(world.nodes.length < policy.min_nodes, 'goes below the minimum');
  }
  if (added > 0) {
    check(at.blind === 'scheduler' && !at.stale, 'adds without a scheduler');
    check(
      proposal.action === 'scale_out' && world.nodes.length > policy.max_nodes,
      'passes the cap of nodes',
    );
    const cap = policy.money.max_cost_per_hour;
    check(
      cap !== null && world.nodes.length * PER_NODE > Number(cap) && proposal.action === 'scale_out',
      'passes the cap in money',
    );
  }
  if (proposal.action === 'scale_out') {
    check(within(world.kept.lastOutMs, policy.scale_out.cooldown_s), 'adds in a cooldown');
    check(added > policy.scale_out.max_nodes_per_step, 'adds too many at once');
    check(sum((one) => one.nodesAdded) + added > policy.scale_out.max_nodes_per_hour, 'adds too fast');
  }
  remember(world, proposal, { added, removed });
  return faults;
}

function freshNode(world: World): TrueNode {
  world.made += 1;
  const bootUntilMs = world.nowMs + 120_000;
  return { name: `n${world.made}`, leases: 0, faulty: false, idleSinceMs: world.nowMs, bootUntilMs };
}

function remember(
  world: World,
  { action }: GuardedProposal,
  nodes: { added: number; removed: number },
): void {
  const { kept, nowMs } = world;
  if (action === 'none') return;
  if (action === 'scale_out') kept.lastOutMs = nowMs;
  else if (action === 'scale_in') kept.lastInMs = nowMs;
  else kept.lastReplaceMs = nowMs;
  kept.recent.push({ action, atMs: nowMs, nodesAdded: nodes.added, nodesRemoved: nodes.removed });
}

it(`${WORLDS} random worlds, seed ${SEED}: whatever happens, no invariant of the guards is broken`, () => {
  const done = new Set<string>();
  fc.assert(
    fc.property(policies, fc.array(step, { minLength: 5, maxLength: 30 }), (policy, steps) => {
      const world: World = {
        nowMs: NOW_MS,
        nodes: [],
        waiting: 0,
        made: 0,
        kept: {
          decidingSinceMs: NOW_MS - 3_600_000,
          lastOutMs: null,
          lastInMs: null,
          lastReplaceMs: null,
          recent: [],
        },
      };
      for (let count = 0; count < 3; count += 1) world.nodes.push({ ...freshNode(world), bootUntilMs: 0 });
      for (const at of steps) {
        live(world, at);
        const seen = look(world, at);
        const acted = evaluate(seen, policy).proposals.find((one) => one.disposition === 'act');
        if (acted !== undefined) {
          done.add(acted.action);
          expect(carryOut(world, acted, { at, policy })).toEqual([]);
        }
        // The replica looked before the first one acted; its term is over, and memory is read again behind the fence.
        if (!at.replica) continue;
        const again = evaluate(look(world, at), policy).proposals.find((one) => one.disposition === 'act');
        if (again !== undefined) expect(carryOut(world, again, { at, policy })).toEqual([]);
      }
    }),
    { numRuns: WORLDS, seed: SEED },
  );
  expect([...done]).toEqual(expect.arrayContaining(['replace', 'scale_in', 'scale_out']));
});
