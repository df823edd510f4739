/**
 * What a decision is made from: one plain value, complete, so that the same value gives the same decision again.
 * Instants are epoch milliseconds; nothing in here is a clock, a connection or a promise.
 */
import type { NodeState } from '@poolmeter/scheduler';

export const modes = ['recommend', 'scale_out', 'full'] as const;
/** `recommend` never acts; `scale_out` may only add; `full` may also cordon, drain and remove. */
export type Mode = (typeof modes)[number];

export type GpuHealth = 'healthy' | 'faulty' | 'verifying' | 'unknown' | 'lost';

export interface ObservedGpu {
  readonly gpuUuid: string;
  readonly gpuModel: string;
  /** Running leases on it: those that the scheduler names and those that billing knows. */
  readonly leaseIds: readonly string[];
  readonly health: GpuHealth;
  readonly healthSinceMs: number | null;
  /** Its newest sample; null = none in the window that was read. */
  readonly sampleMs: number | null;
  /** The highest GPU utilisation in that window, 0 to 1; null = not reported. */
  readonly busiestRatio: number | null;
}

export interface ObservedNode {
  readonly node: string;
  readonly state: NodeState;
  /** When it entered this state. */
  readonly sinceMs: number;
  /** When its last lease ended, or when it became ready if later; null while it is leased. */
  readonly idleSinceMs: number | null;
  readonly gpus: readonly ObservedGpu[];
}

export interface ObservedDemand {
  readonly id: string;
  readonly gpus: number;
  /** null: any model will do. */
  readonly gpuModel: string | null;
  /** All of its GPUs at once, or none. */
  readonly gang: boolean;
  readonly priority: number;
  readonly sinceMs: number;
}

/** Whether a source answered, and with data from when. */
export interface SourceState {
  readonly ok: boolean;
  readonly atMs: number;
  readonly detail: string;
}

/** A decision that is being carried out: its nodes are spoken for, its additions are on their way. */
export interface OpenDecision {
  readonly id: string;
  readonly action: 'scale_out' | 'scale_in' | 'replace' | 'cordon';
  readonly nodes: readonly string[];
  /** Asked of the scheduler and not seen yet. */
  readonly coming: readonly { readonly gpuModel: string; readonly nodes: number }[];
  readonly sinceMs: number;
}

export interface RecentAction {
  readonly action: OpenDecision['action'];
  readonly atMs: number;
  readonly nodesAdded: number;
  readonly nodesRemoved: number;
}

export interface PoolObservation {
  readonly pool: string;
  readonly observedAtMs: number;
  readonly mode: Mode;
  readonly paused: boolean;
  /** Nothing is given back; everything else goes on. Absent in what was stored before it existed. */
  readonly scaleInPaused?: boolean;
  /** A person approved what is to be decided: mode and approval thresholds are answered. Absent = no. */
  readonly approved?: boolean;
  /** What the scheduler can be asked to do. */
  readonly capabilities: readonly string[];
  readonly sources: {
    readonly scheduler: SourceState;
    readonly health: SourceState;
    readonly leases: SourceState;
    readonly samples: SourceState;
  };
  readonly nodes: readonly ObservedNode[];
  readonly pending: readonly ObservedDemand[];
  /** GPUs asked for (held and pending) at earlier looks, oldest first. */
  readonly demandHistory: readonly { readonly atMs: number; readonly gpus: number }[];
  readonly memory: {
    /** When the process that decides took over: after it, nothing is removed for a while. */
    readonly decidingSinceMs: number;
    readonly lastScaleOutMs: number | null;
    readonly lastScaleInMs: number | null;
    readonly lastReplaceMs: number | null;
    readonly open: readonly OpenDecision[];
    /** What was carried out in the last hour, oldest first. Absent in what was stored before it existed. */
    readonly recent?: readonly RecentAction[];
    /** Additions in a row, up to the newest one, whose nodes never came. */
    readonly failedAdditions?: { readonly count: number; readonly lastMs: number };
  };
}
