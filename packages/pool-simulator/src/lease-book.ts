/** Who held which share of which GPU, and since when: what the scheduler's accounting answers. */
import {
  formatInstant,
  invariant,
  instantFromMs,
  ONE,
  PoolmeterError,
  type EpochMs,
  type Fraction,
} from '@poolmeter/domain';
import type { HeldShare } from '@poolmeter/scheduler';
import type { JobSpec, Placement } from './job.js';
import type { SimulatedNode } from './simulated-node.js';

export function shareOf(placement: Placement): Fraction {
  return placement.gpu.instances[placement.place]?.share ?? ONE;
}

export class LeaseBook {
  readonly #pool: string;
  readonly #open = new Map<string, HeldShare>();
  #ended: HeldShare[] = [];
  #forgottenBefore = Number.NEGATIVE_INFINITY;

  constructor(pool: string) {
    this.#pool = pool;
  }

  open(
    leaseId: string,
    held: { spec: JobSpec; placement: Placement; node: SimulatedNode; at: number },
  ): void {
    const { spec, placement, node, at } = held;
    if (this.#open.has(leaseId)) {
      throw new PoolmeterError(
        'input.conflict',
        `Lease ${leaseId} is already running; a lease id is used once.`,
      );
    }
    const instance = placement.gpu.instances[placement.place];
    this.#open.set(leaseId, {
      leaseId,
      customerId: spec.customerId,
      project: spec.project,
      providerId: node.shape.providerId,
      pool: this.#pool,
      node: node.name,
      gpuUuid: placement.gpu.uuid,
      gpuInstance: instance === undefined ? '' : `${instance.instanceId}/0`,
      gpuIndex: placement.gpu.index,
      gpuModel: placement.gpu.model.name,
      share: shareOf(placement),
      pricingMode: spec.pricingMode,
      startedAt: instantFromMs(at),
      endedAt: undefined,
    });
  }

  close(leaseId: string, at: number): void {
    const held = this.#open.get(leaseId);
    invariant(held, `lease ${leaseId} is running when it is ended`);
    this.#open.delete(leaseId);
    this.#ended.push({ ...held, endedAt: instantFromMs(at) });
  }

  held(): HeldShare[] {
    return [...this.#open.values()];
  }

  /** Every share held at some time since `since`, in order of start. */
  since(since: EpochMs): HeldShare[] {
    if (since < this.#forgottenBefore) {
      throw new PoolmeterError(
        'not_found',
        `The accounting reaches back to ${formatInstant(instantFromMs(this.#forgottenBefore))} only.`,
      );
    }
    return [
      ...this.#ended.filter((one) => one.endedAt !== undefined && one.endedAt > since),
      ...this.held(),
    ].sort((a, b) => a.startedAt - b.startedAt || (a.leaseId < b.leaseId ? -1 : 1));
  }

  forgetBefore(at: number): void {
    this.#forgottenBefore = Math.max(at, this.#forgottenBefore);
    this.#ended = this.#ended.filter((one) => one.endedAt !== undefined && one.endedAt > at);
  }
}
