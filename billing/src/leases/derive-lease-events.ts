/**
 * Lease events from what a scheduler says. Their ids follow from the facts, so that the same fact gives the same event
 * however often, and by however many watchers, it is seen.
 */
import { formatFraction, idFromFacts, PoolmeterError, type EpochMs } from '@poolmeter/domain';
import type { HeldShare } from '@poolmeter/scheduler';
import type { LeaseColumns, LeaseEventFacts } from './recorded-lease-event.js';

/** The start, and the end when there is one, of every share; a share seen twice is one. */
export function leaseEventsFromShares(shares: readonly HeldShare[]): LeaseEventFacts[] {
  refuseSharedIds(shares);
  const events = shares.flatMap((share) => {
    const started = startedEvent(share);
    return share.endedAt === undefined ? [started] : [started, endedEvent(share.leaseId, share.endedAt)];
  });
  return [...new Map(events.map((event) => [event.eventId, event])).values()];
}

function startedEvent(share: HeldShare): LeaseEventFacts {
  const columns = leaseColumnsOfShare(share);
  const eventId = idFromFacts(
    'lev',
    'scheduler',
    'started',
    share.leaseId,
    share.gpuUuid,
    share.gpuInstance,
    share.startedAt,
    share.customerId,
    share.project,
    share.providerId,
    share.pool,
    share.node,
    share.gpuModel,
    formatFraction(share.share),
    share.pricingMode,
  );
  return { eventId, leaseId: share.leaseId, type: 'started', at: share.startedAt, columns };
}

/** An end that the scheduler's accounting gave. */
function endedEvent(leaseId: string, at: EpochMs): LeaseEventFacts {
  return {
    eventId: idFromFacts('lev', 'scheduler', 'ended', leaseId, at),
    leaseId,
    type: 'ended',
    at,
    columns: {},
  };
}

/** An end that nobody accounted for: the lease was there at `lastSeenAt` and is gone now. In favour of the customer. */
export function inferredEnd(leaseId: string, lastSeenAt: EpochMs): LeaseEventFacts {
  const eventId = idFromFacts('lev', 'scheduler', 'ended-inferred', leaseId, lastSeenAt);
  return { eventId, leaseId, type: 'ended', at: lastSeenAt, columns: {} };
}

function leaseColumnsOfShare(share: HeldShare): LeaseColumns {
  return {
    customerId: share.customerId,
    providerId: share.providerId,
    pool: share.pool,
    node: share.node,
    gpuUuid: share.gpuUuid,
    gpuInstance: share.gpuInstance,
    gpuIndex: share.gpuIndex,
    gpuModel: share.gpuModel,
    share: share.share,
    pricingMode: share.pricingMode,
    project: share.project,
    labels: {},
  };
}

/** A lease is a share of one GPU: an adapter that gives one id to two of them would make us bill only one. */
function refuseSharedIds(shares: readonly HeldShare[]): void {
  const places = new Map<string, string>();
  for (const share of shares) {
    const place = `${share.gpuUuid} ${share.gpuInstance}`;
    const other = places.get(share.leaseId) ?? place;
    if (other !== place) {
      throw new PoolmeterError(
        'wire.malformed',
        `The scheduler gave lease ${share.leaseId} two GPUs (${other} and ${place}): each share needs its own id.`,
        { details: { lease_id: share.leaseId } },
      );
    }
    places.set(share.leaseId, place);
  }
}
