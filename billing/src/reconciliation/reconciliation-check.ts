/** One law, and what breaks it. */
import type { Clock } from '@poolmeter/domain';
import type { BillingStore } from '../database.js';
import type { EvidenceSource } from '../metering/evidence.js';

export interface CheckDeps {
  readonly store: BillingStore;
  readonly clock: Clock;
  readonly evidence: EvidenceSource;
}

export interface Finding {
  readonly object_id: string;
  readonly message: string;
}

export interface ReconciliationCheck {
  readonly law: string;
  readonly ok: boolean;
  /** How many things were looked at. */
  readonly checked: number;
  readonly findings: readonly Finding[];
}

export function check(law: string, checked: number, findings: readonly Finding[]): ReconciliationCheck {
  return { law, ok: findings.length === 0, checked, findings };
}
