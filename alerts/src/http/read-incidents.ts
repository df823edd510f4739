/** Incidents for one caller: an operator sees all, a provider those of its hardware, a customer those of its leases. */
import { z } from '@hono/zod-openapi';
import { PoolmeterError } from '@poolmeter/domain';
import { decodeCursor, encodeCursor, pageOf, type Page, type Principal } from '@poolmeter/http-api';
import { sql, type Kysely, type Selectable } from 'kysely';
import type {
  AlertsDatabase,
  EvidenceTable,
  OperatorActionTable,
  VerdictTable,
} from '../store/alerts-database.js';
import type { incidentQuery, IncidentRow } from './incident-shapes.js';

type Db = Kysely<AlertsDatabase>;

/** What a customer may see of an incident: its own leases and the GPUs that they held. Undefined = everything. */
interface OwnPart {
  readonly leaseIds: ReadonlySet<string>;
  readonly gpuUuids: ReadonlySet<string>;
}

export async function listIncidents(
  db: Db,
  query: z.output<typeof incidentQuery>,
  principal: Principal,
): Promise<Page<IncidentRow>> {
  const own = await ownPart(db, principal);
  let select = db
    .selectFrom('alerts.incidents')
    .selectAll()
    .where('withdrawn', '=', false)
    .orderBy('opened_at', 'desc')
    .orderBy('incident_id', 'desc')
    .limit(query.limit + 1);
  if (query.status !== undefined) select = select.where('status', '=', query.status);
  if (query.node !== undefined) select = select.where('node', '=', query.node);
  if (query.code !== undefined) select = select.where('code', '=', query.code);
  if (query.gpu !== undefined) select = select.where(sql<boolean>`${query.gpu} = ANY (gpu_uuids)`);
  if (principal.binding.kind === 'provider') select = select.where('provider_id', '=', principal.binding.id);
  if (own !== undefined)
    select = select.where(sql<boolean>`affected_lease_ids && ${[...own.leaseIds]}::text[]`);
  if (query.cursor !== undefined) {
    const [openedMs, id] = decodeCursor('incidents', query.cursor, z.tuple([z.int(), z.string()]));
    const opened = new Date(openedMs);
    select = select.where(sql<boolean>`(opened_at, incident_id) < (${opened}, ${id})`);
  }
  const page = pageOf(await select.execute(), query.limit, (last) =>
    encodeCursor('incidents', [last.opened_at.getTime(), last.incident_id]),
  );
  return { ...page, data: page.data.map((row) => restricted(row, own)) };
}

export interface IncidentRecord {
  readonly incident: IncidentRow;
  readonly verdicts: readonly VerdictTable[];
  readonly actions: readonly Selectable<OperatorActionTable>[];
  readonly own: OwnPart | undefined;
}

/** Throws `not_found` for what the caller may not see, as for what is not there. */
export async function readIncident(db: Db, id: string, principal: Principal): Promise<IncidentRecord> {
  const row = await db
    .selectFrom('alerts.incidents')
    .selectAll()
    .where('incident_id', '=', id)
    .where('withdrawn', '=', false)
    .executeTakeFirst();
  const own = await ownPart(db, principal);
  if (row === undefined || !isVisible(row, { principal, own })) {
    throw new PoolmeterError('not_found', `There is no incident ${id}.`);
  }
  const [verdicts, actions] = await Promise.all([
    db.selectFrom('alerts.verdicts').selectAll().where('incident_id', '=', id).orderBy('gpu_uuid').execute(),
    db
      .selectFrom('alerts.operator_actions')
      .selectAll()
      .where('incident_id', '=', id)
      .orderBy('at')
      .execute(),
  ]);
  const visible = verdicts.filter((one) => own === undefined || own.gpuUuids.has(one.gpu_uuid));
  return { incident: restricted(row, own), verdicts: visible, actions, own };
}

/** Evidence of an incident that was read before, oldest first. */
export async function readEvidence(
  db: Db,
  record: IncidentRecord,
  query: { readonly limit: number; readonly cursor?: string | undefined },
): Promise<Page<EvidenceTable>> {
  const id = record.incident.incident_id;
  let select = db
    .selectFrom('alerts.incident_evidence')
    .selectAll()
    .where('incident_id', '=', id)
    .orderBy('ts')
    .orderBy('evidence_id')
    .limit(query.limit + 1);
  if (record.own !== undefined) select = select.where('gpu_uuid', 'in', ['', ...record.own.gpuUuids]);
  if (query.cursor !== undefined) {
    const [ms, evidenceId] = decodeCursor(`evidence/${id}`, query.cursor, z.tuple([z.int(), z.string()]));
    select = select.where(sql<boolean>`(ts, evidence_id) > (${new Date(ms)}, ${evidenceId})`);
  }
  return pageOf(await select.execute(), query.limit, (last) =>
    encodeCursor(`evidence/${id}`, [last.ts.getTime(), last.evidence_id]),
  );
}

function isVisible(row: IncidentRow, by: { principal: Principal; own: OwnPart | undefined }): boolean {
  const { binding } = by.principal;
  switch (binding.kind) {
    case 'operator':
      return true;
    case 'provider':
      return row.provider_id === binding.id;
    case 'customer':
      return row.affected_lease_ids.some((lease) => by.own?.leaseIds.has(lease) === true);
  }
}

/** Whose other leases and GPUs an incident touches is none of a customer's business. */
function restricted(row: IncidentRow, own: OwnPart | undefined): IncidentRow {
  if (own === undefined) return row;
  return {
    ...row,
    affected_lease_ids: row.affected_lease_ids.filter((lease) => own.leaseIds.has(lease)),
    gpu_uuids: row.gpu_uuids.filter((gpu) => own.gpuUuids.has(gpu)),
  };
}

async function ownPart(db: Db, principal: Principal): Promise<OwnPart | undefined> {
  if (principal.binding.kind !== 'customer') return undefined;
  const found = await sql<{ exists: boolean }>`
    SELECT to_regclass('billing.leases_v1') IS NOT NULL AS exists`.execute(db);
  if (found.rows[0]?.exists !== true) return { leaseIds: new Set(), gpuUuids: new Set() };
  const rows = await db
    .selectFrom('billing.leases_v1')
    .select(['lease_id', 'gpu_uuid'])
    .where('customer_id', '=', principal.binding.id)
    .execute();
  return {
    leaseIds: new Set(rows.map((row) => row.lease_id)),
    gpuUuids: new Set(rows.map((row) => row.gpu_uuid)),
  };
}
