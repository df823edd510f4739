/**
 * The autoscaler's speed: a trace of 125,000 jobs over 193 days through one policy at ticks of a minute, on one core;
 * and one live decision over 10,000 nodes of eight GPUs with 50,000 jobs that wait.
 */
import {
  defaultScalingPolicy,
  evaluate,
  simulatePool,
  sizerOf,
  traceOf,
  type PoolObservation,
} from '@poolmeter/autoscaler';
import type { Figures } from './bench.js';
import { median } from './median.js';

const JOBS = 125_000;
const DAYS = 193;
const RUNS = 5;
const NODES = 10_000;
const GPUS_PER_NODE = 8;
const PENDING = 50_000;
const NOW_MS = Date.UTC(2026, 2, 1, 12);

export function benchBacktest(): Promise<Figures> {
  const decide = measureDecide();
  const rssMb = process.memoryUsage.rss() / 1e6;
  const trace = madeUpTrace();
  const times = Array.from({ length: RUNS }, () => {
    const from = performance.now();
    const { nodesAdded } = simulatePool(trace, sizerOf(defaultScalingPolicy), {
      gpusPerNode: GPUS_PER_NODE,
      bootS: 120,
      tickS: 60,
      startNodes: 1,
    });
    if (nodesAdded === 0) throw new Error('Nothing was added.');
    return performance.now() - from;
  });
  return Promise.resolve({
    s_per_policy: median(times) / 1_000,
    jobs: JOBS,
    days: DAYS,
    decide_10k_nodes_ms: decide,
    rss_mb: rssMb,
  });
}

/** Days and weeks as in the traces of clusters: most jobs small and short, a few large and long. */
function madeUpTrace() {
  const random = lehmer(42);
  const rows = Array.from({ length: JOBS }, (): [number, number, number] => {
    const arrival = Math.floor(random() * DAYS * 86_400);
    const service = Math.floor(20 * Math.exp(random() * 7.8));
    const pick = random();
    const gpus = pick < 0.52 ? 1 : pick < 0.64 ? 4 : pick < 0.89 ? 8 : pick < 0.96 ? 16 : 32;
    return [arrival, service, gpus];
  });
  return traceOf('made-up', rows);
}

function lehmer(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

function measureDecide(): number {
  const observation = bigPool();
  const times = Array.from({ length: RUNS }, () => {
    const from = performance.now();
    const { proposals } = evaluate(observation, defaultScalingPolicy);
    const ms = performance.now() - from;
    if (proposals.length === 0) throw new Error('Nothing was decided.');
    return ms;
  });
  return median(times);
}

function bigPool(): PoolObservation {
  const good = { ok: true, atMs: NOW_MS, detail: '' };
  return {
    pool: 'big',
    observedAtMs: NOW_MS,
    mode: 'full',
    paused: false,
    capabilities: ['add', 'cordon', 'drain', 'remove', 'uncordon'],
    sources: { scheduler: good, health: good, leases: good, samples: good },
    nodes: Array.from({ length: NODES }, (_, index) => bigNode(index)),
    pending: Array.from({ length: PENDING }, (_, index) => ({
      id: `job-${index}`,
      gpus: 1 + (index % 16),
      gpuModel: 'H100',
      gang: true,
      priority: index % 3,
      sinceMs: NOW_MS - index * 10,
    })),
    demandHistory: [],
    memory: {
      decidingSinceMs: NOW_MS - 86_400_000,
      lastScaleOutMs: null,
      lastScaleInMs: null,
      lastReplaceMs: null,
      open: [],
    },
  };
}

function bigNode(index: number): PoolObservation['nodes'][number] {
  const used = index % 10 === 0 ? 0 : index % 9;
  return {
    node: `n${index}`,
    state: 'ready',
    sinceMs: NOW_MS - 7_200_000,
    idleSinceMs: used > 0 ? null : NOW_MS - 3_600_000,
    gpus: Array.from({ length: GPUS_PER_NODE }, (_, gpu) => ({
      gpuUuid: `GPU-${index}-${gpu}`,
      gpuModel: 'H100',
      leaseIds: gpu < used ? [`l-${index}-${gpu}`] : [],
      health: 'healthy',
      healthSinceMs: null,
      sampleMs: NOW_MS - 5_000,
      busiestRatio: gpu < used ? 0.9 : 0,
    })),
  };
}
