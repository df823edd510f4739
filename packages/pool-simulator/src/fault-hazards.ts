/**
 * When things break by themselves. Lemons break more often, and one fault often brings the next: real fleets are not
 * Poisson.
 */
import type { EventQueue } from './event-queue.js';
import type { FaultEffects } from './fault-effects.js';
import { faultKinds, faultTraits, type FaultKind } from './fault-kind.js';
import { hash32, RandomStream } from './random.js';
import type { SimulatedNode } from './simulated-node.js';

const DAY_MS = 86_400_000;
const LEMON_FACTOR = 3.5;
const BURST_MEAN_MS = 40 * 60_000;

export interface HazardOptions {
  readonly seed: number;
  readonly faultsPerNodeDay: number;
  readonly events: EventQueue;
  readonly effects: FaultEffects;
}

export class FaultHazards {
  readonly #options: HazardOptions;

  constructor(options: HazardOptions) {
    this.#options = options;
  }

  /** From now on this node may break. */
  watch(node: SimulatedNode, from: number): void {
    const rate = this.#options.faultsPerNodeDay * (node.shape.lemon === true ? LEMON_FACTOR : 1);
    if (rate <= 0) return;
    const stream = new RandomStream(this.#options.seed, `hazard/${node.name}`);
    this.#planNext({ node, stream, meanMs: DAY_MS / rate }, from);
  }

  #planNext(hazard: NodeHazard, from: number): void {
    const at = Math.ceil(from + hazard.stream.exponential(hazard.meanMs));
    this.#options.events.schedule(at, () => {
      if (hazard.node.removedAtMs !== undefined) return;
      this.#break(hazard, { at, kind: drawKind(hazard.stream), index: drawIndex(hazard) });
      this.#planNext(hazard, at);
    });
  }

  /** All draws are made whether or not the fault can happen, so that one fault does not shift all later ones. */
  #break(hazard: NodeHazard, what: { at: number; kind: FaultKind; index: number }): void {
    const { node, stream } = hazard;
    const minutes = Math.max(1, stream.logNormal(faultTraits[what.kind].medianMinutes, 0.6));
    const remapFails = stream.unit() < 0.15;
    const again = stream.unit() < (node.shape.lemon === true ? 0.5 : 0.25);
    const burstAt = Math.ceil(what.at + minutes * 60_000 + stream.exponential(BURST_MEAN_MS));
    const gpu = node.gpus[what.index];
    if (this.#options.effects.canStrike(what.kind, node, gpu)) {
      this.#options.effects.strike(
        {
          kind: what.kind,
          at: what.at,
          // A board that has to be replaced takes most of a day.
          healthyAt: Math.ceil(what.at + minutes * 60_000 * (what.kind === 'xid_48' && remapFails ? 15 : 1)),
          recovery: what.kind === 'xid_79' ? 'node_reboot' : 'gpu_reset',
          remapFails: what.kind === 'xid_48' && remapFails,
          seed: hash32(this.#options.seed, what.at % 0x7fffffff),
        },
        node,
        gpu,
      );
    }
    if (!again) return;
    this.#options.events.schedule(burstAt, () => {
      if (node.removedAtMs === undefined) this.#break(hazard, { ...what, at: burstAt });
    });
  }
}

interface NodeHazard {
  readonly node: SimulatedNode;
  readonly stream: RandomStream;
  readonly meanMs: number;
}

function drawKind(stream: RandomStream): FaultKind {
  return stream.pick(faultKinds.map((kind) => [kind, faultTraits[kind].weight] as const));
}

/** On a lemon it is mostly the same board. */
function drawIndex({ node, stream }: NodeHazard): number {
  const any = Math.floor(stream.unit() * node.gpus.length);
  const same = stream.unit() < 0.6;
  return node.shape.lemon === true && same ? Math.min(3, node.gpus.length - 1) : any;
}
