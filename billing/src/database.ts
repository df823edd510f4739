/** The tables that billing reads and writes, as migrations/*.sql creates them, and the one view of another schema. */
import type { MigrationSet, RelationalStore } from '@poolmeter/relational-store';
import type { Generated, Kysely, Selectable, Transaction } from 'kysely';
import type { CorrectionTables } from './correction-tables.js';
import type { EventSource, PricingMode } from './leases/recorded-lease-event.js';

type Json = Record<string, unknown>;

export interface InvoiceTable {
  invoice_id: string;
  issuer_id: string;
  number: string | null;
  status: 'draft' | 'final' | 'void';
  customer_id: string;
  month: string;
  period_start: Date;
  period_end: Date;
  zone: string;
  currency: string;
  subtotal: string;
  tax: string;
  total: string;
  holds: unknown;
  manifest: unknown;
  input_digest: string;
  mark: string;
  created_at: Date;
  updated_at: Date;
  finalized_at: Date | null;
  voided_at: Date | null;
  void_reason: string | null;
  /** What prepaid money settled when it became final. */
  wallet_drawn: Generated<string>;
}

export type InvoiceRow = Selectable<InvoiceTable>;

export interface InvoiceLineRow {
  line_id: string;
  invoice_id: string;
  line_number: number;
  line_key: string;
  kind: string;
  description: string;
  gpu_ms: string;
  unit_price: string | null;
  amount: string;
  formula: string;
  price_version: string;
  details: Json;
  evidence: Json | null;
  corrects: string | null;
}

export interface BillableIntervalRow {
  interval_id: string;
  invoice_id: string;
  line_id: string | null;
  lease_id: string;
  customer_id: string;
  project: string;
  provider_id: string;
  pool: string;
  node: string;
  gpu_uuid: string;
  gpu_instance: string;
  gpu_model: string;
  pricing_mode: string;
  share: string;
  started_at: Date;
  ended_at: Date;
  outcome: 'billed' | 'excluded' | 'held';
  gpu_ms: string;
  amount: string | null;
  incident_ids: string[];
  evidence: Json | null;
}

export interface LeaseRecord {
  lease_id: string;
  state: 'running' | 'ended' | 'cancelled' | 'incomplete';
  customer_id: string | null;
  project: string | null;
  provider_id: string | null;
  pool: string | null;
  node: string | null;
  gpu_uuid: string | null;
  gpu_instance: string | null;
  gpu_index: number | null;
  gpu_model: string | null;
  share: string | null;
  pricing_mode: PricingMode | null;
  labels: Record<string, string> | null;
  started_at: Date | null;
  ended_at: Date | null;
  recorded_at: Date;
  position: bigint;
  first_position: bigint;
  overlaps_with: string[];
}

export interface VerdictRow {
  verdict_id: string;
  incident_id: string;
  code: string;
  gpu_uuid: string;
  gpu_instance: string;
  node: string;
  started_at: Date;
  ended_at: Date | null;
  billing_class: 'B' | 'C' | 'H';
  blame: 'hardware' | 'application' | 'unknown';
  policy_version: string;
  revision: bigint;
  evidence_summary: string;
}

export type LedgerEventKind =
  | 'invoice_finalized'
  | 'invoice_voided'
  | 'note_issued'
  | 'wallet_granted'
  | 'wallet_drawn'
  | 'wallet_returned'
  | 'wallet_expired'
  | 'payout';

export interface BillingDatabase extends CorrectionTables {
  'billing.customers': {
    customer_id: string;
    current_version: number;
    invoice_revision: Generated<bigint>;
    created_at: Date;
  };
  'billing.customer_versions': {
    customer_id: string;
    version: number;
    name: string;
    zone: string;
    currency: string | null;
    tax_rate: string | null;
    tax_inclusive: boolean;
    tax_exemption: string;
    recorded_at: Date;
  };
  'billing.providers': {
    provider_id: string;
    name: string;
    currency: string | null;
    payout_share: string | null;
    created_at: Date;
    updated_at: Date;
  };
  'billing.price_books': {
    version: number;
    currency: string;
    effective_from: Date;
    rates: unknown;
    digest: string;
    recorded_at: Date;
  };
  'billing.contracts': {
    contract_id: string;
    version: number;
    customer_id: string;
    effective_from: Date;
    effective_until: Date | null;
    terms: unknown;
    digest: string;
    recorded_at: Date;
  };
  'billing.lease_events': {
    position: Generated<bigint>;
    event_id: string;
    lease_id: string;
    type: 'started' | 'ended' | 'amended' | 'cancelled';
    at: Date;
    columns: Json;
    customer_id: Generated<string | null>;
    recorded_at: Date;
    source: EventSource;
  };
  'billing.leases': LeaseRecord;
  'billing.lease_segments': {
    lease_id: string;
    segment: number;
    customer_id: string;
    provider_id: string;
    gpu_uuid: string;
    gpu_instance: string;
    share_numerator: string;
    share_denominator: string;
    period: string;
    held: boolean;
  };
  'billing.watchers': { pool: string; looked_at: Date };
  'billing.watched_leases': { lease_id: string; pool: string; last_seen_at: Date };
  'billing.issuers': { issuer_id: string; prefix: string; next_number: bigint };
  'billing.invoices': InvoiceTable;
  'billing.invoice_lines': InvoiceLineRow;
  'billing.billable_intervals': BillableIntervalRow;
  'billing.pinned_verdicts': { verdict_id: string; revision: bigint; verdict: Json };
  'billing.period_positions': { period_end: Date; noted_at: Date; positions: unknown };
  'billing.ledger_accounts': { account_id: string; kind: string; owner_id: string };
  'billing.ledger_transactions': {
    transaction_id: string;
    kind: LedgerEventKind;
    invoice_id: string | null;
    /** What the event is about: an invoice, a note, a grant, a payout. */
    object_id: string;
    occurred_at: Date;
    description: string;
  };
  'billing.ledger_entries': {
    transaction_id: string;
    entry: number;
    account_id: string;
    currency: string;
    amount: string;
  };
  'alerts.verdicts_v1': VerdictRow;
}

export type BillingStore = RelationalStore<BillingDatabase>;
export type BillingTransaction = Transaction<BillingDatabase>;
/** A connection for reading: the store's own, or a transaction. */
export type BillingReader = Kysely<BillingDatabase>;

export const billingMigrations: MigrationSet = {
  name: 'billing',
  directory: new URL('../migrations/', import.meta.url),
};
