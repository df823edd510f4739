/** One node: its boards, its exporter, its kernel log, and what the scheduler thinks of it. */
import type { NodeState } from '@poolmeter/scheduler';
import { gpuModelNamed } from './gpu-model.js';
import { KernelLog } from './kernel-log.js';
import { migInstancesOf } from './mig-profile.js';
import type { NodeShape } from './pool-shape.js';
import { hash32, hashText, unitAt } from './random.js';
import { SimulatedGpu } from './simulated-gpu.js';

/** How the exporter answers: text, never, status 500, or no listener at all. */
export type ExporterState = 'ok' | 'hang' | 'error' | 'down';

const DAY_MS = 86_400_000;

interface ExporterStretch {
  readonly startMs: number;
  readonly state: ExporterState;
}

export class SimulatedNode {
  readonly name: string;
  readonly shape: NodeShape;
  readonly gpus: readonly SimulatedGpu[];
  readonly kernelLog: KernelLog;
  removedAtMs: number | undefined;
  /** What the scheduler was told to do with it. */
  #state: NodeState;
  #sinceMs: number;
  #reason: string;
  /** A reboot for repair goes on; the scheduler then says `down` whatever it was told. */
  #rebooting: { sinceMs: number; reason: string } | undefined;
  #exporter: ExporterStretch[] = [];
  #exporterFault: 'hang' | 'error' | undefined;

  constructor(shape: NodeShape, birth: { poolSeed: number; at: number; state: 'ready' | 'booting' }) {
    const model = gpuModelNamed(shape.gpuModel);
    this.name = shape.node;
    this.shape = shape;
    this.gpus = Array.from(
      { length: shape.gpus },
      (_, index) =>
        new SimulatedGpu({
          node: shape.node,
          index,
          model,
          instances: migInstancesOf(shape.mig?.[index] ?? []),
          poolSeed: birth.poolSeed,
          at: birth.at,
        }),
    );
    const seed = hash32(birth.poolSeed, hashText(`kernel/${shape.node}`));
    this.kernelLog = new KernelLog({
      seed,
      bootedAtMs: birth.at - Math.floor((3 + 40 * unitAt(seed, 1)) * DAY_MS),
      isUpAt: (at) => this.exporterAt(at) !== 'down',
    });
    this.#state = birth.state;
    this.#sinceMs = birth.at;
    this.#reason = '';
    this.noteExporter(birth.at);
  }

  get state(): NodeState {
    return this.#rebooting === undefined ? this.#state : 'down';
  }

  /** No machine that runs: nothing answers and nothing can break. */
  get isOff(): boolean {
    return this.state === 'down' || this.state === 'powered_down' || this.state === 'booting';
  }

  get sinceMs(): number {
    return this.#rebooting?.sinceMs ?? this.#sinceMs;
  }

  get reason(): string {
    if (this.#rebooting !== undefined) return this.#rebooting.reason;
    const unfit = this.gpus.filter((gpu) => gpu.unfit).map((gpu) => gpu.index);
    return this.#reason === '' && unfit.length > 0
      ? `gpu ${unfit.join(', ')} failed its health check`
      : this.#reason;
  }

  get leaseCount(): number {
    return this.gpus.reduce((sum, gpu) => sum + gpu.holders.filter((one) => one !== undefined).length, 0);
  }

  setState(state: NodeState, change: { at: number; reason: string }): void {
    this.#state = state;
    this.#sinceMs = change.at;
    this.#reason = change.reason;
    this.noteExporter(change.at);
  }

  beginReboot(at: number, reason: string): void {
    this.#rebooting = { sinceMs: at, reason };
    this.noteExporter(at);
  }

  endReboot(at: number): void {
    this.#rebooting = undefined;
    this.noteExporter(at);
  }

  setExporterFault(fault: 'hang' | 'error' | undefined, at: number): void {
    this.#exporterFault = fault;
    this.noteExporter(at);
  }

  get exporterFault(): 'hang' | 'error' | undefined {
    return this.#exporterFault;
  }

  noteExporter(at: number): void {
    const state = this.removedAtMs !== undefined || this.isOff ? 'down' : (this.#exporterFault ?? 'ok');
    if (this.#exporter.at(-1)?.startMs === at) this.#exporter.pop();
    this.#exporter.push({ startMs: at, state });
  }

  exporterAt(at: number): ExporterState {
    return this.#exporter.findLast((stretch) => stretch.startMs <= at)?.state ?? 'down';
  }

  forgetBefore(at: number): void {
    const keepFrom = this.#exporter.findLastIndex((stretch) => stretch.startMs <= at);
    if (keepFrom > 0) this.#exporter = this.#exporter.slice(keepFrom);
    this.kernelLog.forgetBefore(at);
    for (const gpu of this.gpus) gpu.history.forgetBefore(at);
  }
}
