/**
 * What Slurm's controller tells about jobs that have ended: when, and on which nodes, but no longer on which GPUs. Those
 * are remembered from looks while the job ran; a job that had whole nodes is known without.
 */
import { instantFromMs, PoolmeterError, type EpochMs } from '@poolmeter/domain';
import type { HeldShare } from '../scheduler.js';
import { gpuCounts } from './gres-text.js';
import { hostsOf } from './host-list.js';
import type { SlurmNames } from './slurm-names.js';
import { holdsGpus, sharesOf } from './slurm-shares.js';
import type { SlurmAnswers } from './slurm-observation.js';
import type { SlurmJob } from './slurm-wire.js';

export class SlurmAccount {
  #running = new Map<string, readonly string[]>();

  /** Notes on which GPUs jobs run. */
  note(jobs: readonly SlurmJob[]): void {
    const next = new Map<string, readonly string[]>();
    for (const job of jobs) {
      const seen = job.gres_detail.length > 0 ? job.gres_detail : this.#running.get(runOf(job));
      // A job that was last seen while its nodes booted may never have begun: what is not known is not billed.
      const details = job.job_state.includes('CONFIGURING') ? [] : seen;
      if (details !== undefined) next.set(runOf(job), details);
    }
    this.#running = next;
  }

  /** Every share held at some time since `since`, of the jobs that Slurm still lists. */
  sharesSince(since: EpochMs, { answers, names }: { answers: SlurmAnswers; names: SlurmNames }): HeldShare[] {
    const sizes = new Map(answers.nodes.map((node) => [node.name, gpuCounts(node.gres)]));
    return answers.jobs.flatMap((job) => {
      if (holdsGpus(job)) return sharesOf(job, names);
      if (!hasEnded(job)) return [];
      const endedAt = instantFromMs((job.end_time ?? 0) * 1_000);
      if (endedAt <= since) return [];
      const details = this.#running.get(runOf(job)) ?? wholeNodes(job, sizes);
      return sharesOf({ ...job, gres_detail: [...details] }, names).map((share) => ({ ...share, endedAt }));
    });
  }
}

function runOf(job: SlurmJob): string {
  return `${job.job_id}.${job.restart_cnt ?? 0}`;
}

/** A job that was cancelled while it waited has an end too, but never had nodes or a start before it. */
function hasEnded(job: SlurmJob): boolean {
  const waits = ['PENDING', 'CONFIGURING', 'RUNNING', 'SUSPENDED'].some((state) =>
    job.job_state.includes(state),
  );
  const ran = job.job_state.includes('COMPLETING') || !waits;
  return ran && job.nodes !== '' && (job.start_time ?? 0) > 0 && (job.end_time ?? 0) >= (job.start_time ?? 0);
}

type Sizes = ReadonlyMap<string, readonly { type: string | undefined; count: number }[]>;

/** The details of a job that asked for all GPUs of each of its nodes; none when it cannot be told which it had. */
function wholeNodes(job: SlurmJob, sizes: Sizes): string[] {
  const asked = gpuCounts(job.tres_per_node).reduce((total, { count }) => total + count, 0);
  const details = hostsOf(job.nodes).map((host) => {
    const [only, ...others] = sizes.get(host) ?? [];
    if (only === undefined || others.length > 0 || only.count !== asked) return undefined;
    return `gpu:${only.type === undefined ? '' : `${only.type}:`}${only.count}(IDX:0-${only.count - 1})`;
  });
  return details.every((detail) => detail !== undefined) ? details : [];
}

/** Slurm forgets ended jobs after MinJobAge; asked for more, it would leave out what it forgot without a word. */
export function refuseForgotten(
  since: EpochMs,
  { now, minJobAgeMs }: { now: EpochMs; minJobAgeMs: number },
): void {
  if (since >= now - minJobAgeMs) return;
  throw new PoolmeterError(
    'not_found',
    `Slurm forgets ended jobs after ${minJobAgeMs / 1_000} s (MinJobAge) and cannot account further back.`,
  );
}
