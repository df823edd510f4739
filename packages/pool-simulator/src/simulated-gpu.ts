/** One GPU as the world changes it. Every change is noted in its history, from which all readings follow. */
import { GpuHistory, type GpuCounters, type Throttle } from './gpu-history.js';
import type { GpuModel } from './gpu-model.js';
import type { GpuPlace } from './gpu-reading.js';
import type { MigInstance } from './mig-profile.js';
import { hash32, hashText, signedAt, unitAt, uuidOf } from './random.js';
import type { Load } from './workload-pattern.js';

const DAY_MS = 86_400_000;

/** PCI bus numbers as an eight-GPU board has them. */
const BUS_NUMBERS = [0x0f, 0x18, 0x2a, 0x3b, 0x91, 0x9b, 0xb3, 0xc4] as const;

export interface GpuBirth {
  readonly node: string;
  readonly index: number;
  readonly model: GpuModel;
  readonly instances: readonly MigInstance[];
  readonly poolSeed: number;
  readonly at: number;
}

export class SimulatedGpu implements GpuPlace {
  readonly node: string;
  readonly index: number;
  readonly model: GpuModel;
  /** Empty: the board is whole. */
  readonly instances: readonly MigInstance[];
  readonly seed: number;
  readonly inletOffsetCelsius: number;
  readonly history: GpuHistory;
  /** As the exporter's label writes it: `00000000:91:00.0`. */
  readonly pciBusId: string;
  uuid: string;
  present = true;
  throttle: Throttle = 'none';
  /** True while the board is not fit for work, present or not. */
  unfit = false;
  latchedXid = 0;
  counters: GpuCounters;
  /** Which job holds each instance; a whole board has the single place 0. */
  readonly holders: (string | undefined)[];
  readonly leaseIds: (string | undefined)[];
  readonly loads: (Load | undefined)[];
  #generation = 0;
  #counterStartMj: number;
  #throttleSinceMs = 0;

  constructor(birth: GpuBirth) {
    this.node = birth.node;
    this.index = birth.index;
    this.model = birth.model;
    this.instances = birth.instances;
    this.seed = hash32(birth.poolSeed, hashText(`${birth.node}/${birth.index}`));
    this.uuid = `GPU-${uuidOf(this.seed)}`;
    const bus = (BUS_NUMBERS[birth.index % 8] ?? 0) + (birth.index >> 3);
    this.pciBusId = `00000000:${bus.toString(16).toUpperCase().padStart(2, '0')}:00.0`;
    this.inletOffsetCelsius = 2.5 * signedAt(hashText(birth.node), birth.poolSeed) + (birth.index % 8) * 0.6;
    this.history = new GpuHistory(
      this.model.idleWatts + signedAt(this.seed, 1) * 0.06 * this.model.idleWatts,
    );
    const places = Math.max(1, birth.instances.length);
    this.holders = Array.from({ length: places }, () => undefined);
    this.leaseIds = Array.from({ length: places }, () => undefined);
    this.loads = Array.from({ length: places }, () => undefined);
    this.counters = {
      eccCorrectable: Math.floor(unitAt(this.seed, 2) * 4),
      eccUncorrectable: 0,
      remapCorrectable: unitAt(this.seed, 3) > 0.9 ? 1 : 0,
      remapUncorrectable: 0,
      remapPending: false,
      remapFailed: false,
      recoveryAction: 0,
      pcieReplays: Math.floor(unitAt(this.seed, 4) * 10),
    };
    // The driver was loaded some weeks before the history begins.
    this.#counterStartMj = -Math.floor((3 + 40 * unitAt(this.seed, 5)) * DAY_MS * this.model.idleWatts * 2);
    this.note(birth.at);
  }

  get isIdle(): boolean {
    return this.holders.every((holder) => holder === undefined);
  }

  setThrottle(throttle: Throttle, at: number): void {
    this.throttle = throttle;
    this.#throttleSinceMs = throttle === 'none' ? 0 : at;
    this.note(at);
  }

  changeCounters(change: Partial<GpuCounters>): void {
    this.counters = { ...this.counters, ...change };
  }

  /** What a reset or a reload of the driver does: volatile counters and the energy counter begin again. */
  reset(at: number): void {
    this.present = true;
    this.unfit = this.counters.remapFailed;
    this.latchedXid = 0;
    this.changeCounters({ eccCorrectable: 0, eccUncorrectable: 0, remapPending: false, recoveryAction: 0 });
    this.#counterStartMj = this.history.energyAt(at);
    this.note(at);
  }

  /** Another board in the same slot. */
  replaceBoard(at: number): void {
    this.#generation += 1;
    this.uuid = `GPU-${uuidOf(hash32(this.seed, 1000 + this.#generation))}`;
    this.changeCounters({ remapCorrectable: 0, remapUncorrectable: 0, remapFailed: false, pcieReplays: 0 });
    this.reset(at);
  }

  /** Writes the present state into the history. */
  note(at: number): void {
    this.history.record(at, {
      counterStartMj: this.#counterStartMj,
      uuid: this.uuid,
      present: this.present,
      loads: [...this.loads],
      leaseIds: [...this.leaseIds],
      throttle: this.throttle,
      throttleSinceMs: this.#throttleSinceMs,
      latchedXid: this.latchedXid,
      counters: this.counters,
    });
  }
}
