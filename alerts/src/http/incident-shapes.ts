/** Incidents on the wire; field names are those of the table. */
import { z } from '@hono/zod-openapi';
import { formatInstant } from '@poolmeter/domain';
import { instantInput, instantSchema, listQuery } from '@poolmeter/http-api';
import type {
  EvidenceTable,
  IncidentTable,
  OperatorActionTable,
  VerdictTable,
} from '../store/alerts-database.js';
import { instantOf, runbookOf } from '../store/incident-rows.js';

const statusSchema = z.enum(['open', 'acknowledged', 'verifying', 'resolved', 'expired']);
const billingClassSchema = z
  .enum(['B', 'C', 'H'])
  .openapi({ description: 'B billable, C credited, H held.' });
const blameSchema = z.enum(['hardware', 'application', 'unknown']);

export const incidentSchema = z
  .object({
    id: z.string(),
    code: z.string().openapi({ example: 'xid-79' }),
    title: z.string(),
    severity: z.enum(['info', 'warn', 'critical', 'fatal']),
    action: z.string(),
    status: statusSchema,
    reason: z.string().openapi({ description: 'Why it is in this state.' }),
    blame: blameSchema,
    billing_class: billingClassSchema,
    gpu_uuids: z.array(z.string()),
    node: z.string(),
    pool: z.string(),
    provider_id: z.string(),
    opened_at: instantSchema,
    last_evidence_at: instantSchema,
    verifying_since: instantSchema.nullable(),
    cleared_at: instantSchema.nullable(),
    policy_version: z.string(),
    evidence_count: z.int(),
    affected_lease_ids: z.array(z.string()),
    runbook_url: z.string(),
    demo: z.boolean(),
  })
  .openapi('Incident');

export const evidenceSchema = z
  .object({
    id: z.string(),
    ts: instantSchema,
    until: instantSchema.nullable().openapi({ description: 'The end of what lasts; null while it goes on.' }),
    kind: z.string(),
    code: z.int(),
    fault_code: z.string(),
    gpu_uuid: z.string(),
    message: z.string().openapi({ description: 'The raw line.' }),
    bus_partition: z.int().nullable(),
    bus_offset: z.string().nullable(),
  })
  .openapi('IncidentEvidence');

export const incidentDetailSchema = incidentSchema
  .extend({
    explanation: z.array(z.string()),
    verdicts: z.array(
      z.object({
        id: z.string(),
        gpu_uuid: z.string(),
        gpu_instance: z.string(),
        started_at: instantSchema,
        ended_at: instantSchema.nullable(),
        billing_class: billingClassSchema,
        blame: blameSchema,
        policy_version: z.string(),
        evidence_summary: z.string(),
      }),
    ),
    actions: z.array(
      z.object({
        kind: z.enum(['ack', 'resolve', 'classify']),
        at: instantSchema,
        actor: z.string(),
        reason: z.string(),
      }),
    ),
  })
  .openapi('IncidentDetail');

export const incidentQuery = listQuery.extend({
  status: statusSchema.optional(),
  gpu: z.string().max(200).optional().openapi({ description: 'UUID of a GPU that it concerns.' }),
  node: z.string().max(200).optional(),
  code: z.string().max(100).optional(),
});

const reason = z.string().trim().min(1).max(2_000).openapi({ description: 'Kept in the audit log.' });

export const ackInput = z.strictObject({ reason: reason.optional() });
export const resolveInput = z.strictObject({
  reason,
  /** Now when absent. */
  cleared_at: instantInput.optional(),
});
export const classifyInput = z.strictObject({
  billing_class: billingClassSchema,
  blame: blameSchema.optional(),
  reason,
});

export type IncidentRow = Omit<IncidentTable, 'created_at' | 'updated_at'>;

export function incidentToJson(row: IncidentRow): z.output<typeof incidentSchema> {
  return {
    id: row.incident_id,
    code: row.code,
    title: row.title,
    severity: row.severity,
    action: row.action,
    status: row.status,
    reason: row.reason,
    blame: row.blame,
    billing_class: row.billing_class,
    gpu_uuids: row.gpu_uuids,
    node: row.node,
    pool: row.pool,
    provider_id: row.provider_id,
    opened_at: text(row.opened_at),
    last_evidence_at: text(row.last_evidence_at),
    verifying_since: textOrNull(row.verifying_since),
    cleared_at: textOrNull(row.cleared_at),
    policy_version: row.policy_version,
    evidence_count: Number(row.evidence_count),
    affected_lease_ids: row.affected_lease_ids,
    runbook_url: runbookOf(row.code),
    demo: row.demo,
  };
}

export function evidenceToJson(row: EvidenceTable): z.output<typeof evidenceSchema> {
  return {
    id: row.evidence_id,
    ts: text(row.ts),
    until: textOrNull(row.until),
    kind: row.kind,
    code: row.code,
    fault_code: row.fault_code,
    gpu_uuid: row.gpu_uuid,
    message: row.message,
    bus_partition: row.bus_partition,
    bus_offset: row.bus_offset?.toString() ?? null,
  };
}

export function verdictToJson(row: VerdictTable) {
  return {
    id: row.verdict_id,
    gpu_uuid: row.gpu_uuid,
    gpu_instance: row.gpu_instance,
    started_at: text(row.started_at),
    ended_at: textOrNull(row.ended_at),
    billing_class: row.billing_class,
    blame: row.blame,
    policy_version: row.policy_version,
    evidence_summary: row.evidence_summary,
  };
}

export function actionToJson(row: Pick<OperatorActionTable, 'kind' | 'at' | 'actor' | 'reason'>) {
  return { kind: row.kind, at: text(row.at), actor: row.actor, reason: row.reason };
}

function text(date: Date): string {
  return formatInstant(instantOf(date));
}

function textOrNull(date: Date | null): string | null {
  return date === null ? null : text(date);
}
