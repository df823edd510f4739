/** A line of an invoice before it is stored, and the reasons that keep an invoice from being final. */
import type { Fraction, GpuTime, Money } from '@poolmeter/domain';
import type { MeteredInterval } from '../metering/meter-leases.js';
import type { RatedPart } from '../rating/price-shape.js';

type LineKind =
  'usage' | 'excluded' | 'commitment' | 'discount' | 'sla_credit' | 'adjustment' | 'fee' | 'tax' | 'rounding';

export interface InvoiceLine {
  /** The same facts give the same key, whichever invoice they are on. */
  readonly key: string;
  readonly kind: LineKind;
  readonly description: string;
  readonly gpuTime: GpuTime;
  /** Per GPU-hour, as digits; undefined where one number would not tell the truth. */
  readonly unitPrice: string | undefined;
  readonly amount: Money;
  /** How the amount came about, in words and numbers that a person can check. */
  readonly formula: string;
  readonly priceVersion: string;
  readonly parts: readonly RatedPart[];
  readonly intervals: readonly MeteredInterval[];
  /** What else explains the line: incidents, the closed period it corrects, the leases that changed. */
  readonly details: Readonly<Record<string, unknown>>;
}

export type HoldReason =
  | 'terms_mismatch'
  | 'meter_incomplete'
  | 'incident_not_final'
  | 'attribution_not_final'
  | 'notice_disputed'
  | 'charge_disputed'
  | 'goodwill_review'
  | 'burst_inconsistent'
  | 'amount_undefined'
  | 'missing_price';

/** Why the invoice cannot be final yet, who should act, and what would clear it (billing rule 7a). */
export interface Hold {
  readonly reason: HoldReason;
  readonly description: string;
  readonly gpuTime: GpuTime;
  /** What waits, when it can be told. */
  readonly blocked: Money | undefined;
  readonly suggestedOwner: 'operations' | 'finance';
  readonly clearedBy: string;
  readonly leaseIds: readonly string[];
  readonly incidentIds: readonly string[];
}

/** The charges of one period before adjustments and tax. */
export interface PeriodCharges {
  readonly lines: readonly InvoiceLine[];
  readonly intervals: readonly MeteredInterval[];
  readonly holds: readonly Hold[];
  /** Sum of the lines. */
  readonly net: Money;
  /** What each provider's hardware earned, exact: the basis of payouts. */
  readonly providerBasis: ReadonlyMap<string, Fraction>;
  /** What it would have earned beside, had it not failed: shown as claw-back on statements. */
  readonly providerFaults: ReadonlyMap<string, Fraction>;
}
