/** What was true of one GPU, as stretches of time between changes. Readings and energy are functions of it. */
import { loadEnergyMj, type Load } from './workload-pattern.js';

/** Counters and flags that move with faults only. */
export interface GpuCounters {
  readonly eccCorrectable: number;
  readonly eccUncorrectable: number;
  readonly remapCorrectable: number;
  readonly remapUncorrectable: number;
  readonly remapPending: boolean;
  readonly remapFailed: boolean;
  /** 0 none, 1 reset, 2 reboot, as field 1523. */
  readonly recoveryAction: number;
  readonly pcieReplays: number;
}

export type Throttle = 'none' | 'sw_thermal' | 'hw_thermal';

export interface GpuSegment {
  readonly startMs: number;
  /** All energy since the history began, up to the segment's start, in mJ. */
  readonly energyMj: number;
  /** What is taken off to get the counter that the driver shows: its start at the last reset. */
  readonly counterStartMj: number;
  readonly uuid: string;
  /** False: the driver does not see the board. */
  readonly present: boolean;
  /** By instance index; the whole board is at 0 when it is not cut. */
  readonly loads: readonly (Load | undefined)[];
  /** By instance index: the lease whose job the scheduler put there, at work or not. */
  readonly leaseIds: readonly (string | undefined)[];
  readonly throttle: Throttle;
  /** When the throttling began; 0 when there is none. */
  readonly throttleSinceMs: number;
  /** 0 = none seen since the exporter started. */
  readonly latchedXid: number;
  readonly counters: GpuCounters;
}

export type GpuFacts = Omit<GpuSegment, 'startMs' | 'energyMj'>;

/** Power above rest is less while the clocks are held down. */
const THROTTLED_POWER = 0.62;

export class GpuHistory {
  readonly idleWatts: number;
  #segments: GpuSegment[] = [];
  #cursor = 0;

  constructor(idleWatts: number) {
    this.idleWatts = idleWatts;
  }

  /** From `at` on these facts hold. A change at the instant of the last one replaces it. */
  record(at: number, facts: GpuFacts): void {
    const energyMj = this.energyAt(at);
    const last = this.#segments.at(-1);
    if (last?.startMs === at) this.#segments.pop();
    this.#segments.push({ ...facts, startMs: at, energyMj });
  }

  /** What held at an instant; undefined before the history began. Asking in order of time is fastest. */
  segmentAt(at: number): GpuSegment | undefined {
    const segments = this.#segments;
    let index = Math.min(this.#cursor, segments.length - 1);
    if (index < 0) return undefined;
    if ((segments[index] as GpuSegment).startMs > at) {
      index = this.#search(at);
      if (index < 0) return undefined;
    } else {
      let next = segments[index + 1];
      for (let steps = 0; next !== undefined && next.startMs <= at; steps++) {
        index = steps < 8 ? index + 1 : this.#search(at);
        next = segments[index + 1];
      }
    }
    this.#cursor = index;
    return segments[index];
  }

  #search(at: number): number {
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#segments[middle] as GpuSegment).startMs <= at) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** All energy since the history began, in mJ; before that, as if the board had been at rest. */
  energyAt(at: number): number {
    const segment = this.segmentAt(at);
    if (segment === undefined) {
      const first = this.#segments[0];
      return first === undefined ? 0 : first.energyMj + (at - first.startMs) * this.idleWatts;
    }
    return segment.energyMj + this.#energyInside(segment, at);
  }

  #energyInside(segment: GpuSegment, at: number): number {
    let above = 0;
    for (const load of segment.loads) {
      if (load !== undefined) above += loadEnergyMj(load, segment.startMs, at);
    }
    return (at - segment.startMs) * this.idleWatts + above * powerFactorOf(segment);
  }

  /** Drops what ended before `at`. */
  forgetBefore(at: number): void {
    const keepFrom = this.#search(at);
    if (keepFrom <= 0) return;
    this.#segments = this.#segments.slice(keepFrom);
    this.#cursor = 0;
  }
}

/** The part of a load's power above rest that is drawn in this segment. */
export function powerFactorOf(segment: GpuSegment): number {
  return segment.throttle === 'none' ? 1 : THROTTLED_POWER;
}
