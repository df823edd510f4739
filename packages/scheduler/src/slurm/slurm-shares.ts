/** Who holds which GPU of a Slurm cluster, from its jobs. */
import { instantFromMs, ONE, PoolmeterError } from '@poolmeter/domain';
import type { HeldShare } from '../scheduler.js';
import { gpuIndexes } from './gres-text.js';
import { hostsOf } from './host-list.js';
import { gpuPlace, type SlurmNames } from './slurm-names.js';
import type { SlurmJob } from './slurm-wire.js';

/** Suspended jobs keep their GPUs. One that configures has none yet: its start is set anew when its nodes are up. */
export function holdsGpus(job: SlurmJob): boolean {
  const { job_state: states } = job;
  if (states.includes('CONFIGURING') || states.includes('COMPLETING')) return false;
  return states.includes('RUNNING') || states.includes('SUSPENDED');
}

/** The shares of one job that holds GPUs now; an empty list for jobs without GPUs. */
export function sharesOf(job: SlurmJob, names: SlurmNames): HeldShare[] {
  const hosts = hostsOf(job.nodes);
  const details = job.gres_detail;
  if (details.length === 0) return [];
  if (details.length !== hosts.length) {
    throw new PoolmeterError(
      'wire.malformed',
      `Slurm says that job ${job.job_id} runs on ${hosts.length} nodes but names GPUs on ${details.length}.`,
      { retriable: true },
    );
  }
  const startedAt = instantFromMs((job.start_time ?? 0) * 1_000);
  return hosts.flatMap((node, position) =>
    gpuIndexes(details[position] ?? '').flatMap(({ type, indexes }) =>
      indexes.map((index): HeldShare => ({
        leaseId: leaseIdOf(job, { node, index }),
        customerId: names.customerOf(job),
        project: names.projectOf(job),
        providerId: names.providerId,
        pool: names.pool,
        node,
        gpuUuid: names.gpuUuidOf(node, index),
        gpuInstance: '',
        gpuIndex: index,
        gpuModel: names.modelOf(type ?? 'gpu'),
        share: ONE,
        pricingMode: names.pricingModeOf(job),
        startedAt,
        endedAt: undefined,
      })),
    ),
  );
}

/** A job that is requeued keeps its id, so each run of it is told apart by the count of restarts. */
function leaseIdOf(job: SlurmJob, place: { node: string; index: number }): string {
  const cluster = job.cluster === '' ? 'slurm' : job.cluster;
  return `${cluster}-${job.job_id}.${job.restart_cnt ?? 0}-${gpuPlace(place.node, place.index)}`;
}
