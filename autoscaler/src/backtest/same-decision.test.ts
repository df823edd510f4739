/** The fast sizer of backtests is held to the decision that runs live, tick by tick over random traces. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { evaluate } from '../evaluate.js';
import { H100, NOW_MS, policy } from '../observation-fixture.js';
import type { ObservedNode, PoolObservation, RecentAction } from '../observation.js';
import { addedNodes, nodesOf } from '../proposal.js';
import type { ScalingPolicy } from '../scaling-policy.js';
import { traceOf } from './job-trace.js';
import { simulatePool, type PoolLook } from './simulate-pool.js';
import { sizerOf } from './size-by-policy.js';

const PER_NODE = 4;
const TICK_S = 60;

/** Kept by the test as the database keeps it live. */
interface Remembered {
  lastOutMs: number | null;
  lastInMs: number | null;
  readonly recent: RecentAction[];
  readonly demand: { readonly atMs: number; readonly gpus: number }[];
}

const ms = (seconds: number) => NOW_MS + seconds * 1_000;

function observationOf(look: PoolLook, kept: Remembered): PoolObservation {
  const good = { ok: true, atMs: ms(look.nowS), detail: '' };
  return {
    pool: 'main',
    observedAtMs: ms(look.nowS),
    mode: 'full',
    paused: false,
    capabilities: ['add', 'cordon', 'drain', 'remove'],
    sources: { scheduler: good, health: good, leases: good, samples: good },
    nodes: nodesFrom(look),
    pending: look.waiting.map((job) => ({
      id: `job-${String(job).padStart(4, '0')}`,
      gpus: look.trace.gpus[job] ?? 0,
      gpuModel: null,
      gang: true,
      priority: 0,
      sinceMs: ms(look.trace.arrivalS[job] ?? 0),
    })),
    demandHistory: [...kept.demand],
    memory: {
      decidingSinceMs: NOW_MS,
      lastScaleOutMs: kept.lastOutMs,
      lastScaleInMs: kept.lastInMs,
      lastReplaceMs: null,
      open: [],
      recent: [...kept.recent],
    },
  };
}

function nodesFrom({ fleet, coming, nowS }: PoolLook): ObservedNode[] {
  const idle = fleet.idleNodes.map((id) =>
    nodeOf(`idle-${id}`, { free: PER_NODE, nowS, idleS: fleet.idleSinceS(id) }),
  );
  const used = Array.from({ length: PER_NODE }, (_, free) =>
    Array.from({ length: fleet.withFree(free) }, (__, index) =>
      nodeOf(`used-${free}-${index}`, { free, nowS }),
    ),
  );
  const booting = Array.from({ length: coming }, (_, index): ObservedNode => ({
    ...nodeOf(`boot-${index}`, { free: PER_NODE, nowS }),
    state: 'booting',
    sinceMs: ms(nowS),
  }));
  return [...idle, ...used.flat(), ...booting];
}

function nodeOf(name: string, at: { free: number; nowS: number; idleS?: number }): ObservedNode {
  return {
    node: name,
    state: 'ready',
    sinceMs: NOW_MS,
    idleSinceMs: at.idleS === undefined ? null : ms(at.idleS),
    gpus: Array.from({ length: PER_NODE }, (_, index) => ({
      gpuUuid: `${name}/${index}`,
      gpuModel: H100,
      leaseIds: index < PER_NODE - at.free ? [`${name}/${index}`] : [],
      health: 'healthy',
      healthSinceMs: null,
      sampleMs: ms(at.nowS),
      busiestRatio: index < PER_NODE - at.free ? 1 : 0,
    })),
  };
}

function liveChange(look: PoolLook, { kept, rules }: { kept: Remembered; rules: ScalingPolicy }): number {
  const observation = observationOf(look, kept);
  const acted = evaluate(observation, rules).proposals.find((each) => each.disposition === 'act');
  const added = acted === undefined ? 0 : addedNodes(acted.plan);
  const removed = acted?.action === 'scale_in' ? nodesOf(acted).length : 0;
  const demand = look.fleet.usedGpus + look.waitingGpus;
  kept.demand.push({ atMs: observation.observedAtMs, gpus: demand });
  if (added > 0) kept.lastOutMs = observation.observedAtMs;
  if (removed > 0) kept.lastInMs = observation.observedAtMs;
  if (added + removed > 0) {
    const action = added > 0 ? 'scale_out' : 'scale_in';
    kept.recent.push({ action, atMs: observation.observedAtMs, nodesAdded: added, nodesRemoved: removed });
  }
  return added - removed;
}

const rules = fc
  .record({
    max_nodes: fc.integer({ min: 3, max: 12 }),
    min_nodes: fc.integer({ min: 0, max: 2 }),
    target_wait_s: fc.constantFrom(120, 300),
    headroom: fc.record({ gpus: fc.integer({ min: 0, max: 3 }), ratio: fc.constantFrom(0, 0.1) }),
    scale_out: fc.record({
      max_nodes_per_step: fc.integer({ min: 2, max: 4 }),
      max_nodes_per_hour: fc.constantFrom(4, 60),
      cooldown_s: fc.constantFrom(0, 60, 180),
    }),
    scale_in: fc.record({
      idle_for_s: fc.constantFrom(0, 60, 600),
      max_nodes_per_step: fc.integer({ min: 1, max: 3 }),
      max_turns_per_hour: fc.constantFrom(1, 6),
      cooldown_s: fc.constantFrom(0, 120),
      after_restart_s: fc.constantFrom(0, 600),
    }),
  })
  .map((given) => policy({ ...given, node_shapes: { [H100]: PER_NODE } }));

/** None needs more than the smallest step and the smallest pool allow: it would wait for ever. */
const jobs = fc.array(
  fc.tuple(
    fc.integer({ min: 0, max: 4_000 }),
    fc.integer({ min: 1, max: 1_500 }),
    fc.integer({ min: 1, max: 2 * PER_NODE }),
  ),
  { minLength: 1, maxLength: 25 },
);

it('a backtest decides at every tick what the live decision decides', () => {
  const changes = new Set<number>();
  fc.assert(
    fc.property(jobs, rules, (rows, by) => {
      const kept: Remembered = { lastOutMs: null, lastInMs: null, recent: [], demand: [] };
      const fast = sizerOf(by);
      const both = (look: PoolLook) => {
        const live = liveChange(look, { kept, rules: by });
        const change = fast(look);
        changes.add(Math.sign(live));
        expect({ atS: look.nowS, change }).toEqual({ atS: look.nowS, change: live });
        return change;
      };
      const trace = traceOf('random', rows);
      simulatePool(trace, both, {
        gpusPerNode: PER_NODE,
        bootS: 120,
        tickS: TICK_S,
        startNodes: 1,
      });
    }),
    { numRuns: 60 },
  );
  expect([...changes].sort()).toEqual([-1, 0, 1]);
});
