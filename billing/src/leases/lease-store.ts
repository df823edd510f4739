/** Lease events and what they mean now, in PostgreSQL. */
import {
  formatFraction,
  fraction,
  instantFromMs,
  parseFraction,
  type EpochMs,
  type Interval,
} from '@poolmeter/domain';
import { sql } from 'kysely';
import { instantText, optionalInstantText, type RowCopy } from '../copies/row-copies.js';
import type { BillingReader, BillingTransaction, LeaseRecord } from '../database.js';
import type { ShareHolding } from './find-overlaps.js';
import type { Lease, LeaseSegment } from './fold-leases.js';
import { leaseColumnsFrom, type RecordedLeaseEvent } from './recorded-lease-event.js';

const ROWS_PER_STATEMENT = 1_000;

/** Calls `run` with at most 1,000 items at a time: a statement has a limit of parameters. */
export async function inChunks<T>(items: readonly T[], run: (chunk: T[]) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < items.length; from += ROWS_PER_STATEMENT) {
    await run(items.slice(from, from + ROWS_PER_STATEMENT));
  }
}

type EventRow = Omit<BillingEventRow, 'customer_id'>;
interface BillingEventRow {
  readonly position: bigint;
  readonly event_id: string;
  readonly lease_id: string;
  readonly type: RecordedLeaseEvent['type'];
  readonly at: Date;
  readonly columns: Record<string, unknown>;
  readonly customer_id: string | null;
  readonly recorded_at: Date;
  readonly source: RecordedLeaseEvent['source'];
}

export function recordedEventFromRow(row: EventRow): RecordedLeaseEvent {
  return {
    position: row.position,
    eventId: row.event_id,
    leaseId: row.lease_id,
    type: row.type,
    at: instantFromMs(row.at.getTime()),
    columns: leaseColumnsFrom(row.columns),
    recordedAt: instantFromMs(row.recorded_at.getTime()),
    source: row.source,
  };
}

export async function readEventsById(
  db: BillingReader,
  eventIds: readonly string[],
): Promise<RecordedLeaseEvent[]> {
  return readEventsWhere(db, 'event_id', eventIds);
}

export async function readEventsOfLeases(
  db: BillingReader,
  leaseIds: readonly string[],
): Promise<RecordedLeaseEvent[]> {
  return readEventsWhere(db, 'lease_id', leaseIds);
}

async function readEventsWhere(
  db: BillingReader,
  column: 'event_id' | 'lease_id',
  values: readonly string[],
): Promise<RecordedLeaseEvent[]> {
  const rows = await db
    .selectFrom('billing.lease_events')
    .selectAll()
    .where(column, '=', sql<string>`ANY(${values}::text[])`)
    .orderBy('position')
    .execute();
  return rows.map(recordedEventFromRow);
}

/**
 * The events, known at a position, of every lease that a customer may have held within a period. A lease that was
 * amended to another customer is among them; whoever meters them looks at each segment.
 */
export async function readEventsForPeriod(
  db: BillingReader,
  wanted: { readonly customerId: string; readonly period: Interval; readonly position: bigint },
): Promise<RecordedLeaseEvent[]> {
  const from = new Date(wanted.period.start);
  const to = new Date(wanted.period.end);
  const { rows } = await sql<EventRow>`
    WITH candidates AS (
      SELECT DISTINCT e.lease_id
      FROM billing.lease_events AS e
      WHERE e.customer_id = ${wanted.customerId} AND e.at < ${to} AND e.position <= ${wanted.position}
    ),
    touching AS (
      SELECT c.lease_id
      FROM candidates AS c
      JOIN billing.lease_events AS e ON e.lease_id = c.lease_id AND e.position <= ${wanted.position}
      GROUP BY c.lease_id
      -- Any end after the period's start keeps the lease: which one holds is for the fold to say.
      HAVING count(*) FILTER (WHERE e.type = 'ended') = 0
        OR max(e.at) FILTER (WHERE e.type = 'ended') > ${from}
    )
    SELECT e.position, e.event_id, e.lease_id, e.type, e.at, e.columns, e.recorded_at, e.source
    FROM touching AS t
    JOIN billing.lease_events AS e ON e.lease_id = t.lease_id AND e.position <= ${wanted.position}
    ORDER BY e.position`.execute(db);
  return rows.map(recordedEventFromRow);
}

/** The last position: every event up to it is committed, because events are written under one lock. */
export async function lastPosition(db: BillingReader): Promise<bigint> {
  const row = await db
    .selectFrom('billing.lease_events')
    .select((select) => select.fn.max('position').as('position'))
    .executeTakeFirst();
  return (row?.position as bigint | null) ?? 0n;
}

/** Everything that is leased of some GPUs, now and before, in the form in which overlaps are looked for. */
export async function readHoldings(db: BillingReader, gpuUuids: readonly string[]): Promise<ShareHolding[]> {
  const { rows } = await sql<{
    lease_id: string;
    gpu_uuid: string;
    gpu_instance: string;
    share_numerator: string;
    share_denominator: string;
    started_at: Date;
    ended_at: Date | null;
    first_position: bigint;
  }>`
    SELECT s.lease_id, s.gpu_uuid, s.gpu_instance, s.share_numerator, s.share_denominator,
      lower(s.period) AS started_at, upper(s.period) AS ended_at, l.first_position
    FROM billing.lease_segments AS s
    JOIN billing.leases AS l USING (lease_id)
    WHERE s.gpu_uuid = ANY(${gpuUuids}::text[])`.execute(db);
  return rows.map((row) => ({
    leaseId: row.lease_id,
    gpuUuid: row.gpu_uuid,
    gpuInstance: row.gpu_instance,
    share: fraction(BigInt(row.share_numerator), BigInt(row.share_denominator)),
    start: instantFromMs(row.started_at.getTime()),
    end: row.ended_at === null ? undefined : instantFromMs(row.ended_at.getTime()),
    rank: row.first_position,
  }));
}

export function holdingsOf(lease: Lease): ShareHolding[] {
  return lease.segments.map((segment) => ({
    leaseId: segment.leaseId,
    gpuUuid: segment.gpuUuid,
    gpuInstance: segment.gpuInstance,
    share: segment.share,
    start: segment.start,
    end: segment.end,
    rank: lease.firstPosition,
  }));
}

export function leaseToRow(lease: Lease, overlapsWith: readonly string[]): LeaseRecord {
  const { shown } = lease;
  return {
    lease_id: lease.leaseId,
    state: lease.state,
    customer_id: shown?.customerId ?? null,
    project: shown?.project ?? null,
    provider_id: shown?.providerId ?? null,
    pool: shown?.pool ?? null,
    node: shown?.node ?? null,
    gpu_uuid: shown?.gpuUuid ?? null,
    gpu_instance: shown?.gpuInstance ?? null,
    gpu_index: shown?.gpuIndex ?? null,
    gpu_model: shown?.gpuModel ?? null,
    share: shown === undefined ? null : formatFraction(shown.share),
    pricing_mode: shown?.pricingMode ?? null,
    labels: shown === undefined ? null : { ...shown.labels },
    started_at: shown === undefined ? null : new Date(shown.start),
    ended_at: shown?.end === undefined ? null : new Date(shown.end),
    recorded_at: new Date(lease.recordedAt),
    position: lease.position,
    first_position: lease.firstPosition,
    overlaps_with: [...overlapsWith],
  };
}

function segmentToRow(segment: LeaseSegment, { index, held }: { index: number; held: boolean }) {
  const end = segment.end === undefined ? null : new Date(segment.end);
  return {
    lease_id: segment.leaseId,
    segment: index,
    customer_id: segment.customerId,
    provider_id: segment.providerId,
    gpu_uuid: segment.gpuUuid,
    gpu_instance: segment.gpuInstance,
    share_numerator: segment.share.numerator.toString(),
    share_denominator: segment.share.denominator.toString(),
    period: sql<string>`tstzrange(${new Date(segment.start)}::timestamptz, ${end}::timestamptz, '[)')`,
    held,
  };
}

/** Rewrites what the given leases mean. All old segments go first, so that no constraint sees a state in between. */
export async function writeLeases(
  trx: BillingTransaction,
  leases: readonly { readonly lease: Lease; readonly overlapsWith: readonly string[] }[],
): Promise<void> {
  const ids = leases.map(({ lease }) => lease.leaseId);
  await sql`DELETE FROM billing.lease_segments WHERE lease_id = ANY(${ids}::text[])`.execute(trx);
  const rows = leases.map(({ lease, overlapsWith }) => leaseToRow(lease, overlapsWith));
  await inChunks(rows, (chunk) =>
    trx
      .insertInto('billing.leases')
      .values(
        chunk.map((row) => ({ ...row, labels: sql<Record<string, string> | null>`${row.labels}::jsonb` })),
      )
      .onConflict((conflict) =>
        conflict.column('lease_id').doUpdateSet((expression) =>
          Object.fromEntries(
            Object.keys(chunk[0] as LeaseRecord)
              .filter((name) => name !== 'lease_id')
              .map((name) => [name, expression.ref(`excluded.${name}` as never)]),
          ),
        ),
      )
      .execute(),
  );
  const segments = leases.flatMap(({ lease, overlapsWith }) =>
    lease.segments.map((segment, index) => segmentToRow(segment, { index, held: overlapsWith.length > 0 })),
  );
  await inChunks(segments, (chunk) => trx.insertInto('billing.lease_segments').values(chunk).execute());
}

/** The copy of a lease for charts; a cancelled one takes its copy away. */
export function leaseCopy(row: LeaseRecord): RowCopy | undefined {
  if (row.state === 'incomplete') return undefined;
  const copy = { table: 'leases', key: row.lease_id, version: row.position } as const;
  if (row.state === 'cancelled') return { ...copy, row: { lease_id: row.lease_id, is_deleted: 1 } };
  return { ...copy, row: { ...leaseFields(row), is_deleted: 0 } };
}

function leaseFields(row: LeaseRecord) {
  return {
    lease_id: row.lease_id,
    customer_id: row.customer_id,
    project: row.project,
    provider_id: row.provider_id,
    pool: row.pool,
    node: row.node,
    gpu_uuid: row.gpu_uuid,
    gpu_instance: row.gpu_instance,
    gpu_index: row.gpu_index,
    gpu_model: row.gpu_model,
    share: row.share,
    pricing_mode: row.pricing_mode,
    started_at: row.started_at === null ? null : instantText(row.started_at),
    ended_at: optionalInstantText(row.ended_at),
    recorded_at: instantText(row.recorded_at),
  };
}

/** A lease as the API shows it. */
export function leaseToJson(row: LeaseRecord) {
  return {
    ...leaseFields(row),
    labels: row.labels ?? {},
    state: row.state,
    overlaps_with: row.overlaps_with,
  };
}

/** A lease row as an export writes it. */
export function leaseToCsvRow(row: LeaseRecord) {
  return {
    leaseId: row.lease_id,
    columns: {
      customerId: row.customer_id ?? '',
      providerId: row.provider_id ?? '',
      pool: row.pool ?? '',
      node: row.node ?? '',
      gpuUuid: row.gpu_uuid ?? '',
      gpuInstance: row.gpu_instance ?? '',
      gpuIndex: row.gpu_index ?? 0,
      gpuModel: row.gpu_model ?? '',
      share: parseFraction(row.share ?? '1'),
      pricingMode: row.pricing_mode ?? 'on_demand',
      project: row.project ?? '',
      labels: row.labels ?? {},
    },
    start: instantOf(row.started_at ?? new Date(0)),
    end: row.ended_at === null ? undefined : instantOf(row.ended_at),
  };
}

function instantOf(at: Date): EpochMs {
  return instantFromMs(at.getTime());
}
