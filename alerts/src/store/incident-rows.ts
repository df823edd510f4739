/** Incidents as rows: what is stored, what readers of the views see, what travels to the bus. */
import { digestOf, formatInstant, idFromFacts, instantFromMs, type EpochMs } from '@poolmeter/domain';
import type { BillingClass, Blame } from '../policy/fault-policy.js';
import type { FaultIncident, Symptom } from '../verdict/incident.js';
import type { EvidenceTable, IncidentStatus, IncidentTable, VerdictTable } from './alerts-database.js';

/** What operators said about an incident; it stands beside what the evidence says. */
export interface OperatorMarks {
  readonly acknowledged_at: Date | null;
  readonly classified_class: BillingClass | null;
  readonly classified_blame: Blame | null;
}

export const NO_MARKS: OperatorMarks = {
  acknowledged_at: null,
  classified_class: null,
  classified_blame: null,
};

type IncidentContent = Omit<
  IncidentTable,
  'incident_id' | 'revision' | 'created_at' | 'updated_at' | 'content_digest' | keyof OperatorMarks
>;

/** Evidence kept per incident beside the first line of each code: enough to see how it began. */
const MAX_EVIDENCE_ROWS = 100;
const MAX_SUMMARY_LENGTH = 400;

/** The same incident, found again from the same evidence, gets the same id. */
export function incidentIdOf(incident: FaultIncident, attempt = 0): string {
  const subject = [incident.node, incident.gpuUuid, incident.gpuInstance, incident.pciBusId];
  const again = attempt === 0 ? [] : [attempt];
  return idFromFacts('inc', ...subject, incident.code, incident.openedAt, ...again);
}

export function incidentContent(
  incident: FaultIncident,
  with_: { readonly marks: OperatorMarks; readonly policyVersion: string },
): IncidentContent {
  const { fault } = incident;
  return {
    code: incident.code,
    title: incident.title,
    severity: fault.severity,
    action: fault.action,
    status: statusOf(incident.state, with_.marks),
    reason: incident.reason,
    blame: with_.marks.classified_blame ?? fault.blame,
    billing_class: with_.marks.classified_class ?? fault.billing_class,
    node: incident.node,
    pool: incident.pool,
    provider_id: incident.providerId,
    subject_gpu_uuid: incident.gpuUuid,
    subject_gpu_instance: incident.gpuInstance,
    subject_pci_bus_id: incident.pciBusId,
    gpu_uuids: incident.verdicts.map((one) => one.gpuUuid),
    opened_at: dateOf(incident.openedAt),
    last_evidence_at: dateOf(incident.lastEvidenceAt),
    verifying_since: dateOrNull(incident.verifyingSince),
    cleared_at: dateOrNull(incident.clearedAt),
    policy_version: with_.policyVersion,
    evidence_count: BigInt(incident.evidence.length),
    affected_lease_ids: [...incident.affectedLeaseIds],
    demo: incident.demo,
    withdrawn: false,
  };
}

/** Equal digests: nothing to write. The lines of evidence are part of it through their identities. */
export function contentDigest(content: IncidentContent, evidence: readonly EvidenceTable[]): string {
  return digestOf({
    content,
    evidence: evidence.map((one) => [one.evidence_id, one.until?.getTime() ?? null]),
  });
}

function statusOf(state: FaultIncident['state'], marks: OperatorMarks): IncidentStatus {
  return state === 'open' && marks.acknowledged_at !== null ? 'acknowledged' : state;
}

export function evidenceRows(incidentId: string, incident: FaultIncident): EvidenceTable[] {
  const codes = new Set<string>();
  const kept = incident.evidence.filter((one, index) => {
    const isFirstOfCode = !codes.has(one.fault.code);
    codes.add(one.fault.code);
    return isFirstOfCode || index < MAX_EVIDENCE_ROWS;
  });
  return kept.map((one) => ({
    incident_id: incidentId,
    evidence_id: one.id,
    ts: dateOf(one.ts),
    until: dateOrNull(one.until),
    kind: one.kind,
    code: one.code,
    fault_code: one.fault.code,
    gpu_uuid: one.gpuUuid,
    message: one.message,
    bus_partition: one.position?.partition ?? null,
    bus_offset: one.position?.offset ?? null,
  }));
}

export type VerdictContent = Omit<VerdictTable, 'revision'>;

export function verdictRows(
  incidentId: string,
  incident: FaultIncident,
  content: Pick<IncidentContent, 'billing_class' | 'blame' | 'policy_version'>,
): VerdictContent[] {
  return incident.verdicts.map((one) => ({
    verdict_id: `${incidentId}/${one.gpuUuid}/${one.gpuInstance}`,
    incident_id: incidentId,
    code: incident.code,
    gpu_uuid: one.gpuUuid,
    gpu_instance: one.gpuInstance,
    node: incident.node,
    started_at: dateOf(one.start),
    ended_at: dateOrNull(one.end),
    billing_class: content.billing_class,
    blame: content.blame,
    policy_version: content.policy_version,
    evidence_summary: evidenceSummary(incident),
  }));
}

/** The line that an invoice shows: the leading evidence, and how much more there is. */
function evidenceSummary(incident: FaultIncident): string {
  const leading = incident.evidence.find((one) => one.fault.code === incident.code) ?? incident.evidence[0];
  if (leading === undefined) return incident.title;
  const line = `${formatInstant(leading.ts)} ${lineOf(leading)}`;
  const shown = line.length > MAX_SUMMARY_LENGTH ? `${line.slice(0, MAX_SUMMARY_LENGTH - 1)}…` : line;
  const more = incident.evidence.length - 1;
  return more === 0 ? shown : `${shown} (and ${more} more)`;
}

function lineOf(symptom: Symptom): string {
  return symptom.message === '' ? symptom.fault.title : symptom.message;
}

/** The row as charts read it: columns of the ClickHouse table `incidents`, without `version`. */
export function incidentCopy(row: Omit<IncidentTable, 'created_at' | 'updated_at'>): Record<string, unknown> {
  return {
    id: row.incident_id,
    code: row.code,
    title: row.title,
    severity: row.severity,
    status: row.status,
    blame: row.blame,
    billing_class: row.billing_class,
    gpu_uuids: row.gpu_uuids,
    node: row.node,
    pool: row.pool,
    provider_id: row.provider_id,
    opened_at: formatInstant(instantOf(row.opened_at)),
    cleared_at: row.cleared_at === null ? null : formatInstant(instantOf(row.cleared_at)),
    policy_version: row.policy_version,
    evidence_count: Number(row.evidence_count),
    affected_lease_ids: row.affected_lease_ids,
    runbook_url: runbookOf(row.code),
    is_deleted: row.withdrawn ? 1 : 0,
  };
}

export function runbookOf(code: string): string {
  return `docs/runbooks/${code}.md`;
}

export function dateOf(instant: EpochMs): Date {
  return new Date(instant);
}

function dateOrNull(instant: EpochMs | undefined): Date | null {
  return instant === undefined ? null : dateOf(instant);
}

export function instantOf(date: Date): EpochMs {
  return instantFromMs(date.getTime());
}
