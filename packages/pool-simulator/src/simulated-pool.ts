/**
 * A GPU pool whose whole history follows from its seed, its start and what was done to it. Only events are simulated;
 * telemetry is computed for the instants that are asked for.
 */
import {
  digestOf,
  formatInstant,
  fraction,
  instantFromMs,
  PoolmeterError,
  type EpochMs,
} from '@poolmeter/domain';
import type {
  ActionOutcome,
  HeldShare,
  PendingDemand,
  SchedulerAction,
  SchedulerNode,
  SchedulerObservation,
} from '@poolmeter/scheduler';
import { ActionJournal } from './action-journal.js';
import { EventQueue } from './event-queue.js';
import { NodeExposition } from './exposition.js';
import { FaultEffects, type FaultRecord } from './fault-effects.js';
import { FaultHazards } from './fault-hazards.js';
import { JobArrivals } from './job-arrivals.js';
import type { PendingJob } from './job.js';
import { JobBook } from './job-book.js';
import { formatKernelRecord, type KernelLogFormat, type KernelRecord } from './kernel-log.js';
import { LeaseBook } from './lease-book.js';
import { gpuModels } from './gpu-model.js';
import { migProfiles } from './mig-profile.js';
import { defaultPoolShape, type PoolShape } from './pool-shape.js';
import { hash32, hexDigitsOf } from './random.js';
import { scheduleScenario } from './scenario-script.js';
import type { Scenario } from './scenario.js';
import { applyAction } from './scheduler-actions.js';
import { SimulatedNode } from './simulated-node.js';

export interface SimulatedPoolOptions {
  /** A whole number; the same seed gives the same history. */
  readonly seed: number;
  /** Where the history begins. */
  readonly startAt: EpochMs;
  /** The pool of `defaultPoolShape()` when absent. */
  readonly shape?: PoolShape;
  /** Exactly these jobs and faults happen, and no others. */
  readonly scenario?: Scenario;
  /** Where actions are kept, so that a restart tells the same history; in memory only when absent. */
  readonly journalFile?: string;
}

/** What the exporter of a node answers to one request. */
export type ScrapeOutcome =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'error'; readonly status: 500; readonly body: string }
  /** The request is accepted and never answered. */
  | { readonly kind: 'hang' }
  /** Nobody listens. */
  | { readonly kind: 'refused' };

export interface ActOptions {
  readonly idempotencyKey: string;
  readonly reason: string;
}

/** One node that is or was part of the pool. */
export interface PoolNode {
  readonly node: string;
  readonly providerId: string;
  readonly gpuModel: string;
  readonly gpus: number;
  readonly removedAt: EpochMs | undefined;
}

interface PendingAction {
  readonly at: number;
  readonly key: string;
  readonly action: SchedulerAction;
  readonly reason: string;
}

export class SimulatedPool {
  readonly seed: number;
  readonly startAt: EpochMs;
  readonly shape: PoolShape;
  readonly #nodes = new Map<string, SimulatedNode>();
  readonly #expositions = new Map<string, NodeExposition>();
  readonly #events = new EventQueue();
  readonly #leases: LeaseBook;
  readonly #jobs: JobBook;
  readonly #effects: FaultEffects;
  readonly #hazards: FaultHazards;
  readonly #journal: ActionJournal | undefined;
  readonly #replay: PendingAction[];
  readonly #outcomes = new Map<string, { digest: string; outcome: ActionOutcome }>();
  #now: EpochMs;
  #forgottenBefore: number;

  constructor(options: SimulatedPoolOptions) {
    if (!Number.isSafeInteger(options.seed)) {
      throw new PoolmeterError('input.invalid', `A seed is a whole number, not ${options.seed}.`);
    }
    this.seed = options.seed;
    this.startAt = options.startAt;
    this.shape = options.shape ?? defaultPoolShape();
    this.#now = options.startAt;
    this.#forgottenBefore = options.startAt;
    const poolSeed = this.#poolSeed();
    for (const node of this.shape.nodes) {
      this.#nodes.set(node.node, new SimulatedNode(node, { poolSeed, at: options.startAt, state: 'ready' }));
    }
    this.#leases = new LeaseBook(this.shape.pool);
    this.#jobs = new JobBook({ nodes: this.#nodes, events: this.#events, leases: this.#leases });
    const { driverVersion, bootMs, faultsPerNodeDay } = this.shape;
    this.#effects = new FaultEffects({ events: this.#events, jobs: this.#jobs, driverVersion, bootMs });
    this.#hazards = new FaultHazards({
      seed: poolSeed,
      faultsPerNodeDay: options.scenario === undefined ? faultsPerNodeDay : 0,
      events: this.#events,
      effects: this.#effects,
    });
    this.#journal = this.#openJournal(options);
    this.#replay = [...(this.#journal?.entries ?? [])];
    if (options.scenario === undefined) this.#beginRandomLife(poolSeed);
    else this.#beginScenario(options.scenario);
    this.#runEventsUntil(options.startAt);
  }

  #poolSeed(): number {
    return hash32(this.seed, Math.floor(this.seed / 4_294_967_296));
  }

  #openJournal(options: SimulatedPoolOptions): ActionJournal | undefined {
    if (options.journalFile === undefined) return undefined;
    const shapeDigest = digestOf({ shape: this.shape, scenario: options.scenario ?? null });
    return new ActionJournal(options.journalFile, { seed: this.seed, startAt: this.startAt, shapeDigest });
  }

  #beginScenario(scenario: Scenario): void {
    scheduleScenario(scenario, {
      nodes: this.#nodes,
      events: this.#events,
      jobs: this.#jobs,
      effects: this.#effects,
      startAt: this.startAt,
    });
  }

  #beginRandomLife(poolSeed: number): void {
    const idPrefix = `job-${hexDigitsOf(hash32(poolSeed, Math.floor(this.startAt / 1000)), 4)}-`;
    const arrivals = new JobArrivals({ shape: this.shape, seed: poolSeed, idPrefix });
    for (let job = arrivals.initialJobs(); job > 0; job--) this.#jobs.submit(arrivals.next(), this.startAt);
    const plan = (from: number): void => {
      const at = arrivals.nextAfter(from);
      this.#events.schedule(at, () => {
        this.#jobs.submit(arrivals.next(), at);
        plan(at);
      });
    };
    plan(this.startAt);
    for (const node of this.#nodes.values()) this.#hazards.watch(node, this.startAt);
  }

  /** The instant that the history has reached. */
  now(): EpochMs {
    return this.#now;
  }

  /** Lets everything happen up to and including `to`. An instant that has passed already changes nothing. */
  advanceTo(to: EpochMs): void {
    for (let next = this.#replay[0]; next !== undefined && next.at <= to; next = this.#replay[0]) {
      this.#replay.shift();
      this.#runEventsUntil(next.at);
      this.#apply(next);
    }
    this.#runEventsUntil(to);
  }

  #runEventsUntil(to: number): void {
    for (let event = this.#events.takeDue(to); event !== undefined; event = this.#events.takeDue(to)) {
      event.run();
    }
    if (to > this.#now) this.#now = instantFromMs(to);
  }

  /** All nodes that ever were part of the pool, in order of their names. */
  nodes(): PoolNode[] {
    return [...this.#nodes.values()].map((node) => ({
      node: node.name,
      providerId: node.shape.providerId,
      gpuModel: node.shape.gpuModel,
      gpus: node.shape.gpus,
      removedAt: node.removedAtMs === undefined ? undefined : instantFromMs(node.removedAtMs),
    }));
  }

  /** What a scrape of this node at this instant gives. */
  scrape(node: string, at: EpochMs): ScrapeOutcome {
    const one = this.#nodeAt(node, at);
    switch (one.exporterAt(at)) {
      case 'ok':
        return { kind: 'text', text: this.#expositionOf(one).render(at) };
      case 'hang':
        return { kind: 'hang' };
      case 'error':
        return {
          kind: 'error',
          status: 500,
          body: 'internal server error: failed to gather metrics: Host engine connection invalid/disconnected\n',
        };
      case 'down':
        return { kind: 'refused' };
    }
  }

  /** The exporter's text; throws when it would not give any. */
  metricsText(node: string, at: EpochMs): string {
    const outcome = this.scrape(node, at);
    if (outcome.kind === 'text') return outcome.text;
    throw new PoolmeterError(
      'scrape.failed',
      `The exporter of ${node} gives no text at ${formatInstant(at)}: ${outcome.kind}.`,
      { retriable: true },
    );
  }

  #expositionOf(node: SimulatedNode): NodeExposition {
    const known = this.#expositions.get(node.name);
    if (known !== undefined) return known;
    const exposition = new NodeExposition(node, this.shape.driverVersion);
    this.#expositions.set(node.name, exposition);
    return exposition;
  }

  #nodeAt(name: string, at: number): SimulatedNode {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new PoolmeterError('not_found', `The pool has no node ${name}.`);
    if (at > this.#now || at < this.#forgottenBefore) {
      throw new PoolmeterError(
        'input.invalid',
        `The pool knows its history from ${formatInstant(instantFromMs(this.#forgottenBefore))} to ${formatInstant(this.#now)}, not ${formatInstant(instantFromMs(at))}.`,
      );
    }
    return node;
  }

  /** Kernel log records in `[from, to)`, oldest first. */
  kernelRecords(node: string, from: EpochMs, to: EpochMs): KernelRecord[] {
    this.#nodeAt(node, from);
    return this.#nodeAt(node, to).kernelLog.records(from, to);
  }

  /** The same as text lines without line ends. */
  kernelLines(node: string, from: EpochMs, to: EpochMs, format: KernelLogFormat = 'dmesg-iso'): string[] {
    return this.kernelRecords(node, from, to).map((record) => formatKernelRecord(record, format));
  }

  bootIdAt(node: string, at: EpochMs): string {
    return this.#nodeAt(node, at).kernelLog.bootIdAt(at);
  }

  /** What truly broke so far, for judging what was detected. */
  faults(): readonly FaultRecord[] {
    return this.#effects.records;
  }

  observe(): SchedulerObservation {
    const held = this.#leases.held();
    const leaseIdsByGpu = new Map<string, string[]>();
    for (const { gpuUuid, leaseId } of held) {
      leaseIdsByGpu.set(gpuUuid, [...(leaseIdsByGpu.get(gpuUuid) ?? []), leaseId]);
    }
    const nodes = [...this.#nodes.values()].filter((node) => node.removedAtMs === undefined);
    return {
      observedAt: this.#now,
      nodes: nodes.map((node) => observedNode(node, leaseIdsByGpu)),
      pending: this.#jobs.pending.map(pendingDemand),
      held,
    };
  }

  /** Idempotent by key; the answer to a key never changes, not even after a restart. */
  act(action: SchedulerAction, options: ActOptions): ActionOutcome {
    const digest = digestOf(action);
    const known = this.#outcomes.get(options.idempotencyKey);
    if (known !== undefined) {
      if (known.digest === digest) return known.outcome;
      throw new PoolmeterError(
        'input.conflict',
        `Idempotency key ${options.idempotencyKey} was used for another action.`,
      );
    }
    const waiting = this.#replay[0];
    if (waiting !== undefined) {
      throw new PoolmeterError(
        'precondition_failed',
        `The pool's journal goes on after ${formatInstant(this.#now)}: advance to ${formatInstant(instantFromMs(waiting.at))} first.`,
      );
    }
    const entry = { at: this.#now, key: options.idempotencyKey, action, reason: options.reason };
    this.#journal?.append(entry);
    return this.#apply(entry);
  }

  #apply(entry: PendingAction): ActionOutcome {
    const parts = {
      shape: this.shape,
      poolSeed: this.#poolSeed(),
      nodes: this.#nodes,
      events: this.#events,
      jobs: this.#jobs,
      effects: this.#effects,
      hazards: this.#hazards,
    };
    const outcome = applyAction(parts, entry.action, { at: entry.at, reason: entry.reason });
    this.#outcomes.set(entry.key, { digest: digestOf(entry.action), outcome });
    // What follows at this very instant happens before the next action, in a replay as in the first life.
    this.#runEventsUntil(entry.at);
    return outcome;
  }

  /** Every share held at some time since `since`. */
  accounting(since: EpochMs): HeldShare[] {
    return this.#leases.since(since);
  }

  /** Drops history before `at`, so that memory stays flat in a pool that runs for months. */
  forgetBefore(at: EpochMs): void {
    if (at <= this.#forgottenBefore) return;
    this.#forgottenBefore = at;
    this.#leases.forgetBefore(at);
    for (const node of this.#nodes.values()) node.forgetBefore(at);
  }
}

export function createSimulatedPool(options: SimulatedPoolOptions): SimulatedPool {
  return new SimulatedPool(options);
}

function observedNode(
  node: SimulatedNode,
  leaseIdsByGpu: ReadonlyMap<string, readonly string[]>,
): SchedulerNode {
  return {
    node: node.name,
    state: node.state,
    reason: node.reason,
    since: instantFromMs(node.sinceMs),
    gpus: node.gpus.map((gpu) => ({
      gpuUuid: gpu.uuid,
      gpuIndex: gpu.index,
      gpuModel: gpu.model.name,
      leaseIds: leaseIdsByGpu.get(gpu.uuid) ?? [],
    })),
  };
}

function pendingDemand({ spec, since }: PendingJob): PendingDemand {
  const slices = migProfiles.find((one) => one.name === spec.migProfile)?.computeSlices;
  const model = spec.gpuModels[0];
  return {
    id: spec.jobId,
    gpus: spec.gpus,
    gpuModel: slices === undefined ? model : gpuModels.a100.name,
    gang: spec.gpus > 1,
    priority: spec.priority,
    customerId: spec.customerId,
    since: instantFromMs(since),
    ...(slices === undefined ? {} : { share: fraction(BigInt(slices), 7n) }),
  };
}
