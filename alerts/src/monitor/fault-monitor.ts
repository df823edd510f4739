/**
 * The live engine. It only decides where to look: new events by bus position, changes in the newest samples, late
 * samples, changed leases. What it finds there is judged by the same pure function as in a replay, over the whole
 * window of the node, so that the way in which evidence arrived leaves no trace in the verdicts.
 */
import { instantFromMs, type Clock, type EpochMs } from '@poolmeter/domain';
import type { MetricsStore } from '@poolmeter/metrics-store';
import type { HeldLock, RelationalStore } from '@poolmeter/relational-store';
import { repeatEvery, type Component, type Logger, type Telemetry } from '@poolmeter/service';
import type { FaultPolicy } from '../policy/fault-policy.js';
import type { AlertsDatabase } from '../store/alerts-database.js';
import { createIncidentStore, type IncidentStore, type MonitorCommit } from '../store/incident-store.js';
import type { NodeJudgement } from '../store/write-judgement.js';
import { createClickHouseEvidence } from './clickhouse-evidence.js';
import type { EvidenceSource } from './evidence-source.js';
import { judgeNode } from './judge-node.js';
import { nextLookAt } from './look-again.js';
import { createMonitorMetrics, type MonitorMetrics } from './monitor-metrics.js';
import { monitorDefaults, type MonitorConfig } from './monitor-config.js';
import { FleetWatch, type NodeNotice } from './watch-fleet.js';
import { HistoryWatch } from './watch-history.js';
import { LeaseWatch } from './watch-leases.js';
import { PeerWatch } from './watch-peers.js';
import { SignalWatch } from './watch-signals.js';

export interface FaultMonitorOptions {
  readonly store: MetricsStore;
  readonly relational: RelationalStore<AlertsDatabase>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly telemetry: Telemetry;
  readonly policy: FaultPolicy;
  readonly config?: Partial<MonitorConfig>;
}

const LOCK_NAME = 'poolmeter.alerts.monitor';

/** The monitor as a part of a process. Of several processes one works, the others stand by. */
export function createFaultMonitor(options: FaultMonitorOptions): Component {
  const config = { ...monitorDefaults(), ...options.config };
  const metrics = createMonitorMetrics(options.telemetry.meter);
  const parts = {
    ...options,
    config,
    metrics,
    source: createClickHouseEvidence(options.store, options.policy),
    incidents: createIncidentStore(options.relational),
  };
  let held:
    { readonly lock: HeldLock; readonly engine: MonitorEngine; readonly signal: AbortSignal } | undefined;
  const loop = repeatEvery({
    name: 'fault monitor',
    everyMs: config.eventPollMs,
    clock: options.clock,
    logger: options.logger,
    meter: options.telemetry.meter,
    async run(signal) {
      if (held?.lock.lost.aborted === true) {
        await held.lock.release();
        held = undefined;
      }
      if (held === undefined) {
        const lock = await options.relational.tryLock(LOCK_NAME);
        if (lock === undefined) return;
        // Made once: signals that are combined at every turn would pile up behind the one that lives as long as we do.
        held = { lock, engine: new MonitorEngine(parts), signal: AbortSignal.any([signal, lock.lost]) };
      }
      await held.engine.turn(held.signal);
    },
  });
  return {
    name: loop.name,
    start: () => loop.start(),
    async stop() {
      await loop.stop();
      await held?.lock.release();
    },
  };
}

export interface MonitorEngineParts {
  readonly source: EvidenceSource;
  readonly incidents: IncidentStore;
  readonly policy: FaultPolicy;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MonitorMetrics;
  readonly config: MonitorConfig;
}

const NOTICES_PER_READ = 20_000;
/** Nodes whose judgements go into one transaction. */
const NODES_PER_COMMIT = 25;
/** What a part that is not the last one stores beside its judgements. */
const NOT_YET: Omit<MonitorCommit, 'judgements'> = {
  positions: new Map(),
  evaluatedHours: [],
  leasesRecordedAt: undefined,
};

export class MonitorEngine {
  readonly #parts: MonitorEngineParts;
  readonly #fleet: FleetWatch;
  readonly #signals: SignalWatch;
  readonly #history: HistoryWatch;
  readonly #leases: LeaseWatch;
  readonly #peers: PeerWatch;
  readonly #dirty = new Map<string, EpochMs>();
  readonly #lookAgain = new Map<string, EpochMs>();
  readonly #lastLooks = new Map<string, EpochMs>();
  #positions: Map<number, bigint> | undefined;
  #evaluatedHours: MonitorCommit['evaluatedHours'] = [];
  #withLeases = false;

  constructor(parts: MonitorEngineParts) {
    this.#parts = parts;
    this.#fleet = new FleetWatch(parts.policy);
    this.#signals = new SignalWatch(parts.source, parts.policy);
    this.#history = new HistoryWatch({ ...parts, reachMs: parts.config.historyReachMs });
    this.#leases = new LeaseWatch(parts.incidents);
    this.#peers = new PeerWatch(parts);
  }

  /** Looks everywhere that is due, judges what deserves it, and stores effects and positions together. */
  async turn(signal?: AbortSignal): Promise<void> {
    const asOf = this.#parts.clock.now();
    const positions = await this.#readEvents();
    const { config } = this.#parts;
    const isMeasured = this.#isDue('fleet', config.fleetLookMs, asOf);
    if (isMeasured) await this.#lookAtFleet(asOf);
    if (this.#isDue('history', config.historyLookMs, asOf)) await this.#lookAtHistory(asOf);
    if (this.#isDue('signals', config.signalLookMs, asOf)) {
      const leases = this.#withLeases
        ? await this.#parts.incidents.leasesSince(this.#signals.from(asOf))
        : [];
      this.#notice(await this.#signals.look(asOf, leases));
    }
    if (this.#isDue('peers', config.peerLookMs, asOf)) this.#notice(await this.#peers.look(asOf));
    for (const [node, at] of this.#lookAgain) {
      if (at <= asOf) this.#notice([{ node, from: asOf }]);
    }
    signal?.throwIfAborted();
    try {
      await this.#judgeAndStore({ asOf, positions, signal });
    } finally {
      // A turn that fails again and again must show as lag.
      if (isMeasured) await this.#measure();
    }
  }

  async #readEvents(): Promise<Map<number, bigint>> {
    const { source, incidents } = this.#parts;
    if (this.#positions === undefined) {
      this.#positions = await incidents.positions();
      const asOf = this.#parts.clock.now();
      for (const node of await incidents.unclearedNodes()) this.#lookAgain.set(node, asOf);
    }
    const positions = new Map(this.#positions);
    const notices = await source.noticesAfter(positions, NOTICES_PER_READ);
    for (const notice of notices) {
      this.#notice([{ node: notice.node, from: notice.ts }]);
      const known = positions.get(notice.partition);
      if (known === undefined || known < notice.offset) positions.set(notice.partition, notice.offset);
    }
    return positions;
  }

  async #lookAtFleet(asOf: EpochMs): Promise<void> {
    this.#notice(this.#fleet.look(await this.#parts.source.gpusLastSeen(), asOf));
  }

  /** After a turn, when whatever stood in the store at its beginning should have had its effect. */
  async #measure(): Promise<void> {
    const { source, metrics, incidents } = this.#parts;
    for (const [partition, newest] of await source.newestPositions()) {
      const lag = newest - (this.#positions?.get(partition) ?? -1n);
      metrics.positionLag(partition, lag);
    }
    metrics.uncleared(await incidents.uncleared());
  }

  async #lookAtHistory(asOf: EpochMs): Promise<void> {
    const { incidents, logger } = this.#parts;
    if (!this.#withLeases && (await incidents.hasLeases())) {
      this.#withLeases = true;
      logger.info(
        'Leases are known: incidents name those that they affect, and idle leased GPUs are noticed.',
      );
    }
    if (this.#withLeases) this.#notice(await this.#leases.look());
    const look = await this.#history.look(asOf);
    this.#notice(look.notices);
    this.#evaluatedHours = [...this.#evaluatedHours, ...look.evaluatedHours];
  }

  #isDue(look: string, everyMs: number, asOf: EpochMs): boolean {
    const last = this.#lastLooks.get(look);
    if (last !== undefined && asOf - last < everyMs) return false;
    this.#lastLooks.set(look, asOf);
    return true;
  }

  #notice(notices: readonly NodeNotice[]): void {
    for (const { node, from } of notices) {
      const known = this.#dirty.get(node);
      if (known === undefined || from < known) this.#dirty.set(node, from);
    }
  }

  /** Positions move only with the last part, when everything that they stand for has been stored. */
  async #judgeAndStore(turn: {
    asOf: EpochMs;
    positions: ReadonlyMap<number, bigint>;
    signal: AbortSignal | undefined;
  }): Promise<void> {
    const nodes = [...this.#dirty];
    do {
      const part = nodes.splice(0, NODES_PER_COMMIT);
      const judgements: NodeJudgement[] = [];
      for (const [node, from] of part) {
        turn.signal?.throwIfAborted();
        judgements.push(await this.#judge({ node, from, asOf: turn.asOf }));
      }
      const isLast = nodes.length === 0;
      if (judgements.length > 0 || this.#hasMoved(turn.positions)) {
        const rest = isLast ? this.#rest(turn.positions) : NOT_YET;
        this.#parts.metrics.incidentsChanged(await this.#parts.incidents.commit({ judgements, ...rest }));
      }
      for (const judgement of judgements) this.#settle(judgement, turn.asOf);
      if (isLast) this.#stored(turn.positions);
    } while (nodes.length > 0);
  }

  #rest(positions: ReadonlyMap<number, bigint>): Omit<MonitorCommit, 'judgements'> {
    return { positions, evaluatedHours: this.#evaluatedHours, leasesRecordedAt: this.#leases.recordedAt };
  }

  #hasMoved(positions: ReadonlyMap<number, bigint>): boolean {
    return [...positions].some(([partition, offset]) => this.#positions?.get(partition) !== offset);
  }

  #stored(positions: ReadonlyMap<number, bigint>): void {
    this.#positions = new Map(positions);
    this.#evaluatedHours = [];
  }

  async #judge(question: { node: string; from: EpochMs; asOf: EpochMs }): Promise<NodeJudgement> {
    const startedMs = performance.now();
    const judgement = await judgeNode(question, { ...this.#parts, withLeases: this.#withLeases });
    this.#parts.metrics.evaluated(performance.now() - startedMs);
    return judgement;
  }

  #settle(judgement: NodeJudgement, asOf: EpochMs): void {
    this.#dirty.delete(judgement.node);
    const at = nextLookAt(judgement.incidents, asOf);
    if (at === undefined) this.#lookAgain.delete(judgement.node);
    else this.#lookAgain.set(judgement.node, instantFromMs(at));
  }
}
