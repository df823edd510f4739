/**
 * Notices samples that arrive for the past (a back-fill, a spool that was away from the bus), by what is stored and not
 * by any clock: a past hour whose number of samples differs from what was judged is judged again.
 */
import { instantFromMs, type EpochMs } from '@poolmeter/domain';
import type { IncidentStore, MonitorCommit } from '../store/incident-store.js';
import type { EvidenceSource } from './evidence-source.js';
import type { NodeNotice } from './watch-fleet.js';

const HOUR_MS = 3_600_000;

export interface HistoryLook {
  readonly notices: readonly NodeNotice[];
  /** To be stored with the judgements that the notices lead to. */
  readonly evaluatedHours: MonitorCommit['evaluatedHours'];
}

export class HistoryWatch {
  readonly #source: EvidenceSource;
  readonly #incidents: IncidentStore;
  readonly #reachMs: number;
  /** Fingerprints whose hours were found equal to what was judged, or are being judged. */
  #fingerprints = new Map<string, bigint>();
  #lookedUntil: EpochMs | undefined;

  constructor(options: { source: EvidenceSource; incidents: IncidentStore; reachMs: number }) {
    this.#source = options.source;
    this.#incidents = options.incidents;
    this.#reachMs = options.reachMs;
  }

  /** Hours that are over count; what arrives for the present hour is seen by the other watches. */
  async look(asOf: EpochMs): Promise<HistoryLook> {
    const to = instantFromMs(Math.floor(asOf / HOUR_MS) * HOUR_MS);
    const from = instantFromMs(Math.max(0, to - this.#reachMs));
    if (this.#lookedUntil !== to) this.#fingerprints.clear();
    this.#lookedUntil = to;
    const now = await this.#source.sampleFingerprints({ from, to });
    const notices: NodeNotice[] = [];
    const evaluatedHours: MonitorCommit['evaluatedHours'][number][] = [];
    for (const [node, fingerprint] of now) {
      if (this.#fingerprints.get(node) === fingerprint) continue;
      const changed = await this.#changedHours({ node, from, to });
      if (changed.length > 0) {
        notices.push({ node, from: instantFromMs(Math.min(...changed.map((one) => one.hour))) });
        evaluatedHours.push(...changed);
      }
      this.#fingerprints.set(node, fingerprint);
    }
    return { notices, evaluatedHours };
  }

  async #changedHours(span: { node: string; from: EpochMs; to: EpochMs }) {
    const [counts, evaluated] = await Promise.all([
      this.#source.sampleCounts(span),
      this.#incidents.evaluatedHours(span.node, span.from),
    ]);
    return [...counts]
      .filter(([hour, samples]) => evaluated.get(hour) !== samples)
      .map(([hour, samples]) => ({ node: span.node, hour, samples }));
  }
}
