/**
 * What a set of lease events means. The set alone decides: order and repeats of its members do not matter (billing rule
 * 2). Of two starts or two ends of one lease the one that we recorded later is the correction and holds.
 */
import type { EpochMs } from '@poolmeter/domain';
import type { LeaseColumns, RecordedLeaseEvent } from './recorded-lease-event.js';

/** A stretch of a lease during which none of its columns changes. `end` is undefined while it runs. */
export interface LeaseSegment extends LeaseColumns {
  readonly leaseId: string;
  readonly start: EpochMs;
  readonly end: EpochMs | undefined;
}

export interface Lease {
  readonly leaseId: string;
  /** `incomplete`: only an end or an amendment is known of it; it counts once its start arrives. */
  readonly state: 'running' | 'ended' | 'cancelled' | 'incomplete';
  /** In order, each touching the next; empty unless the lease is running or ended, and when it lasted no time at all. */
  readonly segments: readonly LeaseSegment[];
  /** Start, end and last columns of a running or ended lease. */
  readonly shown: LeaseSegment | undefined;
  /** When the last event of it was recorded, and at which position. */
  readonly recordedAt: EpochMs;
  readonly position: bigint;
  /** Of the first event: among leases that want the same share, the one known longer goes first. */
  readonly firstPosition: bigint;
}

export function foldLeases(events: Iterable<RecordedLeaseEvent>): Lease[] {
  const byLease = new Map<string, RecordedLeaseEvent[]>();
  for (const event of events) {
    const known = byLease.get(event.leaseId);
    if (known === undefined) byLease.set(event.leaseId, [event]);
    else known.push(event);
  }
  return [...byLease.keys()].sort().map((leaseId) => foldLease(leaseId, byLease.get(leaseId) ?? []));
}

function foldLease(leaseId: string, given: readonly RecordedLeaseEvent[]): Lease {
  const events = inRecordedOrder(given);
  const first = events[0] as RecordedLeaseEvent;
  const last = events.at(-1) as RecordedLeaseEvent;
  const start = events.findLast((event) => event.type === 'started');
  const end = events.findLast((event) => event.type === 'ended');
  const known = {
    leaseId,
    recordedAt: last.recordedAt,
    position: last.position,
    firstPosition: first.position,
  };
  if (events.some((event) => event.type === 'cancelled'))
    return { ...known, state: 'cancelled', segments: [], shown: undefined };
  if (start === undefined) return { ...known, state: 'incomplete', segments: [], shown: undefined };
  const amendments = events.filter((event) => event.type === 'amended');
  const segments = segmentsOf(start, end?.at, amendments);
  const columns = segments.at(-1) ?? (start.columns as LeaseColumns);
  return {
    ...known,
    state: end === undefined ? 'running' : 'ended',
    segments,
    shown: { ...columns, leaseId, start: start.at, end: end?.at },
  };
}

function segmentsOf(
  start: RecordedLeaseEvent,
  end: EpochMs | undefined,
  amendments: readonly RecordedLeaseEvent[],
): LeaseSegment[] {
  // Stable sort: of two amendments for the same instant the one recorded later is applied last.
  const inEffectOrder = amendments.toSorted((a, b) => a.at - b.at);
  let columns = start.columns as LeaseColumns;
  let from = start.at;
  const segments: LeaseSegment[] = [];
  for (const amendment of inEffectOrder) {
    if (end !== undefined && amendment.at >= end) break;
    if (amendment.at > from) {
      segments.push({ ...columns, leaseId: start.leaseId, start: from, end: amendment.at });
      from = amendment.at;
    }
    columns = { ...columns, ...amendment.columns };
  }
  if (end === undefined || end > from)
    segments.push({ ...columns, leaseId: start.leaseId, start: from, end });
  return segments;
}

function inRecordedOrder(events: readonly RecordedLeaseEvent[]): RecordedLeaseEvent[] {
  const unique = new Map(events.map((event) => [event.eventId, event]));
  return [...unique.values()].sort((a, b) =>
    a.position < b.position ? -1 : a.position > b.position ? 1 : 0,
  );
}
