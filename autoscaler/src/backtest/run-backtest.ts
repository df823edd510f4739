/** Runs policies over a trace and makes the figures that the table, the JSON and the report show. */
import { digestOf, fraction, Money, times, toDecimalText, type Fraction } from '@poolmeter/domain';
import { exact } from '../cost-of-nodes.js';
import type { ScalingPolicy } from '../scaling-policy.js';
import { classicSizer, type ClassicPolicy } from './classic-policies.js';
import type { JobTrace } from './job-trace.js';
import { oracle } from './oracle.js';
import { simulatePool, type Simulation } from './simulate-pool.js';
import { sizerOf } from './size-by-policy.js';

export type BacktestPolicy =
  | { readonly name: string; readonly kind: 'oracle' | 'static-peak' | 'static-mean' }
  | { readonly name: string; readonly kind: 'poolmeter'; readonly policy: ScalingPolicy }
  | { readonly name: string; readonly kind: 'classic'; readonly policy: ClassicPolicy };

export interface BacktestPool {
  readonly gpusPerNode: number;
  readonly bootS: number;
  readonly tickS: number;
  /** Work that waits longer than this is over the objective. */
  readonly objectiveS: number;
  readonly currency: string;
  readonly costPerGpuHour: string;
}

export interface BacktestResult {
  readonly name: string;
  readonly policy_digest: string;
  readonly cost: { readonly amount: string; readonly currency: string };
  readonly gpu_hours: { readonly provisioned: string; readonly used: string; readonly idle: string };
  readonly wait_s: { readonly p50: number | null; readonly p95: number | null; readonly p99: number | null };
  readonly over_objective_share: number;
  readonly nodes_added: number;
  readonly nodes_removed: number;
  readonly most_nodes: number;
  /** No policy here may take a node with work. */
  readonly jobs_interrupted: number;
  /** Cost over that of perfect foresight, minus one. */
  readonly regret: number;
  readonly series: Simulation['series'];
}

export function runBacktest(
  trace: JobTrace,
  policies: readonly BacktestPolicy[],
  pool: BacktestPool,
): BacktestResult[] {
  const foresight = oracle(trace, pool);
  return policies.map((policy) => {
    return resultOf(policy, simulate(trace, policy, { pool, foresight }), { pool, foresight });
  });
}

function simulate(
  trace: JobTrace,
  policy: BacktestPolicy,
  { pool, foresight }: { pool: BacktestPool; foresight: Simulation },
): Simulation {
  const lastS = trace.arrivalS[trace.arrivalS.length - 1] ?? 0;
  const mean = Math.ceil(foresight.provisionedGpuS / Math.max(1, lastS) / pool.gpusPerNode);
  const fixed = (nodes: number) =>
    simulatePool(trace, () => 0, { ...pool, startNodes: Math.max(nodes, biggestJobNodes(trace, pool)) });
  switch (policy.kind) {
    case 'oracle':
      return foresight;
    case 'static-peak':
      return fixed(foresight.mostNodes);
    case 'static-mean':
      return fixed(mean);
    case 'poolmeter':
      return simulatePool(trace, sizerOf(policy.policy), { ...pool, startNodes: 1 });
    case 'classic':
      return simulatePool(trace, classicSizer(policy.policy), { ...pool, startNodes: 1 });
  }
}

/** A size that never changes must hold the biggest job, else that one never starts. */
function biggestJobNodes(trace: JobTrace, { gpusPerNode }: BacktestPool): number {
  return Math.ceil(trace.gpus.reduce((most, gpus) => Math.max(most, gpus), 1) / gpusPerNode);
}

function resultOf(
  policy: BacktestPolicy,
  run: Simulation,
  { pool, foresight }: { pool: BacktestPool; foresight: Simulation },
): BacktestResult {
  const waits = Float64Array.from(run.waitS).sort();
  const cost = times(hours(run.provisionedGpuS), exact(pool.costPerGpuHour));
  const over_ = waits.length - firstAbove(waits, pool.objectiveS);
  return {
    name: policy.name,
    policy_digest: digestOf('policy' in policy ? policy.policy : { kind: policy.kind }),
    cost: Money.round(cost, pool.currency).toJSON(),
    gpu_hours: {
      provisioned: toDecimalText(hours(run.provisionedGpuS), 3),
      used: toDecimalText(hours(run.usedGpuS), 3),
      idle: toDecimalText(hours(Math.max(0, run.provisionedGpuS - run.usedGpuS)), 3),
    },
    wait_s: { p50: quantile(waits, 0.5), p95: quantile(waits, 0.95), p99: quantile(waits, 0.99) },
    over_objective_share: over_ / waits.length,
    nodes_added: run.nodesAdded,
    nodes_removed: run.nodesRemoved,
    most_nodes: run.mostNodes,
    jobs_interrupted: 0,
    regret: run.provisionedGpuS / foresight.provisionedGpuS - 1,
    series: run.series,
  };
}

function hours(gpuS: number): Fraction {
  return fraction(BigInt(Math.round(gpuS * 1_000)), 3_600_000n);
}

/** The smallest value that so large a share of the jobs does not exceed; null when they never started. */
function quantile(sorted: Float64Array, share: number): number | null {
  const value = sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
  return Number.isFinite(value) ? value : null;
}

function firstAbove(sorted: Float64Array, limit: number): number {
  const index = sorted.findIndex((value) => value > limit);
  return index < 0 ? sorted.length : index;
}
