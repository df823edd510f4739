/** What the monitor asks of the metrics store, as values; the store behind it is ClickHouse, or a test's own. */
import type { EpochMs } from '@poolmeter/domain';
import type { EventEvidence, GpuTelemetry, SignalStretch } from '../verdict/evidence.js';

/** How far the bus has been read: the last offset of each partition. */
type Positions = ReadonlyMap<number, bigint>;

/** That something happened on a node, and where it stands on the bus. */
interface EventNotice {
  readonly partition: number;
  readonly offset: bigint;
  readonly node: string;
  readonly ts: EpochMs;
}

export interface GpuLastSeen {
  readonly gpuUuid: string;
  readonly node: string;
  readonly pool: string;
  readonly lastSeenAt: EpochMs;
}

export interface Span {
  readonly node: string;
  readonly from: EpochMs;
  readonly to: EpochMs;
}

export interface EvidenceSource {
  /** Events behind the positions, by position; at most `limit`. */
  noticesAfter(positions: Positions, limit: number): Promise<EventNotice[]>;
  newestPositions(): Promise<Positions>;
  eventsOfNode(node: string, from: EpochMs): Promise<EventEvidence[]>;
  /** Xid lines with one of the numbers, before `to`. */
  xidsOfNode(span: Span, codes: readonly number[]): Promise<EventEvidence[]>;
  gpusLastSeen(): Promise<GpuLastSeen[]>;
  telemetryOfNode(span: Span): Promise<GpuTelemetry[]>;
  /** Of all nodes when `node` is ''. */
  signals(span: Span): Promise<SignalStretch[]>;
  /** What differs from its peers in the step that begins at `step`. */
  comparePeers(step: EpochMs): Promise<SignalStretch[]>;
  /** Per node a value that changes whenever a sample within the span arrives. */
  sampleFingerprints(span: Omit<Span, 'node'>): Promise<ReadonlyMap<string, bigint>>;
  /** Samples of each hour of a node, by the hour's start. */
  sampleCounts(span: Span): Promise<ReadonlyMap<EpochMs, bigint>>;
}
