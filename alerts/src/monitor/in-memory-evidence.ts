/** The evidence source without a store, for tests: it sees what was put in, as ClickHouse would. */
import { instantFromMs, interval, type EpochMs, type Interval } from '@poolmeter/domain';
import type { EventEvidence, GpuTelemetry, SignalStretch } from '../verdict/evidence.js';
import type { EvidenceSource, Span } from './evidence-source.js';

interface GpuSamples {
  readonly node: string;
  readonly times: Set<EpochMs>;
}

const HOUR_MS = 3_600_000;

export class InMemoryEvidence implements EvidenceSource {
  readonly #gapMs: number;
  readonly #events: EventEvidence[] = [];
  readonly #samples = new Map<string, GpuSamples>();
  #signals: SignalStretch[] = [];
  #peers: SignalStretch[] = [];

  constructor(gapMs: number) {
    this.#gapMs = gapMs;
  }

  /** Events get the next offsets of partition 0, in the order in which they are put in. */
  addEvents(events: readonly EventEvidence[]): void {
    for (const { event } of events) {
      this.#events.push({ event, position: { partition: 0, offset: BigInt(this.#events.length) } });
    }
  }

  addSamples(of: {
    readonly node: string;
    readonly gpuUuid: string;
    readonly times: readonly EpochMs[];
  }): void {
    const samples = this.#samples.get(of.gpuUuid) ?? { node: of.node, times: new Set() };
    for (const time of of.times) samples.times.add(time);
    this.#samples.set(of.gpuUuid, samples);
  }

  setSignals(signals: readonly SignalStretch[]): void {
    this.#signals = [...signals];
  }

  noticesAfter(positions: ReadonlyMap<number, bigint>, limit: number) {
    const last = positions.get(0) ?? -1n;
    const notices = this.#events.flatMap(({ event, position }) =>
      position === undefined || position.offset <= last
        ? []
        : { ...position, node: event.node, ts: event.ts },
    );
    return Promise.resolve(notices.slice(0, limit));
  }

  newestPositions() {
    const newest = BigInt(this.#events.length) - 1n;
    return Promise.resolve(new Map(newest < 0n ? [] : [[0, newest]]));
  }

  eventsOfNode(node: string, from: EpochMs) {
    return Promise.resolve(this.#events.filter(({ event }) => event.node === node && event.ts >= from));
  }

  xidsOfNode(span: Span, codes: readonly number[]) {
    const found = this.#events.filter(
      ({ event: { kind, code, node, ts } }) =>
        kind === 'xid' && codes.includes(code) && node === span.node && ts >= span.from && ts < span.to,
    );
    return Promise.resolve(found);
  }

  gpusLastSeen() {
    const fleet = [...this.#samples].map(([gpuUuid, { node, times }]) => {
      return { gpuUuid, node, pool: 'main', lastSeenAt: instantFromMs(Math.max(...times)) };
    });
    return Promise.resolve(fleet);
  }

  telemetryOfNode(span: Span) {
    const telemetry = [...this.#samples].flatMap(([gpuUuid, { node, times }]): GpuTelemetry[] => {
      if (node !== span.node) return [];
      const seen = stretchesOf(
        [...times].filter((time) => time >= span.from && time <= span.to),
        this.#gapMs,
      );
      if (seen.length === 0) return [];
      return [{ node, gpuUuid, pool: 'main', providerId: 'north', demo: false, seen, unwell: [] }];
    });
    return Promise.resolve(telemetry);
  }

  signals(span: Span) {
    return Promise.resolve(
      this.#signals.filter(
        ({ node, during }) =>
          (span.node === '' || node === span.node) && during.end > span.from && during.start < span.to,
      ),
    );
  }

  comparePeers(step: EpochMs) {
    return Promise.resolve(this.#peers.filter((one) => one.during.start === step));
  }

  setPeers(findings: readonly SignalStretch[]): void {
    this.#peers = [...findings];
  }

  sampleFingerprints(span: Omit<Span, 'node'>) {
    const nodes = new Set([...this.#samples.values()].map((one) => one.node));
    const prints = [...nodes].map((node): [string, bigint] => {
      const counts = this.#counts({ ...span, node });
      return [node, [...counts].reduce((all, [hour, count]) => all * 31n + BigInt(hour) * count, 7n)];
    });
    return Promise.resolve(new Map(prints));
  }

  sampleCounts(span: Span) {
    return Promise.resolve(this.#counts(span));
  }

  #counts(span: Span): Map<EpochMs, bigint> {
    const counts = new Map<EpochMs, bigint>();
    for (const { node, times } of this.#samples.values()) {
      if (node !== span.node) continue;
      for (const time of times) {
        const hour = instantFromMs(Math.floor(time / HOUR_MS) * HOUR_MS);
        if (hour >= span.from && hour < span.to) counts.set(hour, (counts.get(hour) ?? 0n) + 1n);
      }
    }
    return new Map([...counts].sort(([a], [b]) => a - b));
  }
}

function stretchesOf(times: readonly EpochMs[], gapMs: number): Interval[] {
  const stretches: Interval[] = [];
  for (const time of [...times].sort((a, b) => a - b)) {
    const last = stretches.at(-1);
    if (last === undefined || time - last.end > gapMs) stretches.push(interval(time, time));
    else stretches[stretches.length - 1] = interval(last.start, time);
  }
  return stretches;
}
