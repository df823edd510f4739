/** Notices from one look at the newest samples of all GPUs what deserves a judgement. Holds no truth of its own. */
import type { EpochMs } from '@poolmeter/domain';
import { telemetryFault, type FaultPolicy } from '../policy/fault-policy.js';
import type { GpuLastSeen } from './evidence-source.js';

/** A node to be judged, and since when something may have changed there. */
export interface NodeNotice {
  readonly node: string;
  readonly from: EpochMs;
}

interface Watched {
  readonly node: string;
  readonly lastSeenAt: EpochMs;
  /** Reported missing; its return is worth a judgement too. */
  readonly missing: boolean;
}

export class FleetWatch {
  readonly #silentAfterMs: number;
  readonly #lostAfterMs: number;
  readonly #gapMs: number;
  #gpus = new Map<string, Watched>();
  #silent = new Set<string>();

  constructor(policy: FaultPolicy) {
    this.#silentAfterMs = telemetryFault(policy, 'node_silent')?.when.after ?? Infinity;
    this.#lostAfterMs = telemetryFault(policy, 'gpu_lost')?.when.after ?? Infinity;
    this.#gapMs = policy.telemetry.proof_gap;
  }

  look(fleet: readonly GpuLastSeen[], asOf: EpochMs): NodeNotice[] {
    const lastSeen = lastSeenByNode(fleet);
    const notices: NodeNotice[] = [];
    const gpus = new Map<string, Watched>();
    for (const gpu of fleet) {
      const nodeSeenAt = lastSeen.get(gpu.node) ?? gpu.lastSeenAt;
      const missing = nodeSeenAt - gpu.lastSeenAt >= this.#lostAfterMs;
      const before = this.#gpus.get(gpu.gpuUuid);
      gpus.set(gpu.gpuUuid, { node: gpu.node, lastSeenAt: gpu.lastSeenAt, missing });
      if (this.#deservesLook(before, { ...gpu, missing })) {
        notices.push({ node: gpu.node, from: before?.lastSeenAt ?? gpu.lastSeenAt });
      }
      if (before !== undefined && before.node !== gpu.node)
        notices.push({ node: before.node, from: before.lastSeenAt });
    }
    for (const [node, at] of lastSeen) {
      const silent = asOf - at >= this.#silentAfterMs;
      if (silent !== this.#silent.has(node)) notices.push({ node, from: at });
      if (silent) this.#silent.add(node);
      else this.#silent.delete(node);
    }
    this.#gpus = gpus;
    return notices;
  }

  #deservesLook(before: Watched | undefined, now: GpuLastSeen & { readonly missing: boolean }): boolean {
    if (before === undefined || before.node !== now.node) return true;
    return before.missing !== now.missing || now.lastSeenAt - before.lastSeenAt > this.#gapMs;
  }
}

function lastSeenByNode(fleet: readonly GpuLastSeen[]): Map<string, EpochMs> {
  const last = new Map<string, EpochMs>();
  for (const { node, lastSeenAt } of fleet) {
    const known = last.get(node);
    if (known === undefined || known < lastSeenAt) last.set(node, lastSeenAt);
  }
  return last;
}
