/** Reads what a usage question depends on. */
import type { Interval } from '@poolmeter/domain';
import { sql } from 'kysely';
import type { BillingReader } from '../database.js';
import { foldLeases } from '../leases/fold-leases.js';
import { readEventsOfLeases } from '../leases/lease-store.js';
import { readVerdicts } from '../metering/verdict-store.js';
import type { UsageInputs } from './sum-usage.js';

export interface UsageScope {
  readonly range: Interval;
  readonly customerId?: string;
  readonly providerId?: string;
  readonly pool?: string;
}

export async function loadUsage(db: BillingReader, scope: UsageScope): Promise<UsageInputs> {
  const range = sql`tstzrange(${new Date(scope.range.start)}, ${new Date(scope.range.end)}, '[)')`;
  const customer = scope.customerId === undefined ? sql`true` : sql`s.customer_id = ${scope.customerId}`;
  const provider = scope.providerId === undefined ? sql`true` : sql`s.provider_id = ${scope.providerId}`;
  const { rows } = await sql<{ lease_id: string; overlaps_with: string[] }>`
    SELECT DISTINCT s.lease_id, l.overlaps_with
    FROM billing.lease_segments AS s
    JOIN billing.leases AS l USING (lease_id)
    WHERE s.period && ${range} AND ${customer} AND ${provider}`.execute(db);
  const leases = foldLeases(
    await readEventsOfLeases(
      db,
      rows.map((row) => row.lease_id),
    ),
  );
  const segments = leases
    .flatMap((lease) => lease.segments)
    .filter(
      (segment) =>
        [segment.customerId, undefined].includes(scope.customerId) &&
        [segment.providerId, undefined].includes(scope.providerId) &&
        [segment.pool, undefined].includes(scope.pool),
    );
  const verdicts = await readVerdicts(db, {
    gpuUuids: segments.map((segment) => segment.gpuUuid),
    period: scope.range,
  });
  const overlapping = new Map(
    rows.filter((row) => row.overlaps_with.length > 0).map((row) => [row.lease_id, row.overlaps_with]),
  );
  return { segments, verdicts, overlapping };
}
