/** Jobs that wait and run: starting, ending, dying with their hardware, and what they do to their GPUs meanwhile. */
import { PoolmeterError } from '@poolmeter/domain';
import type { EventQueue } from './event-queue.js';
import type { JobSpec, PendingJob, Placement, RunningJob } from './job.js';
import type { LeaseBook } from './lease-book.js';
import { findPlacement } from './placement.js';
import { hash32, unitAt } from './random.js';
import type { SimulatedGpu } from './simulated-gpu.js';
import type { SimulatedNode } from './simulated-node.js';
import { createLoad, loadSeed, type WorkloadProfile } from './workload-pattern.js';

/** Nobody waits longer than this. */
const PATIENCE_MS = 10 * 3_600_000;
const MAX_PENDING = 200;
const HOUR_MS = 3_600_000;

export interface JobBookParts {
  readonly nodes: ReadonlyMap<string, SimulatedNode>;
  readonly events: EventQueue;
  readonly leases: LeaseBook;
}

export class JobBook {
  readonly #parts: JobBookParts;
  #pending: PendingJob[] = [];
  readonly #running = new Map<string, RunningJob>();

  constructor(parts: JobBookParts) {
    this.#parts = parts;
  }

  get pending(): readonly PendingJob[] {
    return this.#pending;
  }

  get running(): Iterable<RunningJob> {
    return this.#running.values();
  }

  /** Puts a job in the queue and starts what fits. A full queue turns it away, as a scheduler's limit does. */
  submit(spec: JobSpec, at: number): void {
    if (this.#pending.length >= MAX_PENDING) return;
    const job = { spec, since: at };
    this.#pending.push(job);
    this.#pending.sort((a, b) => b.spec.priority - a.spec.priority || a.since - b.since);
    this.startWhatFits(at);
    this.#parts.events.schedule(at + PATIENCE_MS, () => {
      this.#pending = this.#pending.filter((one) => one !== job);
    });
  }

  /** In order of the queue; a job that does not fit lets smaller ones pass. */
  startWhatFits(at: number): void {
    for (const job of [...this.#pending]) {
      const placements = findPlacement(job.spec, this.#parts.nodes.values());
      if (placements === undefined) continue;
      this.#pending = this.#pending.filter((one) => one !== job);
      this.startOn(job.spec, placements, at);
    }
  }

  /** Starts a job on given places, which must be free. */
  startOn(spec: JobSpec, placements: readonly Placement[], at: number): void {
    const taken = placements.find(({ gpu, place }) => gpu.holders[place] !== undefined);
    if (taken !== undefined) {
      throw new PoolmeterError(
        'input.conflict',
        `Job ${spec.jobId} wants GPU ${taken.gpu.index} of ${taken.gpu.node}, which job ${taken.gpu.holders[taken.place] ?? ''} holds.`,
      );
    }
    const leaseIds = placements.map((_, rank) => spec.leaseIds?.[rank] ?? `${spec.jobId}-${rank}`);
    const job: RunningJob = { spec, startedAt: at, endsAt: at + spec.durationMs, placements, leaseIds };
    this.#running.set(spec.jobId, job);
    placements.forEach((placement, rank) => {
      const node = this.#parts.nodes.get(placement.gpu.node);
      if (node === undefined) throw new Error(`Node ${placement.gpu.node} is gone.`);
      this.#parts.leases.open(leaseIds[rank] ?? '', { spec, placement, node, at });
      placement.gpu.holders[placement.place] = spec.jobId;
      placement.gpu.leaseIds[placement.place] = leaseIds[rank];
    });
    this.#parts.events.schedule(job.endsAt, () => {
      if (this.#running.get(spec.jobId) !== job) return;
      this.end(job, job.endsAt);
      this.startWhatFits(job.endsAt);
    });
    for (const placement of placements) this.#warmUp(job, placement, at);
    if (spec.profile === 'inference_bursty') this.#relevelHourly(job, at);
  }

  end(job: RunningJob, at: number): void {
    this.#running.delete(job.spec.jobId);
    for (const leaseId of job.leaseIds) this.#parts.leases.close(leaseId, at);
    for (const { gpu, place } of job.placements) {
      gpu.holders[place] = undefined;
      gpu.leaseIds[place] = undefined;
      gpu.loads[place] = undefined;
      gpu.note(at);
    }
  }

  /**
   * The hardware under a job is gone, or its process died: batch jobs end now and are queued again for the rest when
   * `requeue`; rentals keep their leases and stand still until `resume`. Answers the leases that it hit.
   */
  interrupt(gpu: SimulatedGpu, change: { at: number; requeue: boolean; endRentals?: boolean }): string[] {
    const hit: string[] = [];
    for (const job of this.#jobsOn(gpu)) {
      job.placements.forEach((placement, rank) => {
        if (placement.gpu === gpu) hit.push(job.leaseIds[rank] ?? '');
      });
      if (!job.spec.keepsLease || change.endRentals === true) {
        this.end(job, change.at);
        if (change.requeue) this.#requeue(job, change.at);
        continue;
      }
      for (const placement of job.placements) {
        if (placement.gpu === gpu) gpu.loads[placement.place] = undefined;
      }
    }
    return hit;
  }

  /** Rentals on a board that works again load their data and go on. */
  resume(gpu: SimulatedGpu, at: number): void {
    for (const job of this.#jobsOn(gpu)) {
      for (const placement of job.placements) {
        if (placement.gpu === gpu && gpu.loads[placement.place] === undefined) {
          this.#warmUp(job, placement, at);
        }
      }
    }
  }

  #jobsOn(gpu: SimulatedGpu): RunningJob[] {
    const ids = new Set(gpu.holders);
    return [...this.#running.values()].filter((job) => ids.has(job.spec.jobId));
  }

  /** The rest of the work, in a job of its own: lease ids are never used twice. */
  #requeue(job: RunningJob, at: number): void {
    const durationMs = job.endsAt - at;
    if (durationMs < 60_000) return;
    const { leaseIds: _given, ...spec } = job.spec;
    this.submit({ ...spec, jobId: `${spec.jobId}r`, seed: hash32(spec.seed, 7), durationMs }, at);
  }

  /** Some minutes of loading, then the real work. */
  #warmUp(job: RunningJob, placement: Placement, at: number): void {
    const { spec } = job;
    if (spec.profile === 'idle_leased') {
      this.#setActivity(job, placement, { profile: spec.profile, at });
      return;
    }
    this.#setActivity(job, placement, { profile: 'data_loading', at });
    const workAt = at + Math.floor(40_000 + 200_000 * unitAt(spec.seed, 11));
    this.#parts.events.schedule(workAt, () => {
      const standsStill = placement.gpu.loads[placement.place] === undefined;
      if (this.#running.get(spec.jobId) !== job || standsStill) return;
      this.#setActivity(job, placement, { profile: spec.profile, at: workAt });
    });
  }

  /** People ask more by day than by night. */
  #relevelHourly(job: RunningJob, from: number): void {
    const at = from + HOUR_MS;
    this.#parts.events.schedule(at, () => {
      if (this.#running.get(job.spec.jobId) !== job) return;
      for (const placement of job.placements) {
        if (placement.gpu.loads[placement.place] === undefined) continue;
        this.#setActivity(job, placement, { profile: job.spec.profile, at });
      }
      this.#relevelHourly(job, at);
    });
  }

  #setActivity(
    job: RunningJob,
    placement: Placement,
    change: { profile: WorkloadProfile; at: number },
  ): void {
    const { gpu, place } = placement;
    const { spec } = job;
    const rank = job.placements.indexOf(placement);
    const instance = gpu.instances[place];
    const memoryMib = instance?.profile.memoryMib ?? gpu.model.memoryTotalMib - gpu.model.memoryReservedMib;
    const dayTime = ((change.at % (24 * HOUR_MS)) / (24 * HOUR_MS)) * 2 * Math.PI;
    const demand = change.profile === 'inference_bursty' ? 1 - 0.45 * Math.cos(dayTime - 0.6) : 1;
    gpu.loads[place] = createLoad({
      profile: change.profile,
      model: gpu.model,
      seed: loadSeed(spec.seed, rank),
      originMs: change.at,
      memoryUsedMib: Math.floor(memoryMib * memoryPart(spec)),
      boardPart: instance === undefined ? 1 : instance.profile.computeSlices / 7,
      intensity: spec.intensity * demand,
    });
    gpu.note(change.at);
  }
}

/** How much of its memory a job fills. */
function memoryPart(spec: JobSpec): number {
  const unit = unitAt(spec.seed, 21);
  switch (spec.profile) {
    case 'notebook':
      return 0.04 + 0.3 * unit;
    case 'idle_leased':
      return 0.2 + 0.5 * unit;
    case 'stalled':
      return 0.15 + 0.5 * unit;
    default:
      return 0.45 + 0.5 * unit;
  }
}
