/** What verdicts are made of: plain values, gathered by the monitor, written by hand in tests. */
import { parseInstant, type EpochMs, type Interval } from '@poolmeter/domain';
import type { GpuEvent } from '@poolmeter/telemetry-schema';
import type { SignalName } from '../policy/signals.js';

/** Where an event stands on the bus; evidence for people, never part of a decision. */
export interface BusPosition {
  readonly partition: number;
  readonly offset: bigint;
}

export interface EventEvidence {
  readonly event: GpuEvent;
  readonly position?: BusPosition;
}

/** What the samples of one GPU say over the evidence's window. */
export interface GpuTelemetry {
  readonly node: string;
  readonly gpuUuid: string;
  readonly pool: string;
  readonly providerId: string;
  readonly demo: boolean;
  /** From the first to the last sample of each stretch whose samples follow one another within `proof_gap`. */
  readonly seen: readonly Interval[];
  /** From a sample that reports a defect (recovery action wanted, remapping failed) to the next that does not. */
  readonly unwell: readonly Interval[];
}

/** A stretch of whole minutes, hours or steps in which a signal was bad. */
export interface SignalStretch {
  readonly signal: SignalName;
  readonly node: string;
  readonly gpuUuid: string;
  readonly gpuInstance: string;
  readonly during: Interval;
  /** The value that was furthest from good, in the signal's unit, for people. */
  readonly extreme: number;
}

export interface LeaseEvidence {
  readonly leaseId: string;
  readonly node: string;
  readonly gpuUuid: string;
  readonly gpuInstance: string;
  readonly start: EpochMs;
  /** Undefined while the lease runs. */
  readonly end: EpochMs | undefined;
}

/** An operator's word that an incident is over. */
export interface OperatorResolution {
  readonly node: string;
  /** '' for an incident of the whole node. */
  readonly gpuUuid: string;
  readonly code: string;
  readonly at: EpochMs;
}

export interface FaultEvidence {
  /** Up to when absence means something: nothing later has been looked for. */
  readonly asOf: EpochMs;
  readonly events: readonly EventEvidence[];
  /** Events before those: they are counted where a fault is proved by its return, and open nothing. */
  readonly history: readonly EventEvidence[];
  readonly telemetry: readonly GpuTelemetry[];
  readonly signals: readonly SignalStretch[];
  readonly leases: readonly LeaseEvidence[];
  readonly resolutions: readonly OperatorResolution[];
}

/** The identity of an event: a log read twice gives the same one. */
export function eventId(event: GpuEvent): string {
  return `${event.node}/${event.bootId}/${event.kind}/${event.sequence}`;
}

/** Later than any evidence: where an interval that goes on ends while it is computed with. */
export const FOREVER: EpochMs = parseInstant('9999-01-01T00:00:00Z');
