import type { SimulatedGpu } from './simulated-gpu.js';
import type { WorkloadProfile } from './workload-pattern.js';

export type PricingMode = 'on_demand' | 'reserved' | 'spot';

/** What a customer asks for. */
export interface JobSpec {
  readonly jobId: string;
  readonly seed: number;
  readonly customerId: string;
  readonly project: string;
  readonly pricingMode: PricingMode;
  /** Whole GPUs of one node, all or nothing; 1 when a MIG profile is asked for. */
  readonly gpus: number;
  /** A MIG profile such as `1g.10gb`; undefined = whole GPUs. */
  readonly migProfile: string | undefined;
  /** Model names that will do; empty = any. */
  readonly gpuModels: readonly string[];
  readonly durationMs: number;
  readonly profile: WorkloadProfile;
  readonly intensity: number;
  readonly priority: number;
  /**
   * True: a rental, which goes on through faults until it is ended. False: a batch job, which dies with its GPU and is
   * queued again for what was left.
   */
  readonly keepsLease: boolean;
  /** Given names of the leases, by rank; made from the job id when absent. */
  readonly leaseIds?: readonly string[];
}

/** A job that waits. */
export interface PendingJob {
  readonly spec: JobSpec;
  readonly since: number;
}

/** A whole board (place 0), or one MIG instance of it. */
export interface Placement {
  readonly gpu: SimulatedGpu;
  readonly place: number;
}

export interface RunningJob {
  readonly spec: JobSpec;
  readonly startedAt: number;
  readonly endsAt: number;
  readonly placements: readonly Placement[];
  readonly leaseIds: readonly string[];
}
