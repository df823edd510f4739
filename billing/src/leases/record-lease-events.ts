/**
 * The door for lease events, whoever brings them. One writer at a time: what an event means for other leases is decided
 * against everything that is committed, and positions grow in the order of commits.
 */
import { formatInstant, PoolmeterError, type Clock, type EpochMs } from '@poolmeter/domain';
import { sql } from 'kysely';
import { writeRowCopies } from '../copies/row-copies.js';
import { createMissingParties, type CreatedParties } from '../customers/parties.js';
import type { BillingStore, BillingTransaction } from '../database.js';
import { findOverlaps, type Overlap } from './find-overlaps.js';
import { foldLeases, type Lease } from './fold-leases.js';
import {
  holdingsOf,
  inChunks,
  leaseCopy,
  leaseToRow,
  readEventsById,
  readEventsOfLeases,
  readHoldings,
  recordedEventFromRow,
  writeLeases,
} from './lease-store.js';
import {
  leaseColumnsToWire,
  sameFacts,
  type EventSource,
  type LeaseEventFacts,
  type RecordedLeaseEvent,
} from './recorded-lease-event.js';

export interface RecordOptions {
  readonly clock: Clock;
  readonly source: EventSource;
  /** `refuse`: whoever asks can still mend it. `hold`: it is a fact already; it is kept, and not billed twice (rule 3). */
  readonly onOverlap: 'refuse' | 'hold';
  /** An end or amendment of a lease that nobody started: refused, or kept until its start arrives. */
  readonly onUnknownLease: 'refuse' | 'keep';
}

export interface RecordedBatch {
  /** In the order of the input; a repeat is the event as it was recorded first. */
  readonly events: readonly RecordedLeaseEvent[];
  /** How many of them were new. */
  readonly newCount: number;
  readonly created: CreatedParties;
  /** Leases that are held because they overlap with others. */
  readonly overlaps: readonly Overlap[];
}

export function recordLeaseEvents(
  store: BillingStore,
  events: readonly LeaseEventFacts[],
  options: RecordOptions,
): Promise<RecordedBatch> {
  return store.transaction((trx) => recordLeaseEventsIn(trx, events, options), {
    isolation: 'read committed',
  });
}

/** All or nothing, in the caller's transaction; it holds the writers' lock until its end. */
export async function recordLeaseEventsIn(
  trx: BillingTransaction,
  events: readonly LeaseEventFacts[],
  options: RecordOptions,
): Promise<RecordedBatch> {
  await lockLeaseWriters(trx);
  const unique = uniqueEvents(events);
  const known = new Map(
    (await readEventsById(trx, [...unique.keys()])).map((event) => [event.eventId, event]),
  );
  const fresh = [...unique.values()].filter((event) => isNew(event, known));
  const nothing = { created: { customers: [], providers: [] }, overlaps: [] as Overlap[] };
  const { created, overlaps } =
    fresh.length === 0 ? nothing : await addEvents(trx, fresh, { known, options });
  const recorded = events.map((event) => known.get(event.eventId) as RecordedLeaseEvent);
  return { events: recorded, newCount: fresh.length, created, overlaps };
}

/** Held to the end of the transaction by whoever writes lease events. */
export async function lockLeaseWriters(trx: BillingTransaction): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock(hashtextextended('billing.lease_events', 0))`.execute(trx);
}

function uniqueEvents(events: readonly LeaseEventFacts[]): Map<string, LeaseEventFacts> {
  const unique = new Map<string, LeaseEventFacts>();
  for (const event of events) {
    const other = unique.get(event.eventId);
    if (other !== undefined && !sameFacts(event, other)) throw idTaken(event);
    unique.set(event.eventId, event);
  }
  return unique;
}

function isNew(event: LeaseEventFacts, known: ReadonlyMap<string, RecordedLeaseEvent>): boolean {
  const recorded = known.get(event.eventId);
  if (recorded === undefined) return true;
  if (!sameFacts(event, recorded)) throw idTaken(event);
  return false;
}

function idTaken(event: LeaseEventFacts): PoolmeterError {
  return new PoolmeterError(
    'input.conflict',
    `The event_id ${event.eventId} belongs to an event with other values: a new fact needs a new id.`,
    { details: { event_id: event.eventId, lease_id: event.leaseId } },
  );
}

async function addEvents(
  trx: BillingTransaction,
  fresh: readonly LeaseEventFacts[],
  { known, options }: { known: Map<string, RecordedLeaseEvent>; options: RecordOptions },
): Promise<Pick<RecordedBatch, 'created' | 'overlaps'>> {
  const now = options.clock.now();
  const created = await createMissingParties(trx, {
    customerIds: fresh.flatMap(({ columns }) => columns.customerId ?? []),
    providerIds: fresh.flatMap(({ columns }) => columns.providerId ?? []),
    now,
  });
  const inserted = await insertEvents(trx, fresh, { now, source: options.source });
  for (const event of inserted) known.set(event.eventId, event);
  const leaseIds = [...new Set(fresh.map((event) => event.leaseId))];
  const leases = foldLeases(await readEventsOfLeases(trx, leaseIds));
  refuseNonsense(leases, options);
  const overlaps = await writeWithOverlaps(trx, leases, options);
  return { created, overlaps };
}

/** Starts first: within one batch their order says nothing. */
async function insertEvents(
  trx: BillingTransaction,
  fresh: readonly LeaseEventFacts[],
  { now, source }: { now: EpochMs; source: EventSource },
): Promise<RecordedLeaseEvent[]> {
  const inserted: RecordedLeaseEvent[] = [];
  const inOrder = [
    ...fresh.filter((event) => event.type === 'started'),
    ...fresh.filter((event) => event.type !== 'started'),
  ];
  await inChunks(inOrder, async (chunk) => {
    const rows = await trx
      .insertInto('billing.lease_events')
      .values(
        chunk.map((event) => ({
          event_id: event.eventId,
          lease_id: event.leaseId,
          type: event.type,
          at: new Date(event.at),
          columns: leaseColumnsToWire(event.columns),
          recorded_at: new Date(now),
          source,
        })),
      )
      .returningAll()
      .execute();
    inserted.push(...rows.map(recordedEventFromRow));
  });
  return inserted;
}

function refuseNonsense(leases: readonly Lease[], options: RecordOptions): void {
  for (const lease of leases) {
    if (lease.state === 'incomplete' && options.onUnknownLease === 'refuse') {
      throw new PoolmeterError('lease.unknown', `There is no lease ${lease.leaseId}: send its start first.`, {
        details: { lease_id: lease.leaseId },
      });
    }
    const { shown } = lease;
    if (shown?.end !== undefined && shown.end < shown.start) {
      throw new PoolmeterError(
        'input.invalid',
        `Lease ${lease.leaseId} cannot end at ${formatInstant(shown.end)}: it starts at ${formatInstant(shown.start)}.`,
        { details: { lease_id: lease.leaseId } },
      );
    }
  }
}

/** Finds out who has to give way on every GPU that the leases touch, and writes whatever changed by it. */
async function writeWithOverlaps(
  trx: BillingTransaction,
  leases: readonly Lease[],
  options: RecordOptions,
): Promise<Overlap[]> {
  const changed = new Map(leases.map((lease) => [lease.leaseId, lease]));
  const before = await trx
    .selectFrom('billing.lease_segments')
    .select(['gpu_uuid', 'lease_id', 'held'])
    .where('lease_id', '=', sql<string>`ANY(${[...changed.keys()]}::text[])`)
    .execute();
  const gpus = [
    ...new Set([
      ...before.map((row) => row.gpu_uuid),
      ...leases.flatMap((lease) => lease.segments.map((segment) => segment.gpuUuid)),
    ]),
  ];
  const others = (await readHoldings(trx, gpus)).filter((holding) => !changed.has(holding.leaseId));
  const overlaps = findOverlaps([...others, ...leases.flatMap(holdingsOf)]);
  const heldBefore = new Set(before.filter((row) => row.held).map((row) => row.lease_id));
  if (options.onOverlap === 'refuse') refuseOverlap(overlaps, { changed, heldBefore });
  const writes = await leasesToWrite(trx, { changed, others: others.map((one) => one.leaseId), overlaps });
  await writeLeases(trx, writes);
  const copies = writes.map(({ lease, overlapsWith }) => leaseToRow(lease, overlapsWith));
  await writeRowCopies(
    trx,
    copies.flatMap((row) => leaseCopy(row) ?? []),
  );
  return overlaps;
}

function refuseOverlap(
  overlaps: readonly Overlap[],
  { changed, heldBefore }: { changed: ReadonlyMap<string, Lease>; heldBefore: ReadonlySet<string> },
): void {
  const [first] = overlaps.filter((one) => changed.has(one.leaseId) && !heldBefore.has(one.leaseId));
  if (first !== undefined) throw overlapFault(first);
}

export function overlapFault(overlap: Overlap): PoolmeterError {
  const instance = overlap.gpuInstance === '' ? '' : ` (instance ${overlap.gpuInstance})`;
  return new PoolmeterError(
    'lease.overlap',
    `Lease ${overlap.leaseId} does not fit on GPU ${overlap.gpuUuid}${instance} at ${formatInstant(overlap.at)}: it is held by lease ${overlap.otherLeaseIds.join(', ')}.`,
    {
      details: {
        lease_id: overlap.leaseId,
        other_lease_ids: overlap.otherLeaseIds,
        gpu_uuid: overlap.gpuUuid,
      },
    },
  );
}

/** The changed leases, and others on the same GPUs that are held now and were not, or the other way round. */
async function leasesToWrite(
  trx: BillingTransaction,
  found: {
    readonly changed: ReadonlyMap<string, Lease>;
    readonly others: readonly string[];
    readonly overlaps: readonly Overlap[];
  },
): Promise<{ lease: Lease; overlapsWith: readonly string[] }[]> {
  const overlapping = new Map(found.overlaps.map((one) => [one.leaseId, one.otherLeaseIds]));
  const neighbours = await trx
    .selectFrom('billing.leases')
    .select(['lease_id', 'overlaps_with'])
    .where('lease_id', '=', sql<string>`ANY(${[...new Set(found.others)]}::text[])`)
    .execute();
  const turned = neighbours
    .filter((row) => row.overlaps_with.join() !== (overlapping.get(row.lease_id) ?? []).join())
    .map((row) => row.lease_id);
  const turnedLeases = turned.length === 0 ? [] : foldLeases(await readEventsOfLeases(trx, turned));
  return [...found.changed.values(), ...turnedLeases].map((lease) => ({
    lease,
    overlapsWith: overlapping.get(lease.leaseId) ?? [],
  }));
}
