/** The tables of the schema `alerts`, as migrations/ makes them, and the view of billing that is read. */
import type { ColumnType, GeneratedAlways, Generated } from 'kysely';
import type { BillingClass, Blame, Severity } from '../policy/fault-policy.js';
import type { GpuState } from '../verdict/incident.js';

export type IncidentStatus = 'open' | 'acknowledged' | 'verifying' | 'resolved' | 'expired';

export interface IncidentTable {
  incident_id: string;
  code: string;
  title: string;
  severity: Severity;
  action: string;
  status: IncidentStatus;
  reason: string;
  blame: Blame;
  billing_class: BillingClass;
  node: string;
  pool: string;
  provider_id: string;
  subject_gpu_uuid: string;
  subject_gpu_instance: string;
  subject_pci_bus_id: string;
  gpu_uuids: string[];
  opened_at: Date;
  last_evidence_at: Date;
  verifying_since: Date | null;
  cleared_at: Date | null;
  policy_version: string;
  evidence_count: bigint;
  affected_lease_ids: string[];
  demo: boolean;
  withdrawn: boolean;
  acknowledged_at: Date | null;
  classified_class: BillingClass | null;
  classified_blame: Blame | null;
  content_digest: string;
  revision: bigint;
  created_at: Generated<Date>;
  updated_at: Generated<Date>;
}

export interface EvidenceTable {
  incident_id: string;
  evidence_id: string;
  ts: Date;
  until: Date | null;
  kind: string;
  code: number;
  fault_code: string;
  gpu_uuid: string;
  message: string;
  bus_partition: number | null;
  bus_offset: bigint | null;
}

export interface VerdictTable {
  verdict_id: string;
  incident_id: string;
  code: string;
  gpu_uuid: string;
  gpu_instance: string;
  node: string;
  started_at: Date;
  ended_at: Date | null;
  billing_class: BillingClass;
  blame: Blame;
  policy_version: string;
  evidence_summary: string;
  revision: bigint;
}

export interface GpuHealthTable {
  gpu_uuid: string;
  node: string;
  pool: string;
  state: GpuState;
  since: Date;
  incident_id: string | null;
  revision: bigint;
}

export type OperatorActionKind = 'ack' | 'resolve' | 'classify';

/** Written once and never changed. */
type Json = ColumnType<Record<string, unknown>, Readonly<Record<string, unknown>>, never>;

export interface OperatorActionTable {
  action_id: string;
  incident_id: string;
  kind: OperatorActionKind;
  at: Date;
  actor: string;
  reason: string;
  before: Json;
  after: Json;
}

/** Read back as values, written as JSON. */
type JsonOf<T> = ColumnType<T, T, T>;

export interface NotificationTable {
  notification_id: string;
  channel: string;
  group_key: string;
  status: 'waiting' | 'sent' | 'failed';
  items: JsonOf<readonly { incident_id: string; state: 'firing' | 'resolved'; severity: Severity }[]>;
  created_at: Date;
  due_at: Date;
  attempts: Generated<number>;
  last_fault: string | null;
  sent_at: Date | null;
}

export interface ToldTable {
  channel: string;
  incident_id: string;
  state: 'firing' | 'resolved';
  severity: Severity;
  at: Date;
}

export interface SilenceTable {
  silence_id: string;
  matches: JsonOf<Readonly<Partial<Record<string, readonly string[]>>>>;
  starts_at: Date;
  ends_at: Date;
  reason: string;
  created_by: string;
}

export interface AlertsDatabase {
  'alerts.positions': { bus_partition: number; bus_offset: bigint; updated_at: Generated<Date> };
  'alerts.evaluated_hours': { node: string; hour: Date; samples: bigint };
  'alerts.lease_mark': { only_row: GeneratedAlways<boolean>; recorded_at: Date };
  'alerts.revision': { only_row: GeneratedAlways<boolean>; value: bigint };
  'alerts.incidents': IncidentTable;
  'alerts.incident_evidence': EvidenceTable;
  'alerts.verdicts': VerdictTable;
  'alerts.gpu_health': GpuHealthTable;
  'alerts.operator_actions': OperatorActionTable;
  'alerts.peer_findings': {
    node: string;
    gpu_uuid: string;
    signal: string;
    started_at: Date;
    ended_at: Date;
    value: number;
  };
  'alerts.peer_mark': { only_row: GeneratedAlways<boolean>; started_at: Date };
  'alerts.notifications': NotificationTable;
  'alerts.told': ToldTable;
  'alerts.silences': SilenceTable;
  'billing.leases_v1': {
    lease_id: string;
    customer_id: string;
    provider_id: string;
    node: string;
    gpu_uuid: string;
    gpu_instance: string;
    started_at: Date;
    ended_at: Date | null;
    recorded_at: Date;
  };
}

/** The migrations of the schema, for whoever puts the services together. */
export const alertsMigrations = {
  name: 'alerts',
  directory: new URL('../../migrations/', import.meta.url),
} as const;
