/** Jobs and faults at exact instants, for tests that follow one of them. */
import type { EpochMs } from '@poolmeter/domain';
import type { FaultKind, Recovery } from './fault-kind.js';
import type { PricingMode } from './job.js';
import type { WorkloadProfile } from './workload-pattern.js';

interface ScenarioJobBase {
  readonly customerId: string;
  readonly project?: string;
  readonly pricingMode?: PricingMode;
  readonly profile?: WorkloadProfile;
  readonly priority?: number;
}

/** A job on a given GPU at given instants. It keeps its lease through faults unless told otherwise. */
export interface ScenarioLease extends ScenarioJobBase {
  readonly leaseId: string;
  readonly node: string;
  readonly gpuIndex: number;
  /** GPU instance id (`GPU_I_ID`) on a board in MIG mode. */
  readonly gpuInstanceId?: number;
  readonly startsAt: EpochMs;
  readonly endsAt: EpochMs;
  readonly keepsLease?: boolean;
}

/** A job that goes through the scheduler's queue. */
export interface ScenarioSubmission extends ScenarioJobBase {
  readonly jobId: string;
  readonly submittedAt: EpochMs;
  readonly durationMs: number;
  readonly gpus: number;
  readonly gpuModel?: string;
  readonly migProfile?: string;
}

export interface ScenarioFault {
  readonly kind: FaultKind;
  readonly node: string;
  /** Needed for faults of a GPU. */
  readonly gpuIndex?: number;
  readonly at: EpochMs;
  readonly healthyAt: EpochMs;
  /** How it is mended; the board alone (`gpu_reset`) unless told otherwise. */
  readonly recovery?: Recovery;
}

export interface Scenario {
  readonly leases?: readonly ScenarioLease[];
  readonly submissions?: readonly ScenarioSubmission[];
  readonly faults?: readonly ScenarioFault[];
}
