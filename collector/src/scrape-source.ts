import { messageOf, type Clock, type EpochMs } from '@poolmeter/domain';
import type { Logger } from '@poolmeter/service';
import type { GpuEvent, GpuSample } from '@poolmeter/telemetry-schema';
import { fetchMetrics, MetricsFetchError, parseMetrics, type ParsedMetrics } from 'dcgm-exporter-client';
import type { CollectorMetrics } from './collector-metrics.js';
import type { EventIdentity } from './event-identity.js';
import type { GpuState } from './gpu-watch.js';
import { createSampleBuilder, instanceName, type SampleBuilder } from './sample-builder.js';
import { nextGridStep, scrapeOffsetMs } from './scrape-grid.js';
import { SourceMonitor, type ScrapeFailure, type SourceState } from './source-monitor.js';

export interface ScrapeTarget {
  readonly url: string;
  /** The node's name; without it the exporter's host name label, else the host of the URL. */
  readonly node?: string | undefined;
  readonly pool: string;
  readonly providerId: string;
}

export interface ScrapeSourceOptions {
  readonly target: ScrapeTarget;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly maxBytes: number;
  readonly demo: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: CollectorMetrics;
  readonly identity: EventIdentity;
  readonly remembered?:
    { readonly source: SourceState; readonly gpus: Readonly<Record<string, GpuState>> } | undefined;
  /** Hands over what one scrape gave; it must not wait for the bus. */
  emit(samples: readonly GpuSample[], events: readonly GpuEvent[]): void;
}

/** One exporter: scraped on its grid, one scrape at a time. */
export class ScrapeSource {
  readonly #options: ScrapeSourceOptions;
  readonly #builder: SampleBuilder;
  readonly #monitor: SourceMonitor;
  #lastTs: EpochMs | undefined;

  constructor(options: ScrapeSourceOptions) {
    this.#options = options;
    const { target, identity, demo, remembered } = options;
    const { pool, providerId } = target;
    this.#builder = createSampleBuilder({
      node: target.node,
      fallbackNode: new URL(target.url).hostname,
      pool,
      providerId,
      identity,
      demo,
      gpus: remembered?.gpus,
    });
    this.#monitor = new SourceMonitor({
      url: target.url,
      pool,
      providerId,
      identity,
      demo,
      state: remembered?.source,
    });
  }

  get url(): string {
    return this.#options.target.url;
  }

  node(): string {
    return this.#builder.node();
  }

  remember(): { source: SourceState; gpus: Readonly<Record<string, GpuState>> } {
    return { source: this.#monitor.state(), gpus: this.#builder.gpus() };
  }

  nameInstance(gpuUuid: string, instanceId: string): string {
    return instanceName(this.#builder.gpus()[gpuUuid], instanceId);
  }

  /** Scrapes at once, then on the grid, until the signal is aborted. */
  async run(signal: AbortSignal, afterFirst: () => void): Promise<void> {
    const { clock, intervalMs, metrics } = this.#options;
    const offsetMs = scrapeOffsetMs(this.url, intervalMs);
    let last = clock.now();
    for (let first = true; !signal.aborted; first = false) {
      await this.scrape(signal);
      if (first) afterFirst();
      const next = nextGridStep(clock.now(), { intervalMs, offsetMs, last });
      for (let skipped = 0; skipped < next.skipped; skipped += 1) metrics.skippedScrape();
      last = next.at;
      // Only the stop ends the wait early.
      await clock.sleep(Math.max(0, next.at - clock.now()), signal).catch(() => undefined);
    }
  }

  /** One scrape. Whatever goes wrong is counted and becomes an event in time; it never ends the loop. */
  async scrape(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    const startedAt = clock.now();
    try {
      const parsed = await this.#fetch(signal);
      this.#take(parsed, startedAt);
    } catch (fault) {
      if (signal.aborted) return;
      const failure = failureOf(fault);
      if (failure === undefined) {
        logger.error({ url: this.url, err: fault }, 'A scrape could not be turned into samples.');
        this.#options.metrics.scraped('internal', clock.now() - startedAt);
        return;
      }
      this.#options.metrics.scraped(failure.reason, clock.now() - startedAt);
      logger.debug({ url: this.url, reason: failure.reason }, failure.message);
      this.#emit([], this.#monitor.failed(clock.now(), this.node(), failure));
    }
  }

  async #fetch(signal: AbortSignal): Promise<ParsedMetrics> {
    const { timeoutMs, maxBytes } = this.#options;
    const parsed = parseMetrics(await fetchMetrics(this.url, { timeoutMs, maxBytes, signal }));
    if (parsed.readings.length === 0 && parsed.faultCount > 0) throw new UnparsableScrape(this.url, parsed);
    return parsed;
  }

  #take(parsed: ParsedMetrics, startedAt: EpochMs): void {
    const { clock, metrics, logger } = this.#options;
    const ts = clock.now();
    const stepped = this.#lastTs !== undefined && ts < this.#lastTs;
    const badLines = this.#countBadLines(parsed);
    const built = this.#builder.samplesFrom(parsed.readings, {
      ts,
      ingestedAt: ts,
      badLines,
      clockDoubtful: stepped,
    });
    const { partialReasons } = built;
    const events = [
      ...(stepped ? [this.#monitor.clockStepped(ts, this.node(), this.#lastTs ?? ts)] : []),
      ...built.events,
      ...this.#monitor.succeeded(ts, this.node(), {
        partialReasons,
        exporterStartedAtS: parsed.exporterStartedAtS,
      }),
    ];
    this.#lastTs = ts;
    if (partialReasons.length > 0)
      logger.debug({ url: this.url, reasons: partialReasons }, 'A scrape was not whole.');
    this.#emit(built.samples, events);
    metrics.scraped(partialReasons.length > 0 ? 'partial' : 'ok', clock.now() - startedAt);
  }

  /** Lines that may have held anything; a value that the exporter itself could not print costs that value only. */
  #countBadLines(parsed: ParsedMetrics): number {
    const byReason = new Map<string, number>();
    for (const fault of parsed.faults) byReason.set(fault.reason, (byReason.get(fault.reason) ?? 0) + 1);
    for (const [reason, count] of byReason) this.#options.metrics.badLines(reason, count);
    const unlisted = parsed.faultCount - parsed.faults.length;
    if (unlisted > 0) this.#options.metrics.badLines('unlisted', unlisted);
    return parsed.faultCount - (byReason.get('unconvertible') ?? 0);
  }

  #emit(samples: readonly GpuSample[], events: readonly GpuEvent[]): void {
    this.#options.metrics.samples(samples.length);
    for (const event of events) {
      this.#options.metrics.event(event.kind);
      this.#options.logger.info(
        { url: this.url, kind: event.kind, gpu_uuid: event.gpuUuid, node: event.node },
        event.message,
      );
    }
    this.#options.emit(samples, events);
  }
}

class UnparsableScrape extends Error {
  constructor(url: string, parsed: ParsedMetrics) {
    super(
      `${url} answered without a readable metric: ${parsed.faultCount} bad lines, the first "${parsed.faults[0]?.text ?? ''}".`,
    );
  }
}

function failureOf(fault: unknown): ScrapeFailure | undefined {
  if (fault instanceof UnparsableScrape)
    return { reason: 'unparsable', status: undefined, message: fault.message };
  if (!(fault instanceof MetricsFetchError) || fault.reason === 'aborted') return undefined;
  return { reason: fault.reason, status: fault.status, message: messageOf(fault) };
}
