/** Which GPUs can be counted on. Only healthy ones that telemetry sees; doubt about the data never looks like a shortage. */
import type { ObservedGpu, ObservedNode, PoolObservation } from './observation.js';
import type { ScalingPolicy } from './scaling-policy.js';

/** A source that failed, an answer that is too old, or too few fresh samples. Empty = the data is good. */
export interface DataFault {
  readonly code: string;
  readonly text: string;
}

export interface ModelSupply {
  readonly gpuModel: string;
  readonly gpusPerNode: number;
  /** Healthy GPUs on nodes that take work or could again. */
  readonly healthy: number;
  /** Of these, those that take work now and have none. */
  readonly free: number;
  /** On nodes that boot or were asked for, as long as their time is not up. */
  readonly coming: number;
}

export function dataFaults(observation: PoolObservation, policy: ScalingPolicy): DataFault[] {
  const faults: DataFault[] = [];
  // In a fixed order: that of the object's keys would not outlive being stored.
  for (const name of ['scheduler', 'health', 'leases', 'samples'] as const) {
    const source = observation.sources[name];
    if (!source.ok) {
      faults.push({ code: `${name}_failed`, text: `The ${name} source failed: ${source.detail}` });
    } else if (observation.observedAtMs - source.atMs > policy.fresh.within_s * 1_000) {
      const ageS = Math.round((observation.observedAtMs - source.atMs) / 1_000);
      faults.push({ code: `${name}_stale`, text: `The newest ${name} data is ${ageS} s old.` });
    }
  }
  const coverage = sampleCoverage(observation, policy);
  if (coverage < policy.fresh.coverage_ratio) {
    const percent = Math.floor(coverage * 100);
    faults.push({ code: 'samples_partial', text: `Only ${percent} % of the GPUs have fresh samples.` });
  }
  return faults;
}

/** The share of GPUs with a fresh sample among those that should have one. */
function sampleCoverage(observation: PoolObservation, policy: ScalingPolicy): number {
  const expected = observation.nodes
    .filter((node) => node.state === 'ready' || node.state === 'cordoned')
    .flatMap((node) => node.gpus)
    .filter((gpu) => gpu.health !== 'lost' && gpu.health !== 'faulty');
  if (expected.length === 0) return 1;
  return expected.filter((gpu) => hasFreshSample(gpu, observation, policy)).length / expected.length;
}

export function hasFreshSample(
  gpu: ObservedGpu,
  observation: PoolObservation,
  policy: ScalingPolicy,
): boolean {
  return gpu.sampleMs !== null && observation.observedAtMs - gpu.sampleMs <= policy.fresh.within_s * 1_000;
}

export function isFaulty(gpu: ObservedGpu): boolean {
  return gpu.health === 'faulty' || gpu.health === 'lost';
}

export function isBusy(gpu: ObservedGpu, policy: ScalingPolicy): boolean {
  return gpu.busiestRatio !== null && gpu.busiestRatio > policy.busy_above_ratio;
}

/** Leased according to the scheduler or to billing, or at work according to telemetry. */
export function isInUse(gpu: ObservedGpu, policy: ScalingPolicy): boolean {
  return gpu.leaseIds.length > 0 || isBusy(gpu, policy);
}

/** Idle is a thing to be proved: fresh samples that report activity, none of it work, and no lease. */
export function isProvedIdle(gpu: ObservedGpu, observation: PoolObservation, policy: ScalingPolicy): boolean {
  return !isInUse(gpu, policy) && gpu.busiestRatio !== null && hasFreshSample(gpu, observation, policy);
}

/** A node in the state `booting` for longer than the policy allows. */
export function hasBootTimedOut(
  node: ObservedNode,
  observation: PoolObservation,
  policy: ScalingPolicy,
): boolean {
  return node.state === 'booting' && observation.observedAtMs - node.sinceMs > policy.boot_timeout_s * 1_000;
}

export interface PoolSupply {
  readonly faults: readonly DataFault[];
  readonly byModel: readonly ModelSupply[];
  /** Nodes that exist or are on their way; powered-down ones do not count. */
  readonly nodes: number;
  readonly gpus: number;
}

export function supplyOf(observation: PoolObservation, policy: ScalingPolicy): PoolSupply {
  const faults = dataFaults(observation, policy);
  const models = [
    ...new Set(observation.nodes.flatMap((node) => node.gpus.map((gpu) => gpu.gpuModel))),
  ].sort();
  const counted = { observation, policy, partial: faults.length > 0 };
  const byModel = models.map((gpuModel) => supplyOfModel(gpuModel, counted));
  const running = observation.nodes.filter((node) => node.state !== 'powered_down');
  const asked = observation.memory.open.flatMap((open) => open.coming);
  const askedGpus = asked.map(({ gpuModel, nodes }) => nodes * gpusPerNode(gpuModel, observation));
  return {
    faults,
    byModel,
    nodes: running.length + sum(asked.map((one) => one.nodes)),
    gpus: sum(running.map((node) => node.gpus.length)) + sum(askedGpus),
  };
}

interface Counted {
  readonly observation: PoolObservation;
  readonly policy: ScalingPolicy;
  readonly partial: boolean;
}

function supplyOfModel(gpuModel: string, counted: Counted): ModelSupply {
  const { observation, policy } = counted;
  const onNodes = (state: (node: ObservedNode) => boolean) =>
    observation.nodes
      .filter(state)
      .flatMap((node) => node.gpus)
      .filter((gpu) => gpu.gpuModel === gpuModel);
  const healthy = onNodes((node) => node.state === 'ready').filter((gpu) => isCountable(gpu, counted));
  const booting = onNodes((node) => node.state === 'booting' && !hasBootTimedOut(node, observation, policy));
  const perNode = gpusPerNode(gpuModel, observation);
  return {
    gpuModel,
    gpusPerNode: perNode,
    healthy: healthy.length,
    free: healthy.filter((gpu) => !isInUse(gpu, policy)).length,
    coming: booting.filter((gpu) => !isFaulty(gpu)).length + comingNodes(gpuModel, counted) * perNode,
  };
}

/**
 * A GPU counts when it is healthy and telemetry sees it: a node may say "ready" before its GPUs are there. When the
 * data as a whole is in doubt, a GPU that merely is not seen still counts, else an outage of ours would buy nodes.
 */
function isCountable(gpu: ObservedGpu, { observation, policy, partial }: Counted): boolean {
  if (isFaulty(gpu) || gpu.health === 'verifying') return false;
  return partial || hasFreshSample(gpu, observation, policy);
}

function comingNodes(gpuModel: string, { observation, policy }: Counted): number {
  const since = observation.observedAtMs - policy.boot_timeout_s * 1_000;
  return sum(
    observation.memory.open
      .filter((open) => open.sinceMs >= since)
      .flatMap((open) => open.coming)
      .filter((coming) => coming.gpuModel === gpuModel)
      .map((coming) => coming.nodes),
  );
}

/** What one node of this model brings: the most that any node of the pool has; 8 before the first one was seen. */
export function gpusPerNode(gpuModel: string, observation: PoolObservation): number {
  const counts = observation.nodes.map((node) => node.gpus.filter((gpu) => gpu.gpuModel === gpuModel).length);
  return Math.max(0, ...counts) || 8;
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, one) => all + one, 0);
}
