/** Breaks things and mends them again: what each kind of fault does to boards, nodes, jobs and the kernel log. */
import { PoolmeterError } from '@poolmeter/domain';
import type { EventQueue } from './event-queue.js';
import {
  boardBackMessages,
  bootMessages,
  faultTraits,
  kernelMessagesOf,
  type FaultDetails,
  type FaultKind,
} from './fault-kind.js';
import type { JobBook } from './job-book.js';
import type { SimulatedGpu } from './simulated-gpu.js';
import type { SimulatedNode } from './simulated-node.js';

/** One thing that broke, as it truly was: what detection is judged by. */
export interface FaultRecord {
  readonly kind: FaultKind;
  readonly node: string;
  /** '' for faults of a whole node. */
  readonly gpuUuid: string;
  readonly gpuIndex: number | undefined;
  readonly startedAt: number;
  /** When it works again. A row that waits for remapping harms nothing; its end is when a reset is first tried. */
  readonly endsAt: number;
  /** Leases on the board when it broke. */
  readonly leaseIds: readonly string[];
}

export interface FaultPlan extends FaultDetails {
  readonly kind: FaultKind;
  readonly at: number;
  readonly healthyAt: number;
}

export interface FaultParts {
  readonly events: EventQueue;
  readonly jobs: JobBook;
  readonly driverVersion: string;
  readonly bootMs: number;
}

const RETRY_RESET_MS = 900_000;
const APP_RESTART_MS = 150_000;

export class FaultEffects {
  readonly #parts: FaultParts;
  readonly #records: FaultRecord[] = [];

  constructor(parts: FaultParts) {
    this.#parts = parts;
  }

  /** Everything that broke, in order of time. */
  get records(): readonly FaultRecord[] {
    return this.#records;
  }

  /** Whether this fault can happen here now: nothing breaks twice at once. */
  canStrike(kind: FaultKind, node: SimulatedNode, gpu: SimulatedGpu | undefined): boolean {
    if (node.removedAtMs !== undefined || node.isOff) return false;
    const traits = faultTraits[kind];
    if (traits.of === 'node') return node.exporterFault === undefined;
    if (gpu === undefined || !gpu.present || gpu.unfit || gpu.throttle !== 'none') return false;
    return !traits.needsLoad || gpu.loads.some((load) => load !== undefined);
  }

  strike(plan: FaultPlan, node: SimulatedNode, gpu: SimulatedGpu | undefined): void {
    if (faultTraits[plan.kind].of === 'node') {
      this.#exporterFault(plan, node);
      return;
    }
    if (gpu === undefined) {
      throw new PoolmeterError('input.invalid', `A fault of kind ${plan.kind} needs a GPU index.`);
    }
    this.#gpuFault(plan, node, gpu);
  }

  #gpuFault(plan: FaultPlan, node: SimulatedNode, gpu: SimulatedGpu): void {
    const messages = kernelMessagesOf(plan.kind, gpu, plan);
    if (messages.length > 0) node.kernelLog.write(plan.at, messages, 3);
    gpu.latchedXid = faultTraits[plan.kind].xid ?? gpu.latchedXid;
    const leaseIds = this.#applyTo(plan, node, gpu);
    this.#records.push({
      kind: plan.kind,
      node: node.name,
      gpuUuid: gpu.uuid,
      gpuIndex: gpu.index,
      startedAt: plan.at,
      endsAt: plan.healthyAt,
      leaseIds,
    });
  }

  #applyTo(plan: FaultPlan, node: SimulatedNode, gpu: SimulatedGpu): string[] {
    switch (plan.kind) {
      case 'xid_79':
      case 'gpu_vanish':
        gpu.present = false;
        return this.#takeOut(plan, node, gpu);
      case 'xid_48':
        this.#countUncorrectable(gpu, plan.remapFails);
        gpu.changeCounters({ recoveryAction: 1 });
        return this.#takeOut(plan, node, gpu);
      case 'xid_94':
        this.#countUncorrectable(gpu, false);
        this.#parts.events.schedule(plan.healthyAt, () => this.#resetWhenIdle(gpu, plan.healthyAt));
        return this.#crashProgram(plan, gpu, true);
      case 'xid_63':
        gpu.changeCounters({
          eccCorrectable: gpu.counters.eccCorrectable + 3 + (plan.seed % 40),
          remapCorrectable: gpu.counters.remapCorrectable + 1,
          remapPending: true,
        });
        gpu.note(plan.at);
        this.#parts.events.schedule(plan.healthyAt, () => this.#resetWhenIdle(gpu, plan.healthyAt));
        return leasesOn(gpu);
      case 'xid_13':
      case 'xid_31':
        return this.#crashProgram(plan, gpu, false);
      case 'thermal_sw':
      case 'thermal_hw':
        gpu.setThrottle(plan.kind === 'thermal_sw' ? 'sw_thermal' : 'hw_thermal', plan.at);
        this.#parts.events.schedule(plan.healthyAt, () => {
          if (gpu.present) gpu.setThrottle('none', plan.healthyAt);
        });
        return leasesOn(gpu);
      case 'exporter_hang':
      case 'exporter_error':
        throw new Error(`${plan.kind} is a fault of a node.`);
    }
  }

  #countUncorrectable(gpu: SimulatedGpu, remapFails: boolean): void {
    const { counters } = gpu;
    gpu.changeCounters({
      eccUncorrectable: counters.eccUncorrectable + 1,
      remapUncorrectable: counters.remapUncorrectable + (remapFails ? 0 : 1),
      remapPending: !remapFails,
      remapFailed: remapFails || counters.remapFailed,
    });
  }

  /** The board does no work until it is mended. */
  #takeOut(plan: FaultPlan, node: SimulatedNode, gpu: SimulatedGpu): string[] {
    gpu.unfit = true;
    gpu.throttle = 'none';
    // A rental cannot go on when its board is taken away for another one.
    const endRentals = gpu.counters.remapFailed;
    const leaseIds = this.#parts.jobs.interrupt(gpu, { at: plan.at, requeue: true, endRentals });
    gpu.note(plan.at);
    if (plan.recovery === 'node_reboot') this.#planReboot(plan, node);
    else this.#parts.events.schedule(plan.healthyAt, () => this.#mend(plan, node, gpu));
    return leaseIds;
  }

  #mend(plan: FaultPlan, node: SimulatedNode, gpu: SimulatedGpu): void {
    // A reboot or a power cycle may have mended it before.
    if (!gpu.unfit) return;
    if (gpu.counters.remapFailed) gpu.replaceBoard(plan.healthyAt);
    else gpu.reset(plan.healthyAt);
    node.kernelLog.write(plan.healthyAt, boardBackMessages(gpu), 6);
    this.#parts.jobs.resume(gpu, plan.healthyAt);
    this.#parts.jobs.startWhatFits(plan.healthyAt);
  }

  #planReboot(plan: FaultPlan, node: SimulatedNode): void {
    const downAt = Math.max(plan.at + 1, plan.healthyAt - this.#parts.bootMs);
    this.#parts.events.schedule(downAt, () => {
      if (node.state === 'down' || node.state === 'powered_down' || node.removedAtMs !== undefined) return;
      node.beginReboot(downAt, `reboot after ${plan.kind.replace('_', ' ')}`);
      for (const gpu of node.gpus) {
        this.#parts.jobs.interrupt(gpu, { at: downAt, requeue: true });
        gpu.note(downAt);
      }
      const upAt = Math.max(plan.healthyAt, downAt + 1);
      this.#parts.events.schedule(upAt, () => {
        node.endReboot(upAt);
        this.restartDriver(node, upAt);
      });
    });
  }

  /** The node has booted: every board is fresh, the exporter too. */
  restartDriver(node: SimulatedNode, at: number): void {
    node.kernelLog.boot(at, bootMessages(this.#parts.driverVersion));
    for (const gpu of node.gpus) {
      gpu.reset(at);
      this.#parts.jobs.resume(gpu, at);
    }
    this.#parts.jobs.startWhatFits(at);
  }

  /** The program dies, the board lives. People start rentals again after some minutes. */
  #crashProgram(plan: FaultPlan, gpu: SimulatedGpu, requeue: boolean): string[] {
    const leaseIds = this.#parts.jobs.interrupt(gpu, { at: plan.at, requeue });
    gpu.note(plan.at);
    const backAt = plan.at + APP_RESTART_MS;
    this.#parts.events.schedule(backAt, () => {
      if (gpu.present && !gpu.unfit) this.#parts.jobs.resume(gpu, backAt);
    });
    return leaseIds;
  }

  /** Remapping takes a reset, and a reset takes an idle board. */
  #resetWhenIdle(gpu: SimulatedGpu, at: number): void {
    if (!gpu.counters.remapPending || gpu.unfit) return;
    if (gpu.isIdle) {
      gpu.reset(at);
      return;
    }
    this.#parts.events.schedule(at + RETRY_RESET_MS, () => this.#resetWhenIdle(gpu, at + RETRY_RESET_MS));
  }

  #exporterFault(plan: FaultPlan, node: SimulatedNode): void {
    node.setExporterFault(plan.kind === 'exporter_hang' ? 'hang' : 'error', plan.at);
    this.#parts.events.schedule(plan.healthyAt, () => node.setExporterFault(undefined, plan.healthyAt));
    this.#records.push({
      kind: plan.kind,
      node: node.name,
      gpuUuid: '',
      gpuIndex: undefined,
      startedAt: plan.at,
      endsAt: plan.healthyAt,
      leaseIds: [],
    });
  }
}

function leasesOn(gpu: SimulatedGpu): string[] {
  return gpu.leaseIds.filter((leaseId) => leaseId !== undefined);
}
