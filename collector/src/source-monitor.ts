import type { EpochMs } from '@poolmeter/domain';
import type { GpuEvent, GpuEventKind } from '@poolmeter/telemetry-schema';
import type { EventIdentity } from './event-identity.js';

/** Why a scrape gave nothing. */
export type ScrapeFailureReason =
  | 'http-status'
  | 'timeout'
  | 'refused'
  | 'network'
  | 'too-large'
  /** An answer without a single readable metric. */
  | 'unparsable';

export interface ScrapeFailure {
  readonly reason: ScrapeFailureReason;
  /** The HTTP status, where there was an answer. */
  readonly status: number | undefined;
  readonly message: string;
}

/** What is remembered of a source over restarts of the agent. Plain JSON. */
export interface SourceState {
  readonly health: 'up' | 'partial' | 'down';
  readonly failures: number;
  readonly firstFailureAtMs: number | null;
  readonly lastReason: ScrapeFailureReason | null;
  readonly partialScrapes: number;
  readonly wholeScrapes: number;
  readonly exporterStartedAtS: number | null;
}

const NEW_SOURCE: SourceState = {
  health: 'up',
  failures: 0,
  firstFailureAtMs: null,
  lastReason: null,
  partialScrapes: 0,
  wholeScrapes: 0,
  exporterStartedAtS: null,
};

export interface SourceMonitorOptions {
  readonly url: string;
  readonly pool: string;
  readonly providerId: string;
  readonly identity: EventIdentity;
  readonly demo?: boolean | undefined;
  readonly state?: SourceState | undefined;
}

/** One failed scrape may be a restart or a lost packet; three in a row are a source that is down. */
const DOWN_AFTER_FAILURES = 3;
/** Partial and whole must each hold for two scrapes before it is said, so that a flapping exporter makes no storm. */
const SETTLED_SCRAPES = 2;
/** Process start times are derived from clock ticks and may differ a little between reads. */
const START_TOLERANCE_S = 1;
const MAX_REASONS = 10;

/** Watches one exporter: down, partial, back, restarted. */
export class SourceMonitor {
  readonly #options: SourceMonitorOptions;
  #state: SourceState;

  constructor(options: SourceMonitorOptions) {
    this.#options = options;
    this.#state = options.state ?? NEW_SOURCE;
  }

  state(): SourceState {
    return this.#state;
  }

  failed(at: EpochMs, node: string, failure: ScrapeFailure): GpuEvent[] {
    const before = this.#state;
    const failures = before.failures + 1;
    const goesDown = failures >= DOWN_AFTER_FAILURES && before.health !== 'down';
    const firstFailureAtMs = before.firstFailureAtMs ?? at;
    this.#state = {
      ...before,
      failures,
      firstFailureAtMs,
      lastReason: failure.reason,
      health: goesDown ? 'down' : before.health,
      partialScrapes: 0,
      wholeScrapes: 0,
    };
    if (!goesDown) return [];
    const detail = {
      reason: failure.reason,
      ...(failure.status === undefined ? {} : { status: failure.status }),
      failures,
      first_failure_at_ms: firstFailureAtMs,
    };
    return [this.#event('source.down', { at, node, message: failure.message, detail })];
  }

  succeeded(
    at: EpochMs,
    node: string,
    scrape: { readonly partialReasons: readonly string[]; readonly exporterStartedAtS: number | undefined },
  ): GpuEvent[] {
    const before = this.#state;
    const partial = scrape.partialReasons.length > 0;
    const restarted = this.#restart(scrape.exporterStartedAtS);
    const partialScrapes = partial ? before.partialScrapes + 1 : 0;
    const wholeScrapes = partial ? 0 : before.wholeScrapes + 1;
    const wasDown = before.health === 'down';
    const up = wasDown ? 'up' : before.health;
    const goesPartial = up === 'up' && partialScrapes >= SETTLED_SCRAPES;
    const goesWhole = up === 'partial' && wholeScrapes >= SETTLED_SCRAPES;
    this.#state = {
      health: goesPartial ? 'partial' : goesWhole ? 'up' : up,
      failures: 0,
      firstFailureAtMs: null,
      lastReason: null,
      partialScrapes,
      wholeScrapes,
      exporterStartedAtS: scrape.exporterStartedAtS ?? before.exporterStartedAtS,
    };
    const events: GpuEvent[] = [];
    const add = (kind: GpuEventKind, message: string, detail: GpuEvent['detail']) =>
      events.push(this.#event(kind, { at, node, message, detail }));
    if (restarted !== undefined) add('exporter.restarted', 'The exporter was started anew.', restarted);
    if (wasDown) {
      const detail = { after: 'down', down_since_ms: before.firstFailureAtMs, reason: before.lastReason };
      add('source.back', `${this.#options.url} answers again.`, detail);
    }
    if (goesPartial) {
      const reasons = scrape.partialReasons.slice(0, MAX_REASONS);
      add('source.partial', `Scrapes are not whole: ${reasons.join('; ')}.`, { reasons });
    }
    if (goesWhole) add('source.back', 'Scrapes are whole again.', { after: 'partial' });
    return events;
  }

  /** The agent's own clock went back: times since then are in doubt. */
  clockStepped(at: EpochMs, node: string, before: EpochMs): GpuEvent {
    const detail = { before_ms: before, after_ms: at };
    return this.#event('clock.stepped', {
      at,
      node,
      message: `The clock went back by ${before - at} ms.`,
      detail,
    });
  }

  /** The process says when it started; else a port that was closed and is open again shows it. */
  #restart(startedAtS: number | undefined): GpuEvent['detail'] | undefined {
    const before = this.#state;
    if (startedAtS !== undefined && before.exporterStartedAtS !== null) {
      if (startedAtS <= before.exporterStartedAtS + START_TOLERANCE_S) return undefined;
      return { shown_by: 'process start time', started_at_s: startedAtS };
    }
    return before.lastReason === 'refused' ? { shown_by: 'refused connections before' } : undefined;
  }

  #event(
    kind: GpuEventKind,
    about: {
      readonly at: EpochMs;
      readonly node: string;
      readonly message: string;
      readonly detail: GpuEvent['detail'];
    },
  ): GpuEvent {
    const { url, pool, providerId, identity, demo } = this.#options;
    return {
      ts: about.at,
      bootId: identity.bootId,
      sequence: identity.next(),
      node: about.node,
      gpuUuid: '',
      gpuInstance: '',
      pool,
      providerId,
      kind,
      code: 0,
      message: about.message,
      detail: { url, ...about.detail },
      demo: demo ?? false,
    };
  }
}
