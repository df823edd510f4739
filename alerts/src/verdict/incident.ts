/** What verdicts are: incidents with the intervals that billing and the autoscaler act on. */
import type { EpochMs } from '@poolmeter/domain';
import type { Action, Fault, Severity } from '../policy/fault-policy.js';
import type { BusPosition } from './evidence.js';

/** One piece of evidence as the policy reads it. */
export interface Symptom {
  readonly id: string;
  readonly fault: Fault;
  readonly node: string;
  /** '' when the fault concerns the whole node, or when the GPU behind a bus id is not known. */
  readonly gpuUuid: string;
  readonly gpuInstance: string;
  /** The GPU as the log names it, when no scrape has told its UUID. */
  readonly pciBusId: string;
  readonly ts: EpochMs;
  /** The end of evidence that lasts; equal to `ts` for a moment, undefined while it goes on. */
  readonly until: EpochMs | undefined;
  readonly kind: string;
  readonly code: number;
  readonly message: string;
  readonly bootId: string;
  readonly pool: string;
  readonly providerId: string;
  readonly demo: boolean;
  readonly position: BusPosition | undefined;
  /** What the driver asks for in this evidence: 0 nothing, 1 reset, 2 reboot, 3 drain peer-to-peer, 4 drain and reset. */
  readonly recoveryAction: number;
}

/** `acknowledged` is an operator's mark on an open incident and no matter of evidence. */
type IncidentState = 'open' | 'verifying' | 'resolved' | 'expired';

export interface VerdictInterval {
  readonly gpuUuid: string;
  readonly gpuInstance: string;
  readonly start: EpochMs;
  /** Undefined while the incident is not cleared. */
  readonly end: EpochMs | undefined;
}

export interface FaultIncident {
  /** The fault that leads: the cause, where causes and consequences came together. */
  readonly fault: Fault;
  readonly code: string;
  readonly title: string;
  readonly severity: Severity;
  /** The driver's own verdict where the evidence holds one, else what the policy says. */
  readonly action: Action;
  readonly node: string;
  /** '' for a whole node, and for several GPUs of one: `verdicts` name them. */
  readonly gpuUuid: string;
  readonly gpuInstance: string;
  readonly pciBusId: string;
  readonly pool: string;
  readonly providerId: string;
  readonly demo: boolean;
  readonly state: IncidentState;
  readonly openedAt: EpochMs;
  readonly lastEvidenceAt: EpochMs;
  readonly verifyingSince: EpochMs | undefined;
  readonly clearedAt: EpochMs | undefined;
  /** One plain sentence: why it is in this state. */
  readonly reason: string;
  /** When its state may change without new evidence. */
  readonly lookAgainAt: EpochMs | undefined;
  /** Ordered by time; every piece, however many. */
  readonly evidence: readonly Symptom[];
  readonly verdicts: readonly VerdictInterval[];
  readonly affectedLeaseIds: readonly string[];
}

export type GpuState = 'healthy' | 'faulty' | 'verifying' | 'unknown' | 'lost';

export interface GpuHealth {
  readonly gpuUuid: string;
  readonly node: string;
  readonly pool: string;
  readonly state: GpuState;
  readonly since: EpochMs;
  /** True when nothing but the first sample of the evidence says since when: the state may be older than that. */
  readonly sinceFirstSeen: boolean;
  /** The incident that decides the state. */
  readonly incident: FaultIncident | undefined;
}
