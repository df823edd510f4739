import { canonicalJson } from '@poolmeter/domain';
import { describe, expect, it } from 'vitest';
import { evaluate } from './evaluate.js';
import { H100, node, NOW_MS, policy, pool, waiting } from './observation-fixture.js';
import type { PoolObservation } from './observation.js';
import type { ScalingPolicy } from './scaling-policy.js';

/** The first proposal in short: what is done, with what, and what speaks for and against it. */
function decided(observation: PoolObservation, rules: ScalingPolicy = policy()) {
  return evaluate(observation, rules).proposals.map(({ action, targets, reasons, guards, disposition }) => ({
    action,
    targets: targets.map((each) => ('node' in each ? each.node : `${each.count}×${each.gpu_model}`)),
    why: reasons.map((each) => each.code),
    guards: guards.map((each) => each.guard),
    disposition,
  }));
}

const rejectedIn = (observation: PoolObservation, rules: ScalingPolicy = policy()) =>
  evaluate(observation, rules).proposals.flatMap((each) =>
    each.rejected.map((one) => `${one.candidate}: ${one.code}`),
  );

const full = (name: string) => node(name, { leased: 8 });

describe('scaling out', () => {
  it.each([
    {
      says: 'work that no GPU is free for gets a node',
      world: pool([full('a')], { pending: [waiting('w')] }),
      targets: [`1×${H100}`],
      why: ['waiting_work'],
    },
    {
      says: 'work for 20 GPUs with 4 free gets two nodes of eight',
      world: pool([node('a', { leased: 4 })], { pending: [waiting('w', { gpus: 20 })] }),
      targets: [`2×${H100}`],
      why: ['waiting_work'],
    },
    {
      says: 'a node that boots is counted, so only the second one is bought',
      world: pool([full('a'), node('b', { state: 'booting', sinceMs: NOW_MS - 60_000 })], {
        pending: [waiting('w', { gpus: 16 })],
      }),
      targets: [`1×${H100}`],
      why: ['waiting_work'],
    },
    {
      says: 'nodes asked for by a decision and not seen yet are counted too',
      world: pool([full('a')], {
        pending: [waiting('w', { gpus: 16 })],
        memory: {
          ...pool([]).memory,
          open: [
            {
              id: 'd',
              action: 'scale_out',
              nodes: [],
              coming: [{ gpuModel: H100, nodes: 1 }],
              sinceMs: NOW_MS - 60_000,
            },
          ],
        },
      }),
      targets: [`1×${H100}`],
      why: ['waiting_work'],
    },
    {
      says: 'a GPU that is being verified is no supply: seven of eight free ones do not hold eight',
      world: pool([node('a', { first: { health: 'verifying' } })], { pending: [waiting('w')] }),
      targets: [`1×${H100}`],
      why: ['waiting_work'],
    },
    {
      says: 'a switched-off node is used before a new one is added',
      world: pool([full('a'), node('off', { state: 'powered_down' })], {
        pending: [waiting('w', { gpus: 16 })],
        capabilities: ['add', 'power_up', 'cordon', 'drain', 'remove'],
      }),
      targets: ['off', `1×${H100}`],
      why: ['waiting_work'],
    },
  ])('$says', ({ world, targets, why }) => {
    expect(decided(world)).toEqual([{ action: 'scale_out', targets, why, guards: [], disposition: 'act' }]);
  });

  it('a pool without a node grows again when the policy says what a node has', () => {
    const world = pool([], { pending: [waiting('w', { gpus: 9, gang: true })] });
    expect(decided(world)).toMatchObject([{ action: 'none' }]);
    expect(decided(world, policy({ node_shapes: { [H100]: 8 } }))).toMatchObject([
      { action: 'scale_out', targets: [`2×${H100}`] },
    ]);
  });

  it('a gang of eight does not fit into the rests of two nodes; eight single GPUs do', () => {
    const rests = [node('a', { leased: 4 }), node('b', { leased: 4 })];
    const gang = [waiting('w', { gang: true })];
    expect(decided(pool(rests, { pending: gang }))).toMatchObject([{ targets: [`1×${H100}`] }]);
    expect(decided(pool(rests, { pending: [waiting('w')] }))).toMatchObject([{ action: 'none' }]);
  });

  it('a model that the policy lets stand in is used before another node is bought', () => {
    const a100 = node('b', { each: { gpuModel: 'A100' } });
    const world = pool([full('a'), a100], { pending: [waiting('w')] });
    expect(decided(world)).toMatchObject([{ action: 'scale_out' }]);
    expect(decided(world, policy({ substitutes: { [H100]: ['A100'] } }))).toMatchObject([{ action: 'none' }]);
  });

  it('headroom asks for a node when too little is free', () => {
    const rules = policy({ headroom: { gpus: 4, ratio: 0 } });
    expect(decided(pool([node('a', { leased: 6 })]), rules)).toMatchObject([
      { action: 'scale_out', why: ['headroom'] },
    ]);
    expect(decided(pool([node('a', { leased: 4 })]), rules)).toMatchObject([{ action: 'none' }]);
  });

  it('the mean of recent demand asks for what is expected back, and never lowers the demand', () => {
    const demandHistory = [{ atMs: NOW_MS - 60_000, gpus: 30 }];
    expect(decided(pool([node('a', { leased: 6 })], { demandHistory }))).toMatchObject([
      { action: 'scale_out' },
    ]);
    const low = evaluate(
      pool([full('a')], { demandHistory: [{ atMs: NOW_MS - 60_000, gpus: 0 }] }),
      policy(),
    );
    expect(low.forecast).toMatchObject({ demand_gpus: 8, expected_gpus: 8 });
  });

  it('a gang gets all of its nodes or none', () => {
    const gang = waiting('gang', { gpus: 24, gang: true });
    const three = policy({ scale_out: { max_nodes_per_step: 3 } });
    const two = policy({ scale_out: { max_nodes_per_step: 2 } });
    expect(decided(pool([full('a')], { pending: [gang] }), three)).toMatchObject([
      { targets: [`3×${H100}`] },
    ]);
    expect(decided(pool([full('a')], { pending: [gang] }), two)).toMatchObject([{ action: 'none' }]);
    expect(rejectedIn(pool([full('a')], { pending: [gang] }), two)).toContain(
      'nodes for work gang: step_limit',
    );
    const single = { ...gang, gang: false };
    expect(decided(pool([full('a')], { pending: [single] }), two)).toMatchObject([
      { targets: [`2×${H100}`] },
    ]);
  });

  it.each([
    {
      says: 'it has not waited long enough',
      demand: waiting('w', { sinceMs: NOW_MS - 5_000 }),
      rules: policy({ target_wait_s: 600 }),
      because: 'nodes for work w: not_due',
    },
    {
      says: 'the pool never had that model',
      demand: waiting('w', { gpuModel: 'NVIDIA B200' }),
      rules: policy(),
      because: 'work w: model_unknown',
    },
    {
      says: 'the pool is at its node cap',
      demand: waiting('w'),
      rules: policy({ max_nodes: 1 }),
      because: 'nodes for work w: max_nodes',
    },
    {
      says: 'the pool is at its GPU cap',
      demand: waiting('w'),
      rules: policy({ max_gpus: 15 }),
      because: 'nodes for work w: max_gpus',
    },
  ])('nothing is added when $says', ({ demand, rules, because }) => {
    const world = pool([full('a')], { pending: [demand] });
    expect(decided(world, rules)).toMatchObject([{ action: 'none' }]);
    expect(rejectedIn(world, rules)).toContain(because);
  });

  it('GPUs that telemetry does not see are no supply; when telemetry as a whole is away, they still count', () => {
    const unseen = node('b', { each: { sampleMs: null, busiestRatio: null } });
    const others = Array.from({ length: 10 }, (_, index) => full(`n${index}`));
    const pending = [waiting('w')];
    expect(decided(pool([...others, unseen], { pending }))).toMatchObject([{ action: 'scale_out' }]);
    const dark = [full('a'), unseen].map((each) => ({
      ...each,
      gpus: each.gpus.map((one) => ({ ...one, sampleMs: null, busiestRatio: null })),
    }));
    expect(decided(pool(dark, { pending }))).toMatchObject([
      { action: 'none', why: ['enough', 'samples_partial'] },
    ]);
  });
});

describe('replacing', () => {
  const faulty = (leased: number) =>
    node('sick', { leased, first: { health: 'faulty', healthSinceMs: NOW_MS - 60_000 } });

  it('a node with a faulty GPU is replaced, also while it is leased: new one first, removal at the end', () => {
    const [proposal] = evaluate(pool([faulty(8), full('a')]), policy()).proposals;
    expect(proposal).toMatchObject({
      action: 'replace',
      targets: [{ node: 'sick' }],
      plan: [
        { kind: 'cordon', node: 'sick' },
        { kind: 'add', count: 1, gpuModel: H100 },
        { kind: 'drain', node: 'sick' },
        { kind: 'remove', node: 'sick' },
      ],
      disposition: 'act',
    });
  });

  it('is only cordoned when no replacement can be had', () => {
    const world = pool([faulty(8), full('a')], { capabilities: ['cordon', 'drain', 'remove'] });
    expect(decided(world)).toMatchObject([{ action: 'cordon', targets: ['sick'] }]);
    expect(decided(pool([faulty(8), full('a')]), policy({ max_nodes: 2 }))).toMatchObject([
      { action: 'cordon' },
    ]);
  });

  it('one at a time, oldest fault first, and not what is being replaced already', () => {
    const older = node('older', { first: { health: 'lost', healthSinceMs: NOW_MS - 600_000 } });
    const rest = [full('a'), full('b'), full('c')];
    expect(decided(pool([faulty(8), older, ...rest]))[0]).toMatchObject({
      action: 'replace',
      targets: ['older'],
    });
    const open = [{ id: 'd', action: 'replace' as const, nodes: ['older'], coming: [], sinceMs: NOW_MS }];
    const busyWith = pool([older, ...rest], { memory: { ...pool([]).memory, open } });
    expect(decided(busyWith)).toMatchObject([{ action: 'none' }]);
    expect(rejectedIn(busyWith)).toContain('older: in_progress');
  });

  it('a node that never finished booting is replaced', () => {
    const stuck = node('stuck', { state: 'booting', sinceMs: NOW_MS - 901_000 });
    expect(decided(pool([stuck, full('a')]))).toMatchObject([
      { action: 'replace', targets: ['stuck'], why: ['boot_timeout'] },
    ]);
  });
});

describe('scaling in', () => {
  it('gives back the node that has been idle longest', () => {
    const world = pool([node('short', { idleSinceMs: NOW_MS - 1_000_000 }), node('long'), full('a')]);
    expect(decided(world)).toEqual([
      { action: 'scale_in', targets: ['long'], why: ['idle'], guards: [], disposition: 'act' },
    ]);
    expect(rejectedIn(world)).toEqual(['a: leased', 'short: step_limit']);
  });

  it.each([
    { says: 'a lease runs on it', world: pool([node('a', { leased: 1 })]), because: 'a: leased' },
    {
      says: 'a GPU works without a lease',
      world: pool([node('a', { first: { busiestRatio: 0.5 } })]),
      because: 'a: busy',
    },
    {
      says: 'it has been idle for too short',
      world: pool([node('a', { idleSinceMs: NOW_MS - 60_000 })]),
      because: 'a: not_idle_long',
    },
    {
      says: 'one of its GPUs reports no activity',
      world: pool([node('a', { first: { busiestRatio: null } })]),
      because: 'a: unseen',
    },
    {
      says: 'waiting work will need it',
      world: pool([node('a')], { pending: [waiting('w')] }),
      because: 'a: needed',
    },
    {
      says: 'the forecast expects it to be needed',
      world: pool([node('a')], { demandHistory: [{ atMs: NOW_MS - 60_000, gpus: 2 }] }),
      because: 'a: needed',
    },
  ])('keeps a node when $says', ({ world, because }) => {
    expect(decided(world)).toMatchObject([{ action: 'none' }]);
    expect(rejectedIn(world)).toContain(because);
  });

  it('keeps the minimum, and what headroom needs', () => {
    expect(rejectedIn(pool([node('a')]), policy({ min_nodes: 1 }))).toEqual(['a: min_nodes']);
    expect(rejectedIn(pool([node('a')]), policy({ headroom: { gpus: 4, ratio: 0 } }))).toEqual(['a: needed']);
  });
});

describe('guards', () => {
  const idle = pool([node('a'), node('b'), full('c')]);
  const late = (seconds: number) => ({ ok: true, atMs: NOW_MS - seconds * 1_000, detail: '' });
  const broken = { ok: false, atMs: NOW_MS, detail: 'connection refused' };
  it.each([
    { says: 'paused', world: { ...idle, paused: true }, guards: ['paused'], disposition: 'hold' },
    {
      says: 'mode recommend',
      world: { ...idle, mode: 'recommend' as const },
      guards: ['mode'],
      disposition: 'recommend',
    },
    {
      says: 'mode scale_out',
      world: { ...idle, mode: 'scale_out' as const },
      guards: ['mode'],
      disposition: 'recommend',
    },
    {
      says: 'leases that cannot be read',
      world: { ...idle, sources: { ...idle.sources, leases: broken } },
      guards: ['leases_failed'],
      disposition: 'hold',
    },
    {
      says: 'health that cannot be read',
      world: { ...idle, sources: { ...idle.sources, health: broken } },
      guards: ['health_failed'],
      disposition: 'hold',
    },
    {
      says: 'an old answer of the scheduler',
      world: { ...idle, sources: { ...idle.sources, scheduler: late(120) } },
      guards: ['scheduler_stale'],
      disposition: 'hold',
    },
    {
      says: 'a start a minute ago',
      world: { ...idle, memory: { ...idle.memory, decidingSinceMs: NOW_MS - 60_000 } },
      guards: ['restart_window'],
      disposition: 'hold',
    },
    {
      says: 'a scale-in a minute ago',
      world: { ...idle, memory: { ...idle.memory, lastScaleInMs: NOW_MS - 60_000 } },
      guards: ['cooldown'],
      disposition: 'hold',
    },
    {
      says: 'a scale-out a minute ago',
      world: { ...idle, memory: { ...idle.memory, lastScaleOutMs: NOW_MS - 60_000 } },
      guards: ['cooldown'],
      disposition: 'hold',
    },
    {
      says: 'a scheduler that cannot remove',
      world: { ...idle, capabilities: ['cordon', 'drain'] },
      guards: ['capability'],
      disposition: 'recommend',
    },
  ])('$says: $disposition', ({ world, guards, disposition }) => {
    expect(decided(world)).toMatchObject([{ action: 'scale_in', guards, disposition }]);
  });

  it('a scheduler that does not answer is not "no demand"', () => {
    const world = { ...pool([]), sources: { ...idle.sources, scheduler: broken } };
    expect(decided(world)).toMatchObject([{ action: 'none', why: ['scheduler_failed'] }]);
  });

  it('many unhealthy nodes stop everything, unless the pool is small; booting ones do not count', () => {
    const sick = (name: string) => node(name, { leased: 8, first: { health: 'faulty' } });
    const pending = [waiting('w')];
    const five = [sick('a'), sick('b'), sick('c'), sick('d'), full('e')];
    expect(decided(pool(five, { pending })).map((each) => each.guards)).toEqual([
      ['circuit_breaker'],
      ['circuit_breaker'],
    ]);
    const three = [sick('a'), sick('b'), sick('c')];
    expect(decided(pool(three)).map((each) => each.guards)).toEqual([[]]);
    const booting = ['x', 'y', 'z', 'q'].map((name) =>
      node(name, { state: 'booting', sinceMs: NOW_MS - 1_000 }),
    );
    expect(decided(pool([full('a'), sick('b'), ...booting]))[0]).toMatchObject({
      action: 'replace',
      guards: [],
    });
  });

  it('two actions of one look are not carried out together', () => {
    const world = pool([node('sick', { first: { health: 'lost' }, leased: 8 }), full('a')], {
      pending: [waiting('w')],
    });
    expect(decided(world)).toMatchObject([
      { action: 'replace', disposition: 'act' },
      { action: 'scale_out', disposition: 'hold', guards: ['one_at_a_time'] },
    ]);
  });
});

it('the same observation, read back from JSON, gives the same evaluation to the last byte', () => {
  const world = pool([node('sick', { first: { health: 'lost' } }), full('a'), node('b')], {
    pending: [waiting('w')],
  });
  const again = JSON.parse(canonicalJson(world)) as PoolObservation;
  expect(canonicalJson(evaluate(again, policy()))).toBe(canonicalJson(evaluate(world, policy())));
});
