import fc from 'fast-check';
import { canonicalJson } from '@poolmeter/domain';
import type { SchedulerAction } from '@poolmeter/scheduler';
import { expect, it } from 'vitest';
import { evaluate } from './evaluate.js';
import { guard } from './guard.js';
import { NOW_MS } from './observation-fixture.js';
import type { ObservedGpu, ObservedNode, PoolObservation, SourceState } from './observation.js';
import { actions, addedNodes, nodesOf, type GuardedProposal, type Proposal } from './proposal.js';
import { scalingPolicySchema, type ScalingPolicy } from './scaling-policy.js';

/** Everything that may be wrong at once: half-dead sources, strange states, leases anywhere, clocks a little ahead. */
const models = ['H100', 'A100'];
const ago = (maxMs: number) => fc.integer({ min: -10_000, max: maxMs }).map((ms) => NOW_MS - ms);
const sometimes = <T>(value: fc.Arbitrary<T>) => fc.option(value, { freq: 4, nil: null });

const gpuIn = (node: string, index: number): fc.Arbitrary<ObservedGpu> =>
  fc.record({
    gpuUuid: fc.constant(`GPU-${node}-${index}`),
    gpuModel: fc.constantFrom(...models),
    leaseIds: fc.oneof(
      { weight: 3, arbitrary: fc.constant([]) },
      { weight: 1, arbitrary: fc.constant([`l-${node}-${index}`]) },
    ),
    health: fc.oneof(
      { weight: 6, arbitrary: fc.constant('healthy' as const) },
      {
        weight: 1,
        arbitrary: fc.constantFrom(
          'faulty' as const,
          'verifying' as const,
          'unknown' as const,
          'lost' as const,
        ),
      },
    ),
    healthSinceMs: sometimes(ago(1_000_000)),
    sampleMs: sometimes(ago(100_000)),
    busiestRatio: sometimes(fc.constantFrom(0, 0, 0, 0.01, 0.5)),
  });

const anyNode = (name: string): fc.Arbitrary<ObservedNode> =>
  fc.integer({ min: 1, max: 3 }).chain((gpus) =>
    fc.record({
      node: fc.constant(name),
      state: fc.oneof(
        { weight: 5, arbitrary: fc.constant('ready' as const) },
        {
          weight: 2,
          arbitrary: fc.constantFrom(
            'cordoned' as const,
            'draining' as const,
            'booting' as const,
            'powered_down' as const,
            'down' as const,
            'unknown' as const,
          ),
        },
      ),
      sinceMs: ago(5_000_000),
      idleSinceMs: sometimes(ago(5_000_000)),
      gpus: fc.tuple(...Array.from({ length: gpus }, (_, index) => gpuIn(name, index))),
    }),
  );

/** Free, seen and healthy: without some of these nothing could ever be given back. */
const quietNode = (name: string): fc.Arbitrary<ObservedNode> =>
  fc.constantFrom(...models).map((gpuModel) => ({
    node: name,
    state: 'ready',
    sinceMs: NOW_MS - 7_200_000,
    idleSinceMs: NOW_MS - 3_600_000,
    gpus: [0, 1].map((index) => ({
      gpuUuid: `GPU-${name}-${index}`,
      gpuModel,
      leaseIds: [],
      health: 'healthy',
      healthSinceMs: null,
      sampleMs: NOW_MS - 5_000,
      busiestRatio: 0,
    })),
  }));

const nodeNamed = (name: string) => fc.oneof(quietNode(name), quietNode(name), anyNode(name));

const source: fc.Arbitrary<SourceState> = fc.record({
  ok: fc.oneof({ weight: 19, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
  atMs: fc.oneof({ weight: 19, arbitrary: fc.constant(NOW_MS) }, { weight: 1, arbitrary: ago(200_000) }),
  detail: fc.constant('a detail'),
});

const world: fc.Arbitrary<PoolObservation> = fc.integer({ min: 0, max: 7 }).chain((count) =>
  fc.record({
    pool: fc.constant('main'),
    observedAtMs: fc.constant(NOW_MS),
    mode: fc.constantFrom('recommend', 'scale_out', 'full', 'full', 'full'),
    paused: fc.oneof(
      { weight: 9, arbitrary: fc.constant(false) },
      { weight: 1, arbitrary: fc.constant(true) },
    ),
    capabilities: fc.subarray(['add', 'cordon', 'drain', 'power_down', 'power_up', 'remove', 'uncordon'], {
      minLength: 4,
    }),
    sources: fc.record({ scheduler: source, health: source, leases: source, samples: source }),
    nodes: fc.tuple(...Array.from({ length: count }, (_, index) => nodeNamed(`n${index}`))),
    pending: fc.array(
      fc.record({
        id: fc.uuid(),
        gpus: fc.integer({ min: 1, max: 12 }),
        gpuModel: sometimes(fc.constantFrom(...models)),
        gang: fc.boolean(),
        priority: fc.integer({ min: 0, max: 2 }),
        sinceMs: ago(600_000),
      }),
      { maxLength: 4 },
    ),
    demandHistory: fc.array(fc.record({ atMs: ago(800_000), gpus: fc.integer({ min: 0, max: 30 }) }), {
      maxLength: 3,
    }),
    memory: fc.record({
      decidingSinceMs: fc.oneof(fc.constant(NOW_MS - 86_400_000), ago(1_000_000)),
      lastScaleOutMs: sometimes(ago(1_000_000)),
      lastScaleInMs: sometimes(ago(1_000_000)),
      lastReplaceMs: sometimes(ago(1_000_000)),
      open: fc.array(
        fc.record({
          id: fc.uuid(),
          action: fc.constantFrom('scale_out' as const, 'replace' as const),
          nodes: fc.subarray(['n0', 'n1']),
          coming: fc.array(
            fc.record({ gpuModel: fc.constantFrom(...models), nodes: fc.integer({ min: 1, max: 2 }) }),
            { maxLength: 1 },
          ),
          sinceMs: ago(1_000_000),
        }),
        { maxLength: 1 },
      ),
    }),
  }),
);

const rules: fc.Arbitrary<ScalingPolicy> = fc
  .record({
    min_nodes: fc.integer({ min: 0, max: 3 }),
    max_nodes: fc.integer({ min: 1, max: 12 }),
    max_gpus: fc.integer({ min: 1, max: 40 }),
    target_wait_s: fc.constantFrom(0, 60, 600),
    headroom: fc.record({ gpus: fc.integer({ min: 0, max: 4 }), ratio: fc.constantFrom(0, 0.1) }),
    scale_out: fc.record({
      max_nodes_per_step: fc.integer({ min: 1, max: 4 }),
      cooldown_s: fc.constantFrom(0, 300),
    }),
    scale_in: fc.record({
      idle_for_s: fc.constantFrom(0, 900),
      max_nodes_per_step: fc.integer({ min: 1, max: 3 }),
      cooldown_s: fc.constantFrom(0, 300),
      after_restart_s: fc.constantFrom(0, 600),
    }),
    replace: fc.record({ max_at_once: fc.integer({ min: 1, max: 2 }), cooldown_s: fc.constantFrom(0, 300) }),
    breaker: fc.record({
      unhealthy_ratio: fc.constantFrom(0.2, 0.45),
      floor_nodes: fc.integer({ min: 0, max: 3 }),
    }),
  })
  .map((given) => scalingPolicySchema.parse(given));

const stepOn: fc.Arbitrary<SchedulerAction> = fc.oneof(
  fc.record({
    kind: fc.constantFrom(
      'cordon' as const,
      'drain' as const,
      'remove' as const,
      'power_down' as const,
      'power_up' as const,
    ),
    node: fc.constantFrom('n0', 'n1', 'n2', 'n3', 'nowhere'),
  }),
  fc.record({
    kind: fc.constant('add' as const),
    count: fc.integer({ min: 1, max: 9 }),
    gpuModel: fc.constantFrom(...models),
  }),
);

/** Proposals that decide would never make: the guard must hold by itself. */
const anyProposal: fc.Arbitrary<Proposal> = fc.record({
  action: fc.constantFrom(...actions),
  targets: fc.array(
    fc.constantFrom('n0', 'n1', 'n2', 'n3', 'nowhere').map((node) => ({ node })),
    { maxLength: 4 },
  ),
  plan: fc.array(stepOn, { maxLength: 6 }),
  reasons: fc.constant([]),
  rejected: fc.constant([]),
});

/** What must hold of anything that is about to be done, said again without the guard's own code. */
function broken(proposal: GuardedProposal, seen: PoolObservation, limits: ScalingPolicy): string[] {
  if (proposal.disposition !== 'act') return [];
  const faults: string[] = [];
  const check = (holds: boolean, rule: string) => {
    if (!holds) faults.push(rule);
  };
  const node = (name: string) => seen.nodes.find((each) => each.node === name);
  const age = (atMs: number | null) => (atMs === null ? Infinity : (NOW_MS - atMs) / 1_000);
  check(!seen.paused, 'acts while paused');
  check(seen.mode !== 'recommend', 'acts in mode recommend');
  check(
    seen.mode === 'full' || proposal.action === 'scale_out',
    'does more than scaling out in mode scale_out',
  );
  check(seen.sources.scheduler.ok, 'acts without a scheduler');
  const removed = proposal.plan.flatMap((step) =>
    ['drain', 'remove', 'power_down'].includes(step.kind) && 'node' in step ? [step.node] : [],
  );
  if (proposal.action === 'scale_in') {
    for (const name of [...nodesOf(proposal), ...removed]) {
      const gpus = node(name)?.gpus;
      check(gpus !== undefined, 'removes a node that was not seen');
      check(gpus?.every((gpu) => gpu.leaseIds.length === 0) === true, 'removes a leased GPU');
      check(
        gpus?.every((gpu) => gpu.busiestRatio !== null && gpu.busiestRatio <= 0.02) === true,
        'removes a busy GPU',
      );
      check(
        gpus?.every((gpu) => age(gpu.sampleMs) <= limits.fresh.within_s) === true,
        'removes on stale samples',
      );
    }
    check(
      Object.values(seen.sources).every((one) => one.ok && age(one.atMs) <= limits.fresh.within_s),
      'removes on stale sources',
    );
    check(age(seen.memory.decidingSinceMs) >= limits.scale_in.after_restart_s, 'removes after a restart');
    check(age(seen.memory.lastScaleInMs) >= limits.scale_in.cooldown_s, 'removes in the cooldown');
    check(age(seen.memory.lastScaleOutMs) >= limits.scale_in.cooldown_s, 'removes just after adding');
    check(nodesOf(proposal).length <= limits.scale_in.max_nodes_per_step, 'removes too many');
  } else if (proposal.action !== 'replace') {
    check(removed.length === 0, 'removes under another name');
  } else {
    check(
      removed.every((name) => nodesOf(proposal).includes(name)),
      'removes what it does not name',
    );
  }
  const added = addedNodes(proposal.plan);
  const running = seen.nodes.filter((each) => each.state !== 'powered_down').length;
  check(added === 0 || running + added <= limits.max_nodes, 'passes the node cap');
  check(proposal.action !== 'scale_out' || added <= limits.scale_out.max_nodes_per_step, 'adds too many');
  const up = seen.nodes.filter((each) => !['powered_down', 'booting'].includes(each.state));
  const sick = up.filter(
    (each) =>
      each.state === 'down' ||
      each.state === 'unknown' ||
      each.gpus.some((gpu) => gpu.health === 'faulty' || gpu.health === 'lost'),
  );
  check(
    sick.length <= limits.breaker.floor_nodes || sick.length <= limits.breaker.unhealthy_ratio * up.length,
    'acts with the breaker open',
  );
  check(
    proposal.plan.every((step) => seen.capabilities.includes(step.kind)),
    'asks for what the scheduler cannot do',
  );
  return faults;
}

it('whatever the world is like, nothing that is decided and acted on breaks a rule', () => {
  const acted = new Set<string>();
  fc.assert(
    fc.property(world, rules, (seen, limits) => {
      for (const proposal of evaluate(seen, limits).proposals) {
        if (proposal.disposition === 'act') acted.add(proposal.action);
        expect(broken(proposal, seen, limits)).toEqual([]);
      }
    }),
    { numRuns: 3_000 },
  );
  // A property over worlds in which nothing is ever done would prove nothing.
  expect([...acted].sort()).toEqual(['cordon', 'replace', 'scale_in', 'scale_out']);
});

it('the guard holds by itself, also against proposals that decide would never make', () => {
  fc.assert(
    fc.property(anyProposal, world, rules, (proposal, seen, limits) => {
      expect(broken(guard(proposal, { observation: seen, policy: limits }), seen, limits)).toEqual([]);
    }),
    { numRuns: 3_000 },
  );
});

it('at most one action of a look is carried out, and a gang gets all of its nodes or none', () => {
  fc.assert(
    fc.property(world, rules, (seen, limits) => {
      const { proposals } = evaluate(seen, limits);
      expect(proposals.filter((proposal) => proposal.disposition === 'act').length).toBeLessThanOrEqual(1);
      for (const demand of seen.pending.filter((each) => each.gang)) {
        const partly = proposals.some(
          (proposal) =>
            proposal.rejected.some((one) => one.candidate === `nodes for work ${demand.id}`) &&
            proposal.reasons.some((reason) => reason.text.includes(demand.id)),
        );
        expect(partly).toBe(false);
      }
    }),
    { numRuns: 1_000 },
  );
});

it('deciding again from the stored JSON gives the same to the last byte', () => {
  fc.assert(
    fc.property(world, rules, (seen, limits) => {
      const stored = JSON.parse(canonicalJson({ seen, limits })) as {
        seen: PoolObservation;
        limits: ScalingPolicy;
      };
      expect(canonicalJson(evaluate(stored.seen, stored.limits))).toBe(canonicalJson(evaluate(seen, limits)));
    }),
    { numRuns: 500 },
  );
});
