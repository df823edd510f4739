/**
 * Plays a trace through a pool whose size a policy decides once a minute. The scheduler starts work the moment it fits,
 * oldest first; what does not fit is passed over by smaller work, as backfill does.
 */
import { EndQueue } from './end-queue.js';
import { Fleet } from './fleet.js';
import type { JobTrace } from './job-trace.js';

/** What a policy sees of the pool at a tick. */
export interface PoolLook {
  readonly nowS: number;
  readonly fleet: Fleet;
  /** Nodes that boot. */
  readonly coming: number;
  /** Jobs that wait, oldest first, and the GPUs that they ask for together. */
  readonly waiting: readonly number[];
  readonly waitingGpus: number;
  readonly trace: JobTrace;
}

/** How many nodes to add, or as a negative number to give back; only idle ones go, longest idle first. */
export type Sizer = (look: PoolLook) => number;

export interface SimulationOptions {
  readonly gpusPerNode: number;
  readonly bootS: number;
  readonly tickS: number;
  /** Nodes that are there at the start. */
  readonly startNodes: number;
}

export interface Simulation {
  /** GPU-seconds, whole numbers far below 2^53. */
  readonly provisionedGpuS: number;
  readonly usedGpuS: number;
  /** Seconds, one per job, in the order of arrival. */
  readonly waitS: Float64Array;
  readonly nodesAdded: number;
  readonly nodesRemoved: number;
  readonly mostNodes: number;
  /** GPUs provisioned and used at about 400 instants, for the plot. */
  readonly series: readonly { readonly atS: number; readonly provisioned: number; readonly used: number }[];
}

/** How many waiting jobs the scheduler tries when something came free. */
const BACKFILL_DEPTH = 64;
const SERIES_POINTS = 400;

export function simulatePool(trace: JobTrace, size: Sizer, options: SimulationOptions): Simulation {
  return new PoolRun(trace, size, options).run();
}

class PoolRun {
  readonly #trace: JobTrace;
  readonly #size: Sizer;
  readonly #options: SimulationOptions;
  readonly #fleet: Fleet;
  readonly #ends = new EndQueue();
  readonly #boots = new EndQueue();
  readonly #taken = new Map<number, number[]>();
  readonly #waitS: Float64Array;
  #waiting: number[] = [];
  #waitingGpus = 0;
  #provisioned = 0;
  #used = 0;
  #added = 0;
  #removed = 0;
  #mostNodes = 0;
  readonly #series: { atS: number; provisioned: number; used: number }[] = [];

  constructor(trace: JobTrace, size: Sizer, options: SimulationOptions) {
    this.#trace = trace;
    this.#size = size;
    this.#options = options;
    this.#fleet = new Fleet(options.gpusPerNode);
    this.#waitS = new Float64Array(trace.arrivalS.length);
    for (let count = 0; count < options.startNodes; count += 1) this.#fleet.addNode(0);
  }

  run(): Simulation {
    const { arrivalS } = this.#trace;
    const { tickS } = this.#options;
    const lastS = arrivalS[arrivalS.length - 1] ?? 0;
    const every = Math.max(1, Math.floor(lastS / tickS / SERIES_POINTS));
    let next = 0;
    for (let tick = 0; next < arrivalS.length || this.#waiting.length > 0; tick += 1) {
      const fromS = tick * tickS;
      next = this.#playUntil(fromS, next);
      this.#decide(fromS);
      this.#countNodes(fromS, tickS);
      if (tick % every === 0) this.#notePoint(fromS);
      // A policy that never serves what waits would go on for ever; the trace ends a week after its last arrival.
      if (fromS > lastS + 604_800) break;
    }
    for (const job of this.#waiting) this.#waitS[job] = Infinity;
    return {
      provisionedGpuS: this.#provisioned,
      usedGpuS: this.#used,
      waitS: this.#waitS,
      nodesAdded: this.#added,
      nodesRemoved: this.#removed,
      mostNodes: this.#mostNodes,
      series: this.#series,
    };
  }

  /** Arrivals, ends and boots before an instant, in their order. */
  #playUntil(untilS: number, firstArrival: number): number {
    const { arrivalS } = this.#trace;
    let next = firstArrival;
    for (;;) {
      const arrival = next < arrivalS.length ? (arrivalS[next] ?? Infinity) : Infinity;
      const at = Math.min(arrival, this.#ends.nextS, this.#boots.nextS);
      if (at > untilS) return next;
      if (this.#ends.nextS === at) this.#endJob(at);
      else if (this.#boots.nextS === at) {
        this.#boots.pop();
        this.#fleet.addNode(at);
        this.#startWaiting(at);
      } else {
        this.#arrive(next, at);
        next += 1;
      }
    }
  }

  #endJob(atS: number): void {
    const job = this.#ends.pop();
    this.#fleet.release(this.#taken.get(job) ?? [], this.#trace.gpus[job] ?? 0, atS);
    this.#taken.delete(job);
    this.#startWaiting(atS);
  }

  #arrive(job: number, atS: number): void {
    if (this.#start(job, atS)) return;
    this.#waiting.push(job);
    this.#waitingGpus += this.#trace.gpus[job] ?? 0;
  }

  #start(job: number, atS: number): boolean {
    const gpus = this.#trace.gpus[job] ?? 0;
    const taken = this.#fleet.place(gpus);
    if (taken === undefined) return false;
    const service = this.#trace.serviceS[job] ?? 0;
    this.#taken.set(job, taken);
    this.#ends.push(atS + service, job);
    this.#waitS[job] = atS - (this.#trace.arrivalS[job] ?? 0);
    const lastS = this.#trace.arrivalS[this.#trace.arrivalS.length - 1] ?? 0;
    this.#used += gpus * Math.max(0, Math.min(service, lastS - atS));
    return true;
  }

  #startWaiting(atS: number): void {
    if (this.#waiting.length === 0) return;
    const depth = Math.min(BACKFILL_DEPTH, this.#waiting.length);
    let started = false;
    for (let index = 0; index < depth && this.#fleet.freeGpus > 0; index += 1) {
      const job = this.#waiting[index] ?? -1;
      if (!this.#start(job, atS)) continue;
      this.#waiting[index] = -1;
      this.#waitingGpus -= this.#trace.gpus[job] ?? 0;
      started = true;
    }
    if (started) this.#waiting = this.#waiting.filter((job) => job >= 0);
  }

  #decide(nowS: number): void {
    const change = this.#size({
      nowS,
      fleet: this.#fleet,
      coming: this.#boots.size,
      waiting: this.#waiting,
      waitingGpus: this.#waitingGpus,
      trace: this.#trace,
    });
    for (let count = 0; count < change; count += 1) this.#boots.push(nowS + this.#options.bootS, 0);
    if (change > 0) this.#added += change;
    else if (change < 0) this.#removeIdle(-change);
  }

  #removeIdle(count: number): void {
    const idle = [...this.#fleet.idleNodes].sort(
      (a, b) => this.#fleet.idleSinceS(a) - this.#fleet.idleSinceS(b),
    );
    for (const node of idle.slice(0, count)) {
      this.#fleet.removeNode(node);
      this.#removed += 1;
    }
  }

  /** A node is paid for from the moment it is asked for; the size only changes at ticks. */
  #countNodes(nowS: number, tickS: number): void {
    const nodes = this.#fleet.nodes + this.#boots.size;
    this.#mostNodes = Math.max(this.#mostNodes, nodes);
    const { arrivalS } = this.#trace;
    const lastS = arrivalS[arrivalS.length - 1] ?? 0;
    if (nowS <= lastS) this.#provisioned += nodes * this.#fleet.perNode * tickS;
  }

  #notePoint(atS: number): void {
    const provisioned = (this.#fleet.nodes + this.#boots.size) * this.#fleet.perNode;
    this.#series.push({ atS, provisioned, used: this.#fleet.usedGpus });
  }
}
