/** Notices GPUs that begin to differ from their peers, and those that no longer do. */
import { instantFromMs, type EpochMs } from '@poolmeter/domain';
import type { IncidentStore } from '../store/incident-store.js';
import { newestStep, PEER_STEP_MS } from './compare-peers.js';
import type { EvidenceSource } from './evidence-source.js';
import type { NodeNotice } from './watch-fleet.js';

/** After a pause the last steps are made up for; what is older was never compared and is not invented. */
const STEPS_MADE_UP = 12;

export class PeerWatch {
  readonly #source: EvidenceSource;
  readonly #incidents: IncidentStore;
  #comparedUntil: EpochMs | undefined;
  #nodes: ReadonlySet<string> = new Set();

  constructor(options: { readonly source: EvidenceSource; readonly incidents: IncidentStore }) {
    this.#source = options.source;
    this.#incidents = options.incidents;
  }

  /** Compares every step that is over and was not compared yet; what is found is stored at once. */
  async look(asOf: EpochMs): Promise<NodeNotice[]> {
    const newest = newestStep(asOf);
    const last = this.#comparedUntil ?? (await this.#incidents.peersComparedUntil());
    const earliest = newest - STEPS_MADE_UP * PEER_STEP_MS;
    const from = last === undefined ? newest : Math.max(last + PEER_STEP_MS, earliest);
    const notices: NodeNotice[] = [];
    for (let at = from; at <= newest; at += PEER_STEP_MS) {
      const step = instantFromMs(at);
      const found = await this.#source.comparePeers(step);
      await this.#incidents.addPeerFindings(step, found);
      const nodes = new Set(found.map((one) => one.node));
      for (const node of new Set([...nodes, ...this.#nodes])) notices.push({ node, from: step });
      this.#nodes = nodes;
    }
    this.#comparedUntil = newest;
    return notices;
  }
}
