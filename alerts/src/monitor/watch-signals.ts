/** Notices when a lasting condition on samples (hot, idle while leased) begins or ends on some node. */
import { instantFromMs, type EpochMs } from '@poolmeter/domain';
import type { FaultPolicy } from '../policy/fault-policy.js';
import type { LeaseEvidence } from '../verdict/evidence.js';
import { symptomsOfSignals } from '../verdict/signals.js';
import type { EvidenceSource } from './evidence-source.js';
import { longestSignalMs } from './policy-reach.js';
import type { NodeNotice } from './watch-fleet.js';

export class SignalWatch {
  readonly #source: EvidenceSource;
  readonly #policy: FaultPolicy;
  /** Conditions that held at the last look, with their beginning, by node. */
  #held = new Map<string, Map<string, EpochMs>>();

  constructor(source: EvidenceSource, policy: FaultPolicy) {
    this.#source = source;
    this.#policy = policy;
  }

  from(asOf: EpochMs): EpochMs {
    return instantFromMs(Math.max(0, asOf - longestSignalMs(this.#policy)));
  }

  async look(asOf: EpochMs, leases: readonly LeaseEvidence[]): Promise<NodeNotice[]> {
    const signals = await this.#source.signals({ node: '', from: this.from(asOf), to: asOf });
    const symptoms = symptomsOfSignals({ asOf, signals, leases, telemetry: [], events: [] }, this.#policy);
    const held = new Map<string, Map<string, EpochMs>>();
    for (const one of symptoms) {
      const ofNode = held.get(one.node) ?? new Map<string, EpochMs>();
      const state = one.until === undefined ? 'holds' : 'ended';
      ofNode.set(`${one.fault.code}|${one.gpuUuid}|${one.gpuInstance}|${state}`, one.ts);
      held.set(one.node, ofNode);
    }
    const notices = changes(this.#held, held);
    this.#held = held;
    return notices;
  }
}

function changes(
  before: ReadonlyMap<string, ReadonlyMap<string, EpochMs>>,
  after: ReadonlyMap<string, ReadonlyMap<string, EpochMs>>,
): NodeNotice[] {
  const notices: NodeNotice[] = [];
  const none = new Map<string, EpochMs>();
  for (const node of new Set([...before.keys(), ...after.keys()])) {
    const old = before.get(node) ?? none;
    const now = after.get(node) ?? none;
    const begun = [...now].filter(([key]) => !old.has(key));
    const gone = [...old].filter(([key]) => !now.has(key));
    const starts = [...begun, ...gone].map(([, start]) => start);
    if (starts.length > 0) notices.push({ node, from: instantFromMs(Math.min(...starts)) });
  }
  return notices;
}
