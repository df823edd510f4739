/**
 * What is leased, billed and seen, held against one another: what does not fit is for people to look at, because telemetry
 * never changes an amount by itself.
 */
import { compare, instantFromMs, parseFraction, type EpochMs, type Interval } from '@poolmeter/domain';
import { sql } from 'kysely';
import type { BillingReader } from '../database.js';
import { billingPeriod } from '../invoicing/period.js';
import { check, type CheckDeps, type ReconciliationCheck } from './reconciliation-check.js';

const FINDINGS_MAX = 1_000;
/** A shorter interval may fall between two samples. */
const DEAD_AFTER_MS = 600_000;
const HOUR_MS = 3_600_000;

export async function checkTelemetry(deps: CheckDeps, month: string): Promise<ReconciliationCheck[]> {
  const { db } = deps.store;
  const period = billingPeriod(month, 'UTC');
  const now = deps.clock.now();
  const until = period.end < now ? period.end : now;
  return [
    await billedTimeIsSeen(db, month),
    ...(until > period.start ? [await usedTimeIsLeased(deps, { start: period.start, end: until })] : []),
    await runningLeasesAreSeen(deps, now),
    await copiesAgree(deps, month),
  ];
}

/** Billed but dead: not one sample in an interval that is long enough to have some. */
async function billedTimeIsSeen(db: BillingReader, month: string): Promise<ReconciliationCheck> {
  const { rows } = await sql<{ interval_id: string; lease_id: string; gpu_uuid: string; billed: bigint }>`
    SELECT b.interval_id, b.lease_id, b.gpu_uuid, count(*) OVER () AS billed,
      (b.evidence ->> 'sample_count')::bigint AS samples
    FROM billing.billable_intervals AS b
    JOIN billing.invoices AS i USING (invoice_id)
    WHERE i.month = ${month} AND i.status = 'final' AND b.outcome = 'billed'
      AND (b.evidence ->> 'sample_count')::bigint = 0
      AND b.ended_at - b.started_at >= ${`${DEAD_AFTER_MS} milliseconds`}::interval
    ORDER BY b.interval_id LIMIT ${FINDINGS_MAX}`.execute(db);
  const findings = rows.map((row) => ({
    object_id: row.interval_id,
    message: `Lease ${row.lease_id} was billed for GPU ${row.gpu_uuid} and no sample shows that it was there.`,
  }));
  return check('billed time is seen by telemetry', rows.length, findings);
}

/** Used but unleased: an hour of work on a GPU that nobody leased at any time of that hour. */
async function usedTimeIsLeased(deps: CheckDeps, range: Interval): Promise<ReconciliationCheck> {
  const used = await deps.evidence.usedHours(range);
  const gpus = [...new Set(used.map((one) => one.gpuUuid))];
  const { rows } = await sql<{ gpu_uuid: string; started_at: Date; ended_at: Date | null }>`
    SELECT gpu_uuid, lower(period) AS started_at, upper(period) AS ended_at
    FROM billing.lease_segments
    WHERE gpu_uuid = ANY(${gpus}::text[])
      AND period && tstzrange(${new Date(range.start)}, ${new Date(range.end)}, '[)')`.execute(deps.store.db);
  const leased = new Set(
    rows.flatMap((row) => {
      const from = Math.max(row.started_at.getTime(), range.start);
      const to = Math.min(row.ended_at?.getTime() ?? range.end, range.end);
      return hoursOf(from, to).map((hour) => `${row.gpu_uuid} ${hour}`);
    }),
  );
  const stray = used.filter((one) => !leased.has(`${one.gpuUuid} ${Math.floor(one.start / HOUR_MS)}`));
  const findings = gpus.flatMap((gpu) => {
    const own = stray.filter((one) => one.gpuUuid === gpu);
    const [first] = own;
    if (first === undefined) return [];
    const since = new Date(first.start).toISOString();
    return [
      {
        object_id: gpu,
        message: `GPU ${gpu} worked in ${own.length} hours without a lease, from ${since} on.`,
      },
    ];
  });
  return check('used time is leased', used.length, findings.slice(0, FINDINGS_MAX));
}

function hoursOf(from: number, to: number): number[] {
  const first = Math.floor(from / HOUR_MS);
  return Array.from({ length: Math.max(0, Math.ceil(to / HOUR_MS) - first) }, (_, index) => first + index);
}

/** A running lease whose GPU sent nothing for a quarter of an hour. */
async function runningLeasesAreSeen(deps: CheckDeps, now: EpochMs): Promise<ReconciliationCheck> {
  const since = instantFromMs(now - QUIET_MS);
  const rows = await deps.store.db
    .selectFrom('billing.leases')
    .select(['lease_id', 'gpu_uuid', 'gpu_instance'])
    .where('state', '=', 'running')
    .where('started_at', '<', new Date(since))
    .orderBy('lease_id')
    .execute();
  const evidence = await deps.evidence.evidenceOf(
    rows.map((row) => ({
      gpuUuid: row.gpu_uuid ?? '',
      gpuInstance: row.gpu_instance ?? '',
      start: since,
      end: now,
    })),
  );
  const findings = rows
    .filter((_, index) => evidence[index]?.sampleCount === 0)
    .map((row) => ({
      object_id: row.lease_id,
      message: `Lease ${row.lease_id} runs on GPU ${row.gpu_uuid ?? ''}, which sent no sample for a quarter of an hour.`,
    }));
  return check('running leases are seen by telemetry', rows.length, findings.slice(0, FINDINGS_MAX));
}

const QUIET_MS = 15 * 60_000;

/** Rated intervals in ClickHouse are those in PostgreSQL, once the messages about them have arrived. */
async function copiesAgree(deps: CheckDeps, month: string): Promise<ReconciliationCheck> {
  const { rows } = await sql<{ invoice_id: string; intervals: bigint; amount: string }>`
    SELECT i.invoice_id, count(b.interval_id) AS intervals, coalesce(sum(b.amount), 0) AS amount
    FROM billing.invoices AS i
    JOIN billing.billable_intervals AS b USING (invoice_id)
    WHERE i.month = ${month} AND i.status = 'final'
      AND NOT EXISTS (SELECT FROM billing.outbox AS o WHERE o.published_at IS NULL)
    GROUP BY i.invoice_id`.execute(deps.store.db);
  const copies = new Map(
    (await deps.evidence.copiesOf(rows.map((row) => row.invoice_id))).map((one) => [one.invoiceId, one]),
  );
  const findings = rows.flatMap((row) => {
    const copy = copies.get(row.invoice_id) ?? { intervals: 0, amount: '0' };
    const same =
      BigInt(copy.intervals) === row.intervals &&
      compare(parseFraction(copy.amount), parseFraction(row.amount)) === 0;
    if (same) return [];
    const message = `The copy for charts has ${copy.intervals} intervals of ${copy.amount}, the books have ${row.intervals} of ${row.amount}.`;
    return [{ object_id: row.invoice_id, message }];
  });
  return check('rated intervals in ClickHouse are those in PostgreSQL', rows.length, findings);
}
