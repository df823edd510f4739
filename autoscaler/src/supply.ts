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
  /** How many nodes have so many free GPUs, by that number: a gang of eight does not fit into eight nodes' rests. */
  readonly nodesByFree: readonly number[];
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
    } else if (source.atMs - observation.observedAtMs > policy.fresh.ahead_s * 1_000) {
      const aheadS = Math.round((source.atMs - observation.observedAtMs) / 1_000);
      faults.push({
        code: `${name}_ahead`,
        text: `The ${name} data is ${aheadS} s ahead: a clock is wrong.`,
      });
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
  let expected = 0;
  let fresh = 0;
  for (const node of observation.nodes) {
    if (node.state !== 'ready' && node.state !== 'cordoned') continue;
    for (const gpu of node.gpus) {
      if (isFaulty(gpu)) continue;
      expected += 1;
      if (hasFreshSample(gpu, observation, policy)) fresh += 1;
    }
  }
  return expected === 0 ? 1 : fresh / expected;
}

export function hasFreshSample(
  gpu: ObservedGpu,
  observation: PoolObservation,
  policy: ScalingPolicy,
): boolean {
  if (gpu.sampleMs === null) return false;
  const ageMs = observation.observedAtMs - gpu.sampleMs;
  return ageMs <= policy.fresh.within_s * 1_000 && -ageMs <= policy.fresh.ahead_s * 1_000;
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
  const counted = { observation, policy, partial: faults.length > 0 };
  const byModel = new Map<string, CountedModel>();
  for (const [gpuModel, shape] of Object.entries(policy.node_shapes)) {
    byModel.set(gpuModel, { gpuModel, gpusPerNode: shape, healthy: 0, free: 0, coming: 0, nodesByFree: [] });
  }
  let nodes = 0;
  let gpus = 0;
  for (const node of observation.nodes) {
    countNode(node, { byModel, counted });
    if (node.state === 'powered_down') continue;
    nodes += 1;
    gpus += node.gpus.length;
  }
  const since = observation.observedAtMs - policy.boot_timeout_s * 1_000;
  for (const open of observation.memory.open) {
    for (const coming of open.coming) {
      const model = byModel.get(coming.gpuModel);
      const comingGpus = coming.nodes * (model?.gpusPerNode ?? GPUS_OF_A_NODE_NOT_SEEN);
      nodes += coming.nodes;
      gpus += comingGpus;
      if (model !== undefined && open.sinceMs >= since) model.coming += comingGpus;
    }
  }
  const models = [...byModel.values()].sort((a, b) => (a.gpuModel < b.gpuModel ? -1 : 1));
  return { faults, byModel: models, nodes, gpus };
}

interface CountedModel extends Omit<ModelSupply, 'nodesByFree'> {
  gpusPerNode: number;
  healthy: number;
  free: number;
  coming: number;
  readonly nodesByFree: number[];
}

/** A node that nobody has seen yet is taken for one of eight. */
const GPUS_OF_A_NODE_NOT_SEEN = 8;

interface Counted {
  readonly observation: PoolObservation;
  readonly policy: ScalingPolicy;
  readonly partial: boolean;
}

function countNode(
  node: ObservedNode,
  { byModel, counted }: { byModel: Map<string, CountedModel>; counted: Counted },
): void {
  const booting = node.state === 'booting' && !hasBootTimedOut(node, counted.observation, counted.policy);
  const ofNode = new Map<string, number>();
  const freeHere = new Map<string, number>();
  for (const gpu of node.gpus) {
    let model = byModel.get(gpu.gpuModel);
    if (model === undefined) {
      model = { gpuModel: gpu.gpuModel, gpusPerNode: 0, healthy: 0, free: 0, coming: 0, nodesByFree: [] };
      byModel.set(gpu.gpuModel, model);
    }
    const here = (ofNode.get(gpu.gpuModel) ?? 0) + 1;
    ofNode.set(gpu.gpuModel, here);
    model.gpusPerNode = Math.max(model.gpusPerNode, here);
    if (booting && !isFaulty(gpu)) model.coming += 1;
    if (node.state !== 'ready' || !isCountable(gpu, counted)) continue;
    model.healthy += 1;
    if (isInUse(gpu, counted.policy)) continue;
    model.free += 1;
    freeHere.set(gpu.gpuModel, (freeHere.get(gpu.gpuModel) ?? 0) + 1);
  }
  for (const [gpuModel, free] of freeHere) {
    const nodes = byModel.get(gpuModel)?.nodesByFree ?? [];
    while (nodes.length <= free) nodes.push(0);
    nodes[free] = (nodes[free] ?? 0) + 1;
  }
}

/**
 * A GPU counts when it is healthy and telemetry sees it: a node may say "ready" before its GPUs are there. When the
 * data as a whole is in doubt, a GPU that merely is not seen still counts, else an outage of ours would buy nodes.
 */
function isCountable(gpu: ObservedGpu, { observation, policy, partial }: Counted): boolean {
  if (isFaulty(gpu) || gpu.health === 'verifying') return false;
  return partial || hasFreshSample(gpu, observation, policy);
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, one) => all + one, 0);
}
