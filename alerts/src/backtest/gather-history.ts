/** All evidence of a span of the past, node by node, from the stores that the monitor reads. */
import { fraction, instantFromMs, parseFraction, type EpochMs } from '@poolmeter/domain';
import type { MetricsStore } from '@poolmeter/metrics-store';
import type { RelationalStore } from '@poolmeter/relational-store';
import { sql } from 'kysely';
import { createClickHouseEvidence } from '../monitor/clickhouse-evidence.js';
import { countedXids, lookBackMs, repeatsReachMs } from '../monitor/policy-reach.js';
import type { FaultPolicy } from '../policy/fault-policy.js';
import { createIncidentStore } from '../store/incident-store.js';
import type { AlertsDatabase } from '../store/alerts-database.js';
import type { FaultEvidence } from '../verdict/evidence.js';
import type { SharedLease } from './compare-policies.js';

export interface HistorySpan {
  readonly from: EpochMs;
  readonly to: EpochMs;
}

export interface HistoryStores {
  readonly metrics: MetricsStore;
  readonly relational: RelationalStore<AlertsDatabase>;
}

export async function nodesOfHistory(stores: HistoryStores, policy: FaultPolicy): Promise<string[]> {
  const fleet = await createClickHouseEvidence(stores.metrics, policy).gpusLastSeen();
  return [...new Set(fleet.map((one) => one.node))].sort();
}

/** What the monitor would know of one node at the end of the span. */
export async function evidenceOfHistory(
  stores: HistoryStores,
  of: {
    readonly node: string;
    readonly policy: FaultPolicy;
    readonly span: HistorySpan;
    readonly leases: readonly SharedLease[];
  },
): Promise<FaultEvidence> {
  const source = createClickHouseEvidence(stores.metrics, of.policy);
  const incidents = createIncidentStore(stores.relational);
  const from = instantFromMs(Math.max(0, of.span.from - lookBackMs(of.policy)));
  const span = { node: of.node, from, to: of.span.to };
  const earlier = {
    node: of.node,
    from: instantFromMs(Math.max(0, from - repeatsReachMs(of.policy))),
    to: from,
  };
  const [events, history, telemetry, signals, peers, resolutions] = await Promise.all([
    source.eventsOfNode(of.node, from),
    source.xidsOfNode(earlier, countedXids(of.policy)),
    source.telemetryOfNode(span),
    source.signals(span),
    incidents.peerFindingsOf(of.node, from),
    incidents.resolutionsOf(of.node),
  ]);
  return {
    asOf: of.span.to,
    events: events.filter(({ event }) => event.ts < of.span.to),
    history,
    telemetry,
    signals: [...signals, ...peers.filter((one) => one.during.start < of.span.to)],
    leases: of.leases.filter((one) => one.node === of.node),
    resolutions,
  };
}

/** Leases that touch the span; none where billing keeps none. */
export async function leasesOfHistory(stores: HistoryStores, span: HistorySpan): Promise<SharedLease[]> {
  const { db } = stores.relational;
  if (!(await createIncidentStore(stores.relational).hasLeases())) return [];
  const { rows } = await sql<{
    lease_id: string;
    node: string;
    gpu_uuid: string;
    gpu_instance: string;
    share: string | null;
    started_at: Date;
    ended_at: Date | null;
  }>`
    SELECT lease_id, node, gpu_uuid, gpu_instance, share::text AS share, started_at, ended_at
    FROM billing.leases_v1
    WHERE started_at < ${new Date(span.to)} AND (ended_at IS NULL OR ended_at > ${new Date(span.from)})`.execute(
    db,
  );
  return rows.map((row) => ({
    leaseId: row.lease_id,
    node: row.node,
    gpuUuid: row.gpu_uuid,
    gpuInstance: row.gpu_instance,
    start: instantFromMs(row.started_at.getTime()),
    end: row.ended_at === null ? undefined : instantFromMs(row.ended_at.getTime()),
    share: row.share === null ? fraction(1n) : parseFraction(row.share),
  }));
}
