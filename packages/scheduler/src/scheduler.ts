import type { EpochMs, Fraction } from '@poolmeter/domain';

export type NodeState = 'ready' | 'cordoned' | 'draining' | 'booting' | 'powered_down' | 'down' | 'unknown';

export interface SchedulerGpu {
  readonly gpuUuid: string;
  readonly gpuIndex: number;
  readonly gpuModel: string;
  /** Leases that hold a share of it now; empty = free. */
  readonly leaseIds: readonly string[];
}

export interface SchedulerNode {
  readonly node: string;
  readonly state: NodeState;
  readonly reason: string;
  readonly gpus: readonly SchedulerGpu[];
  /** When it entered this state, as the scheduler says. */
  readonly since: EpochMs;
}

/** Work that waits: `count` × one GPU shape, all or nothing when `gang`. */
export interface PendingDemand {
  readonly id: string;
  readonly gpus: number;
  readonly gpuModel: string | undefined;
  readonly gang: boolean;
  readonly priority: number;
  readonly customerId: string;
  readonly since: EpochMs;
  /** The part of each GPU that is asked for, such as 1/7 of a MIG board; absent = whole GPUs. */
  readonly share?: Fraction;
}

/** Who holds which share of which GPU since when, as the scheduler itself accounts for it. */
export interface HeldShare {
  readonly leaseId: string;
  readonly customerId: string;
  readonly project: string;
  readonly providerId: string;
  readonly pool: string;
  readonly node: string;
  readonly gpuUuid: string;
  readonly gpuInstance: string;
  readonly gpuIndex: number;
  readonly gpuModel: string;
  readonly share: Fraction;
  readonly pricingMode: 'on_demand' | 'reserved' | 'spot';
  readonly startedAt: EpochMs;
  /** undefined while it runs. */
  readonly endedAt: EpochMs | undefined;
}

export interface SchedulerObservation {
  readonly observedAt: EpochMs;
  readonly nodes: readonly SchedulerNode[];
  readonly pending: readonly PendingDemand[];
  readonly held: readonly HeldShare[];
}

export type SchedulerAction =
  | {
      readonly kind: 'cordon' | 'uncordon' | 'drain' | 'remove' | 'power_up' | 'power_down';
      readonly node: string;
    }
  | { readonly kind: 'add'; readonly count: number; readonly gpuModel: string };

export type ActionOutcome =
  | { readonly ok: true; readonly detail: string; readonly nodes: readonly string[] }
  | {
      readonly ok: false;
      readonly reason: 'busy' | 'not_found' | 'unsupported' | 'refused';
      readonly detail: string;
    };

/**
 * The one door to a pool's scheduler. A scheduler that fails or answers nonsense makes `observe` reject; it never
 * becomes "no demand". `act` is idempotent by its key.
 */
export interface Scheduler {
  readonly kind: string;
  readonly capabilities: ReadonlySet<SchedulerAction['kind'] | 'accounting'>;
  observe(signal?: AbortSignal): Promise<SchedulerObservation>;
  act(action: SchedulerAction, options: { idempotencyKey: string; reason: string }): Promise<ActionOutcome>;
  /** Every share held at some time since `since`, ended ones too: bridges a watcher's outage. */
  accounting(since: EpochMs, signal?: AbortSignal): Promise<readonly HeldShare[]>;
}
