/** Writes what the evidence says about one node: only what changed, with a new revision, and tells the bus. */
import { topics } from '@poolmeter/telemetry-schema';
import { writeOutbox, type OutboxMessage } from '@poolmeter/relational-store';
import type { EpochMs } from '@poolmeter/domain';
import type { Transaction } from 'kysely';
import type { FaultIncident, GpuHealth } from '../verdict/incident.js';
import type { AlertsDatabase, EvidenceTable, GpuHealthTable, IncidentTable } from './alerts-database.js';
import {
  contentDigest,
  dateOf,
  evidenceRows,
  incidentContent,
  incidentCopy,
  NO_MARKS,
  verdictRows,
  type VerdictContent,
} from './incident-rows.js';
import { matchIncidents, type IncidentMatch, type StoredIncident } from './match-incidents.js';

type Trx = Transaction<AlertsDatabase>;
type StoredRow = Omit<IncidentTable, 'created_at' | 'updated_at'> & StoredIncident;

export interface NodeJudgement {
  readonly node: string;
  /** Incidents that were over by then are no part of this judgement. */
  readonly from: EpochMs;
  readonly policyVersion: string;
  readonly incidents: readonly FaultIncident[];
  readonly health: readonly GpuHealth[];
}

/** The changes of one transaction share a revision, which is taken when the first of them is written. */
export interface RevisionSource {
  take(): Promise<bigint>;
}

export function createRevisionSource(trx: Trx): RevisionSource {
  let taken: Promise<bigint> | undefined;
  return {
    take() {
      taken ??= trx
        .updateTable('alerts.revision')
        .set((row) => ({ value: row('value', '+', 1n) }))
        .returning('value')
        .executeTakeFirstOrThrow()
        .then((row) => row.value);
      return taken;
    },
  };
}

/** Returns how many incidents changed. */
export async function writeJudgement(
  trx: Trx,
  judgement: NodeJudgement,
  revisions: RevisionSource,
): Promise<number> {
  const stored = await storedIncidents(trx, judgement);
  const { matches, withdrawn } = matchIncidents(stored, judgement.incidents);
  const messages: OutboxMessage[] = [];
  for (const match of matches) {
    messages.push(
      ...(await writeIncident(trx, match, { policyVersion: judgement.policyVersion, revisions })),
    );
  }
  for (const row of withdrawn) messages.push(await withdraw(trx, row, revisions));
  const idOf = new Map(matches.map((one) => [one.incident, one.incidentId]));
  await writeHealth(trx, { health: judgement.health, idOf, revisions });
  await writeOutbox(trx, 'alerts', messages);
  return messages.length;
}

async function storedIncidents(trx: Trx, judgement: NodeJudgement): Promise<StoredRow[]> {
  const from = dateOf(judgement.from);
  const rows = await trx
    .selectFrom('alerts.incidents')
    .selectAll()
    .where('node', '=', judgement.node)
    .where((is) =>
      is.or([is('cleared_at', 'is', null), is('cleared_at', '>', from), is('opened_at', '>=', from)]),
    )
    .execute();
  const evidence = new Map<string, string[]>(rows.map((row) => [row.incident_id, []]));
  if (rows.length === 0) return [];
  const found = await trx
    .selectFrom('alerts.incident_evidence')
    .select(['incident_id', 'evidence_id'])
    .where('incident_id', 'in', [...evidence.keys()])
    .execute();
  for (const one of found) evidence.get(one.incident_id)?.push(one.evidence_id);
  return rows.map((row) => ({ ...row, evidence_ids: evidence.get(row.incident_id) ?? [] }));
}

async function writeIncident(
  trx: Trx,
  match: IncidentMatch<StoredRow>,
  by: { readonly policyVersion: string; readonly revisions: RevisionSource },
): Promise<OutboxMessage[]> {
  const { stored, incident, incidentId } = match;
  const content = incidentContent(incident, { marks: stored ?? NO_MARKS, policyVersion: by.policyVersion });
  const evidence = evidenceRows(incidentId, incident);
  const content_digest = contentDigest(content, evidence);
  if (stored?.content_digest === content_digest) return [];
  const revision = await by.revisions.take();
  const row = {
    ...content,
    incident_id: incidentId,
    acknowledged_at: stored?.acknowledged_at ?? null,
    classified_class: stored?.classified_class ?? null,
    classified_blame: stored?.classified_blame ?? null,
    content_digest,
    revision,
  };
  await trx
    .insertInto('alerts.incidents')
    .values(row)
    .onConflict((conflict) => conflict.column('incident_id').doUpdateSet({ ...row, updated_at: new Date() }))
    .execute();
  await replaceEvidence(trx, incidentId, evidence);
  await replaceVerdicts(trx, { incidentId, verdicts: verdictRows(incidentId, incident, content), revision });
  return [copyMessage(row)];
}

async function replaceEvidence(trx: Trx, incidentId: string, rows: readonly EvidenceTable[]): Promise<void> {
  await trx.deleteFrom('alerts.incident_evidence').where('incident_id', '=', incidentId).execute();
  if (rows.length > 0)
    await trx
      .insertInto('alerts.incident_evidence')
      .values([...rows])
      .execute();
}

/** A verdict that fell away ends where it began, so that whoever reads by revision learns of it. */
async function replaceVerdicts(
  trx: Trx,
  of: { incidentId: string; verdicts: readonly VerdictContent[]; revision: bigint },
): Promise<void> {
  const known = await trx
    .selectFrom('alerts.verdicts')
    .selectAll()
    .where('incident_id', '=', of.incidentId)
    .execute();
  const wanted = new Map(of.verdicts.map((one) => [one.verdict_id, one]));
  for (const row of known) {
    if (!wanted.has(row.verdict_id)) wanted.set(row.verdict_id, emptied(row));
  }
  for (const verdict of wanted.values()) {
    const before = known.find((one) => one.verdict_id === verdict.verdict_id);
    if (before !== undefined && isEqualVerdict(before, verdict)) continue;
    const row = { ...verdict, revision: of.revision };
    await trx
      .insertInto('alerts.verdicts')
      .values(row)
      .onConflict((conflict) => conflict.column('verdict_id').doUpdateSet(row))
      .execute();
  }
}

function emptied(verdict: VerdictContent): VerdictContent {
  return { ...verdict, ended_at: verdict.started_at, billing_class: 'B' };
}

function isEqualVerdict(a: VerdictContent, b: VerdictContent): boolean {
  const text = (one: VerdictContent) =>
    JSON.stringify([
      ...[one.code, one.started_at, one.ended_at, one.billing_class, one.blame],
      ...[one.policy_version, one.evidence_summary, one.node],
    ]);
  return text(a) === text(b);
}

async function withdraw(trx: Trx, stored: StoredRow, revisions: RevisionSource): Promise<OutboxMessage> {
  const revision = await revisions.take();
  const { evidence_ids: _evidenceIds, ...rest } = stored;
  const row = {
    ...rest,
    withdrawn: true,
    status: 'expired' as const,
    cleared_at: stored.opened_at,
    reason: 'Later evidence belongs to another incident, or contradicts it.',
    content_digest: 'withdrawn',
    revision,
  };
  const { withdrawn, status, cleared_at, reason, content_digest } = row;
  await trx
    .updateTable('alerts.incidents')
    .set({ withdrawn, status, cleared_at, reason, content_digest, revision, updated_at: new Date() })
    .where('incident_id', '=', stored.incident_id)
    .execute();
  await replaceVerdicts(trx, { incidentId: stored.incident_id, verdicts: [], revision });
  return copyMessage(row);
}

/** What the bus is told of one incident. */
export function copyMessage(row: Omit<IncidentTable, 'created_at' | 'updated_at'>): OutboxMessage {
  return {
    topic: topics.incidents,
    key: row.incident_id,
    headers: { schema: 'row-copy', 'schema-version': '1' },
    value: { table: 'incidents', row: incidentCopy(row), version: row.revision.toString() },
  };
}

async function writeHealth(
  trx: Trx,
  of: {
    readonly health: readonly GpuHealth[];
    readonly idOf: ReadonlyMap<FaultIncident, string>;
    readonly revisions: RevisionSource;
  },
): Promise<void> {
  if (of.health.length === 0) return;
  const gpuUuids = of.health.map((one) => one.gpuUuid);
  const known = await trx
    .selectFrom('alerts.gpu_health')
    .selectAll()
    .where('gpu_uuid', 'in', gpuUuids)
    .execute();
  for (const one of of.health) {
    const before = known.find((row) => row.gpu_uuid === one.gpuUuid);
    const incident_id = one.incident === undefined ? null : (of.idOf.get(one.incident) ?? null);
    const since = sinceOf(one, before);
    const row = {
      gpu_uuid: one.gpuUuid,
      node: one.node,
      pool: one.pool,
      state: one.state,
      since,
      incident_id,
    };
    if (before !== undefined && healthKey(before) === healthKey(row)) continue;
    const written = { ...row, revision: await of.revisions.take() };
    await trx
      .insertInto('alerts.gpu_health')
      .values(written)
      .onConflict((conflict) => conflict.column('gpu_uuid').doUpdateSet(written))
      .execute();
  }
}

function healthKey(row: Omit<GpuHealthTable, 'revision'>): string {
  return JSON.stringify([row.node, row.pool, row.state, row.since, row.incident_id]);
}

/** The window that was looked at this time is no reason to say that a GPU became healthy at its beginning. */
function sinceOf(
  health: GpuHealth,
  before: { readonly state: string; readonly since: Date } | undefined,
): Date {
  const since = dateOf(health.since);
  const keeps = health.state === 'healthy' && health.sinceFirstSeen && before?.state === 'healthy';
  return keeps && before.since < since ? before.since : since;
}
