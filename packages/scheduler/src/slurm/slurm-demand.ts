/** Which jobs of a Slurm queue are demand for GPUs, and for how many. */
import { instantFromMs, type EpochMs } from '@poolmeter/domain';
import type { PendingDemand } from '../scheduler.js';
import { gpuCounts, numbersOf, type GpuCount } from './gres-text.js';
import type { SlurmNames } from './slurm-names.js';
import type { SlurmJob } from './slurm-wire.js';

/**
 * The reasons to wait that more nodes would end. Every other one (a quota such as AssocGrpGRES or QOSMaxGRESPerUser, a
 * dependency, a hold, a begin time, licences, reasons of later versions that we do not know) would leave new nodes idle.
 */
const REASONS_OF_DEMAND: ReadonlySet<string> = new Set([
  // Not looked at yet.
  '',
  'None',
  'Priority',
  'Resources',
  // Its nodes are down, drained or powered down now.
  'NodeDown',
  'ReqNodeNotAvail',
  'BadConstraints_Nodes',
]);

/** Slurm adds details after a comma: `ReqNodeNotAvail, UnavailableNodes:gpu3`. */
export function isDemand(job: SlurmJob): boolean {
  // It holds nodes that boot. Its lease begins when they have; until then they are on their way for it.
  if (job.job_state.includes('CONFIGURING')) return true;
  if (!job.job_state.includes('PENDING')) return false;
  return REASONS_OF_DEMAND.has((job.state_reason.split(',')[0] ?? '').trim());
}

/** All GPUs that the job asks for, by type. */
export function gpusWanted(job: SlurmJob): GpuCount[] {
  const nodes = Math.max(1, job.node_count ?? 1);
  const times = (text: string, factor: number) =>
    gpuCounts(text).map(({ type, count }) => ({ type, count: count * factor }));
  const perNode = times(job.tres_per_node, nodes);
  if (perNode.length > 0) return perNode;
  const perJob = times(job.tres_per_job, 1);
  if (perJob.length > 0) return perJob;
  const perTask = times(job.tres_per_task, Math.max(1, job.tasks ?? 1));
  if (perTask.length > 0) return perTask;
  return times(job.tres_per_socket, nodes * Math.max(1, job.sockets_per_node ?? 1));
}

/** The waiting work of a queue, an array's tasks one by one, as many of them as its own limit lets run. */
export function demandOf(jobs: readonly SlurmJob[], names: SlurmNames): PendingDemand[] {
  const running = new Map<number, number>();
  for (const job of jobs) {
    if ((job.array_job_id ?? 0) === 0 || job.job_state.includes('PENDING') || !isActive(job)) continue;
    running.set(job.array_job_id ?? 0, (running.get(job.array_job_id ?? 0) ?? 0) + 1);
  }
  return jobs.filter(isDemand).flatMap((job) => {
    const wanted = gpusWanted(job);
    return tasksOf(job, running.get(job.array_job_id ?? 0) ?? 0).flatMap((id) =>
      wanted.map((gpus) =>
        oneDemand(job, { id: wanted.length > 1 ? `${id}/${gpus.type ?? 'gpu'}` : id, gpus, names }),
      ),
    );
  });
}

function isActive(job: SlurmJob): boolean {
  return ['RUNNING', 'CONFIGURING', 'COMPLETING', 'SUSPENDED'].some((state) => job.job_state.includes(state));
}

function tasksOf(job: SlurmJob, running: number): string[] {
  if (job.array_task_string === '') return [String(job.job_id)];
  const [written = '', limitText] = job.array_task_string.split('%');
  // Long lists are cut with dots; what is left is less than the truth, never more.
  const tasks = numbersOf(written.replace(/,?\.\.\.$/, ''));
  const limit = Number(limitText ?? 0) || (job.array_max_tasks ?? 0);
  const room = limit === 0 ? tasks.length : Math.max(0, limit - running);
  return tasks.slice(0, room).map((task) => `${job.array_job_id ?? job.job_id}_${task}`);
}

function oneDemand(
  job: SlurmJob,
  { id, gpus, names }: { id: string; gpus: GpuCount; names: SlurmNames },
): PendingDemand {
  return {
    id,
    gpus: gpus.count,
    gpuModel: gpus.type === undefined ? undefined : names.modelOf(gpus.type),
    // Slurm starts a job with all that it asked for or not at all.
    gang: true,
    priority: job.priority ?? 0,
    customerId: names.customerOf(job),
    since: waitsSince(job),
  };
}

/** From when nothing but room was missing: a later begin time or a dependency is not waiting for nodes. */
function waitsSince(job: SlurmJob): EpochMs {
  return instantFromMs(Math.max(job.submit_time ?? 0, job.eligible_time ?? 0) * 1_000);
}
