/** The evidence source on ClickHouse: named queries in, plain values out. */
import { instantFromMs, interval, messageOf, PoolmeterError, type EpochMs } from '@poolmeter/domain';
import {
  eventsAfterPositions,
  eventsOfNode,
  gpusLastSeen,
  newestEventPositions,
  sampleCountsOfNode,
  sampleFingerprints,
  sampleStretchesOfNode,
  xidsOfNode,
  type MetricsStore,
  type QueryRow,
} from '@poolmeter/metrics-store';
import { gpuEventKinds, type GpuEvent } from '@poolmeter/telemetry-schema';
import type { FaultPolicy } from '../policy/fault-policy.js';
import type { EventEvidence, GpuTelemetry } from '../verdict/evidence.js';
import type { EvidenceSource, Span } from './evidence-source.js';
import { readSignals } from './clickhouse-signals.js';
import { comparePeers } from './compare-peers.js';

export function createClickHouseEvidence(store: MetricsStore, policy: FaultPolicy): EvidenceSource {
  return {
    async noticesAfter(positions, limit) {
      const known = [...positions];
      const rows = await store.query(eventsAfterPositions, {
        partitions: known.map(([partition]) => partition),
        next_offsets: known.map(([, offset]) => offset + 1n),
        limit,
      });
      return rows.map((row) => {
        return { partition: row.bus_partition, offset: row.bus_offset, node: row.node, ts: row.ts };
      });
    },
    async newestPositions() {
      const rows = await store.query(newestEventPositions, {});
      return new Map(rows.map((row) => [row.bus_partition, row.newest_offset]));
    },
    async eventsOfNode(node, from) {
      const rows = await store.query(eventsOfNode, { node, from_ms: from });
      return rows.flatMap(eventFromRow);
    },
    async gpusLastSeen() {
      const rows = await store.query(gpusLastSeen, {});
      return rows.map((row) => {
        return { gpuUuid: row.gpu_uuid, node: row.node, pool: row.pool, lastSeenAt: row.last_seen_at };
      });
    },
    telemetryOfNode: (span) => telemetryOfNode(store, { span, gapMs: policy.telemetry.proof_gap }),
    signals: (span) => readSignals(store, { span, policy }),
    comparePeers: (step) => comparePeers(store, { policy, step }),
    async xidsOfNode(span, codes) {
      const rows = await store.query(xidsOfNode, { ...limitsOf(span), codes: [...codes] });
      return rows.flatMap(eventFromRow);
    },
    async sampleFingerprints(span) {
      const rows = await store.query(sampleFingerprints, { from_ms: span.from, to_ms: span.to });
      return new Map(rows.map((row) => [row.node, row.fingerprint]));
    },
    async sampleCounts(span) {
      const rows = await store.query(sampleCountsOfNode, limitsOf(span));
      return new Map(rows.map((row) => [instantFromMs(row.hour_ms), row.samples]));
    },
  };
}

function limitsOf(span: Span): { node: string; from_ms: number; to_ms: number } {
  return { node: span.node, from_ms: span.from, to_ms: span.to };
}

async function telemetryOfNode(
  store: MetricsStore,
  of: { span: Span; gapMs: number },
): Promise<GpuTelemetry[]> {
  const rows = await store.query(sampleStretchesOfNode, { ...limitsOf(of.span), gap_ms: of.gapMs });
  return rows.map((row) => {
    const stretch = interval(instantFromMs(row.started_ms), instantFromMs(row.ended_ms));
    return {
      node: of.span.node,
      gpuUuid: row.gpu_uuid,
      pool: row.pool,
      providerId: row.provider_id,
      demo: row.demo,
      seen: row.what === 'seen' ? [stretch] : [],
      unwell: row.what === 'unwell' ? [stretch] : [],
    };
  });
}

/** Kinds may be added by a newer collector; one that is not known here is no evidence here. */
function eventFromRow(row: QueryRow<typeof eventsOfNode>): EventEvidence[] {
  const kind = gpuEventKinds.find((known) => known === row.kind);
  if (kind === undefined) return [];
  const event: GpuEvent = {
    ts: row.ts,
    bootId: row.boot_id,
    sequence: row.sequence,
    node: row.node,
    gpuUuid: row.gpu_uuid,
    gpuInstance: row.gpu_instance,
    pool: row.pool,
    providerId: row.provider_id,
    kind,
    code: row.code,
    message: row.message,
    detail: detailOf(row.detail, row.ts),
    demo: row.demo,
  };
  return [{ event, position: { partition: row.bus_partition, offset: row.bus_offset } }];
}

function detailOf(json: string, ts: EpochMs): Record<string, unknown> {
  try {
    return JSON.parse(json) as Record<string, unknown>;
  } catch (cause) {
    throw new PoolmeterError(
      'storage.corrupt',
      `The detail of an event at ${ts} is not JSON: ${messageOf(cause)}.`,
      {
        cause,
      },
    );
  }
}
