/** One observation from one pair of Slurm's answers: a pure translation. */
import { instantFromMs, PoolmeterError, type EpochMs } from '@poolmeter/domain';
import { nodeMatches } from '@poolmeter/telemetry-schema';
import type { HeldShare, SchedulerGpu, SchedulerNode, SchedulerObservation } from '../scheduler.js';
import { gpuCounts } from './gres-text.js';
import { hostsOf } from './host-list.js';
import { demandOf } from './slurm-demand.js';
import type { SlurmNames } from './slurm-names.js';
import { nodeStateOf } from './slurm-node-state.js';
import { holdsGpus, sharesOf } from './slurm-shares.js';
import type { SlurmJob, SlurmNode } from './slurm-wire.js';

/** What of a cluster belongs to the pool. */
export interface SlurmScope {
  readonly nodePatterns: readonly string[];
  /** Empty: every partition. */
  readonly partitions: readonly string[];
}

export interface SlurmAnswers {
  readonly nodes: readonly SlurmNode[];
  readonly jobs: readonly SlurmJob[];
  readonly at: EpochMs;
}

export function observationFromSlurm(
  answers: SlurmAnswers,
  { scope, names }: { scope: SlurmScope; names: SlurmNames },
): SchedulerObservation {
  const nodes = answers.nodes.filter((node) => isNodeInScope(node, scope));
  if (nodes.length === 0) {
    throw new PoolmeterError(
      'wire.malformed',
      `None of Slurm's ${answers.nodes.length} nodes belongs to pool ${names.pool}: compare its nodes and partitions in the pools file with sinfo.`,
      { retriable: true },
    );
  }
  refuseHiddenJobs(nodes, answers.jobs);
  const inPool = new Set(nodes.map((node) => node.name));
  const held = answers.jobs
    .filter(holdsGpus)
    .flatMap((job) => sharesOf(job, names))
    .filter((share) => inPool.has(share.node));
  const leases = leasesByPlace(held);
  return {
    observedAt: answers.at,
    nodes: nodes.map((node) => schedulerNode(node, { leases: leases.get(node.name), names, at: answers.at })),
    pending: demandOf(
      answers.jobs.filter((job) => isJobInScope(job, scope)),
      names,
    ),
    held,
  };
}

export function isNodeInScope(node: SlurmNode, scope: SlurmScope): boolean {
  const named = scope.nodePatterns.some((pattern) => nodeMatches(pattern, node.name));
  return (
    named && (scope.partitions.length === 0 || node.partitions.some((one) => scope.partitions.includes(one)))
  );
}

/** A waiting job may name several partitions: it runs in whichever has room first. */
export function isJobInScope(job: SlurmJob, scope: SlurmScope): boolean {
  return (
    scope.partitions.length === 0 || job.partition.split(',').some((one) => scope.partitions.includes(one))
  );
}

/** GPUs in use that no listed job explains mean that jobs are hidden from us; then "nobody waits" may be false too. */
function refuseHiddenJobs(nodes: readonly SlurmNode[], jobs: readonly SlurmJob[]): void {
  const explained = new Set(jobs.flatMap((job) => hostsOf(job.nodes)));
  const hidden = nodes.find((node) => gpuCounts(node.gres_used).length > 0 && !explained.has(node.name));
  if (hidden === undefined) return;
  throw new PoolmeterError(
    'wire.malformed',
    `Node ${hidden.name} has GPUs in use (${hidden.gres_used}), but no job that Slurm lists is there: give poolmeter a Slurm user that may see all jobs (PrivateData=jobs hides them).`,
    { retriable: true },
  );
}

/** Node → GPU index → leases. */
type LeasesByPlace = Map<string, Map<number, string[]>>;

function leasesByPlace(held: readonly HeldShare[]): LeasesByPlace {
  const places: LeasesByPlace = new Map();
  for (const share of held) {
    const ofNode = places.get(share.node) ?? new Map<number, string[]>();
    places.set(
      share.node,
      ofNode.set(share.gpuIndex, [...(ofNode.get(share.gpuIndex) ?? []), share.leaseId]),
    );
  }
  return places;
}

function schedulerNode(
  node: SlurmNode,
  { leases, names, at }: { leases: Map<number, string[]> | undefined; names: SlurmNames; at: EpochMs },
): SchedulerNode {
  const state = nodeStateOf(node);
  const models = gpuCounts(node.gres).flatMap(({ type, count }) =>
    Array.from({ length: count }, () => names.modelOf(type ?? 'gpu')),
  );
  const gpus = models.map((gpuModel, gpuIndex): SchedulerGpu => ({
    gpuUuid: names.gpuUuidOf(node.name, gpuIndex),
    gpuIndex,
    gpuModel,
    leaseIds: leases?.get(gpuIndex) ?? [],
  }));
  return { node: node.name, state, reason: node.reason, gpus, since: since(node, { state, at }) };
}

/** Slurm dates reasons and boots. Other changes are dated by who watches (`since-states.ts`), beginning with this look. */
function since(node: SlurmNode, { state, at }: { state: SchedulerNode['state']; at: EpochMs }): EpochMs {
  const seconds =
    state === 'cordoned' || state === 'draining' || state === 'down'
      ? node.reason_changed_at
      : state === 'ready'
        ? node.boot_time
        : undefined;
  const ms = (seconds ?? 0) * 1_000;
  return ms > 0 && ms < at ? instantFromMs(ms) : at;
}
