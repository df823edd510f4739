/** The tables of what corrects, holds and settles invoices, as migrations/0006 creates them. */
import type { ColumnType, Generated } from 'kysely';
import type { Dispute } from './invoicing/period-inputs.js';

type Json = Record<string, unknown>;
/** A calendar day: `2026-03-31`. */
type Day = ColumnType<Date, string, never>;

export interface NoteRow {
  note_id: string;
  kind: 'credit' | 'debit';
  number: string;
  invoice_id: string;
  sequence: number;
  customer_id: string;
  month: string;
  currency: string;
  subtotal: string;
  tax: string;
  total: string;
  gpu_ms: string;
  provider_basis: Record<string, string>;
  details: Json;
  manifest: unknown;
  issued_at: Date;
}

export interface WalletGrantRow {
  grant_id: string;
  customer_id: string;
  currency: string;
  amount: string;
  kind: 'paid' | 'promotional';
  description: string;
  priority: number;
  effective_from: Date;
  expires_at: Date | null;
  granted_at: Date;
}

export interface BudgetRow {
  budget_id: string;
  customer_id: string;
  kind: 'spend' | 'wallet';
  amount: string;
  currency: string;
  thresholds: number[];
  created_at: Date;
  ended_at: Date | null;
}

export interface CorrectionTables {
  'billing.maintenance': {
    maintenance_id: string;
    pool: string;
    node: string;
    gpu_uuid: string;
    announced_at: Date;
    starts_at: Date;
    ends_at: Date;
    description: string;
    recorded_at: Date;
  };
  'billing.holds': {
    hold_id: string;
    customer_id: string;
    month: string;
    reason: Dispute['reason'];
    description: string;
    blocked: string | null;
    owner: 'operations' | 'finance';
    cleared_by: string;
    incident_ids: string[];
    placed_at: Date;
    released_at: Date | null;
    release_note: string | null;
  };
  'billing.parked_accounts': { customer_id: string; law: string; reason: string; parked_at: Date };
  'billing.findings': {
    finding_id: string;
    law: string;
    object_id: string;
    month: string;
    message: string;
    first_seen_at: Date;
    last_seen_at: Date;
    resolved_at: Date | null;
  };
  'billing.notes': NoteRow;
  'billing.wallet_grants': WalletGrantRow;
  'billing.wallet_movements': {
    movement_id: Generated<bigint>;
    grant_id: string;
    kind: 'draw' | 'return' | 'expire';
    amount: string;
    invoice_id: string | null;
    moved_at: Date;
  };
  'billing.budgets': BudgetRow;
  'billing.budget_alerts': {
    budget_id: string;
    month: string;
    threshold: number;
    value: string;
    alerted_at: Date;
  };
  'billing.provider_earnings': {
    object_id: string;
    provider_id: string;
    invoice_id: string;
    month: string;
    currency: string;
    basis: string;
    faults: string;
    payout_share: string | null;
    earned: string;
    clawed_back: string;
    recorded_at: Date;
  };
  'billing.exchange_rates': {
    from_currency: string;
    to_currency: string;
    day: Day;
    rate: string;
    source: string;
    recorded_at: Date;
  };
  'billing.payouts': {
    payout_id: string;
    provider_id: string;
    amount: string;
    currency: string;
    paid_amount: string;
    paid_currency: string;
    rate: string | null;
    rate_day: ColumnType<Date | null, string | null, never>;
    paid_at: Date;
  };
}
