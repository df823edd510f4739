/** What beside usage, verdicts and prices decides an invoice: announced maintenance, and holds that people placed. */
import { instantFromMs } from '@poolmeter/domain';
import { sql } from 'kysely';
import type { BillingReader } from '../database.js';
import type { ContractVersion } from '../rating/price-book.js';
import type { Maintenance } from '../sla/assess-sla.js';
import type { BillingPeriod } from './period.js';
import type { Dispute } from './period-inputs.js';

/** Everything that touches the period, where a contract promises something; else nothing depends on it. */
export async function readMaintenance(
  db: BillingReader,
  wanted: { readonly period: BillingPeriod; readonly contracts: readonly ContractVersion[] },
): Promise<Maintenance[]> {
  if (wanted.contracts.every((one) => one.sla.length === 0)) return [];
  const rows = await db
    .selectFrom('billing.maintenance')
    .selectAll()
    .where('starts_at', '<', new Date(wanted.period.end))
    .where('ends_at', '>', new Date(wanted.period.start))
    .orderBy('maintenance_id')
    .execute();
  return rows.map(maintenanceFromRow);
}

export async function readPinnedMaintenance(
  db: BillingReader,
  ids: readonly string[],
): Promise<Maintenance[]> {
  if (ids.length === 0) return [];
  const rows = await db
    .selectFrom('billing.maintenance')
    .selectAll()
    .where('maintenance_id', '=', sql<string>`ANY(${ids}::text[])`)
    .orderBy('maintenance_id')
    .execute();
  return rows.map(maintenanceFromRow);
}

interface MaintenanceRow {
  readonly maintenance_id: string;
  readonly pool: string;
  readonly node: string;
  readonly gpu_uuid: string;
  readonly announced_at: Date;
  readonly starts_at: Date;
  readonly ends_at: Date;
}

function maintenanceFromRow(row: MaintenanceRow): Maintenance {
  return {
    id: row.maintenance_id,
    pool: row.pool,
    node: row.node,
    gpuUuid: row.gpu_uuid,
    announcedAt: instantFromMs(row.announced_at.getTime()),
    start: instantFromMs(row.starts_at.getTime()),
    end: instantFromMs(row.ends_at.getTime()),
  };
}

export async function readDisputes(
  db: BillingReader,
  wanted: { readonly customerId: string; readonly month: string },
): Promise<Dispute[]> {
  const rows = await db
    .selectFrom('billing.holds')
    .selectAll()
    .where('customer_id', '=', wanted.customerId)
    .where('month', '=', wanted.month)
    .where('released_at', 'is', null)
    .orderBy('hold_id')
    .execute();
  return rows.map((row) => ({
    holdId: row.hold_id,
    reason: row.reason,
    description: row.description,
    blocked: row.blocked ?? undefined,
    owner: row.owner,
    clearedBy: row.cleared_by,
    incidentIds: row.incident_ids,
  }));
}
