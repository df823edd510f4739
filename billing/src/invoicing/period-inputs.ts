/** Everything that the charges of one customer and one period depend on: a value, pinned by an invoice's manifest. */
import { digestOf, formatFraction, type EpochMs, type Fraction } from '@poolmeter/domain';
import type { Maintenance } from '../sla/assess-sla.js';
import { digestOfEvents, type RecordedLeaseEvent } from '../leases/recorded-lease-event.js';
import { verdictToJson, type Verdict } from '../metering/verdict.js';
import { priceBookDigest, type ContractVersion, type PriceBookVersion } from '../rating/price-book.js';
import { rateToJson } from '../rating/rate-json.js';
import type { TaxProfile } from '../rating/tax.js';
import type { HoldReason } from './invoice-line.js';
import type { BillingPeriod } from './period.js';

/** Grows when the same inputs could give another result; an invoice names the one that it was computed by. */
export const CALCULATION_VERSION = 1;

export interface CustomerVersion {
  readonly customerId: string;
  readonly version: number;
  readonly name: string;
  readonly zone: string;
  readonly currency: string;
  readonly tax: TaxProfile | undefined;
}

/** A lease that wants a share which another one holds already. */
export interface OverlappingLease {
  readonly leaseId: string;
  readonly otherLeaseIds: readonly string[];
}

export interface PeriodInputs {
  readonly customer: CustomerVersion;
  readonly period: BillingPeriod;
  /** Leases without an end count up to here; never after the period's end. */
  readonly asOf: EpochMs;
  /** Every lease event up to this position was known. */
  readonly leasePosition: bigint;
  readonly leaseEvents: readonly RecordedLeaseEvent[];
  readonly overlapping: readonly OverlappingLease[];
  readonly verdicts: readonly Verdict[];
  readonly books: readonly PriceBookVersion[];
  readonly contracts: readonly ContractVersion[];
  /** Announced maintenance that touches the period; only where a contract promises availability. */
  readonly maintenance: readonly Maintenance[];
  /** What people objected to and is not settled: holds the invoice. A final one has none. */
  readonly disputes: readonly Dispute[];
}

/** A hold that a person placed on a customer's period (billing rule 7a). */
export interface Dispute {
  readonly holdId: string;
  readonly reason: HoldReason;
  readonly description: string;
  /** What it blocks, as digits in the customer's currency, when it can be told. */
  readonly blocked: string | undefined;
  readonly owner: 'operations' | 'finance';
  readonly clearedBy: string;
  readonly incidentIds: readonly string[];
}

/** The digest of the content, not of the references: an input that was changed behind our back changes it. */
export function digestOfPeriodInputs(inputs: PeriodInputs): string {
  const { customer, period } = inputs;
  return digestOf({
    calculation_version: CALCULATION_VERSION,
    customer: { ...customer, tax: customer.tax === undefined ? null : taxJson(customer.tax) },
    period: { ...period },
    as_of: inputs.asOf,
    lease_position: inputs.leasePosition,
    lease_events: digestOfEvents(inputs.leaseEvents),
    overlapping: inputs.overlapping
      .map((one) => ({ lease_id: one.leaseId, others: one.otherLeaseIds }))
      .toSorted((a, b) => (a.lease_id < b.lease_id ? -1 : 1)),
    verdicts: inputs.verdicts.toSorted((a, b) => (a.verdictId < b.verdictId ? -1 : 1)).map(verdictToJson),
    books: inputs.books
      .toSorted((a, b) => a.version - b.version)
      .map((book) => ({ version: book.version, digest: priceBookDigest(book) })),
    contracts: inputs.contracts
      .map((contract) => ({ key: `${contract.contractId} ${contract.version}`, contract }))
      .toSorted((a, b) => (a.key < b.key ? -1 : 1))
      .map(({ contract }) => contractJson(contract)),
    ...(inputs.maintenance.length === 0
      ? {}
      : { maintenance: inputs.maintenance.toSorted((a, b) => (a.id < b.id ? -1 : 1)) }),
  });
}

function taxJson(tax: TaxProfile) {
  return { ...tax, rate: formatFraction(tax.rate) };
}

function contractJson(contract: ContractVersion): Record<string, unknown> {
  return {
    contract_id: contract.contractId,
    version: contract.version,
    customer_id: contract.customerId,
    effective_from: contract.effectiveFrom,
    effective_until: contract.effectiveUntil ?? null,
    rates: contract.rates.map((rate) => rateToJson(rate.source)),
    discount: contract.discount === undefined ? null : formatFraction(contract.discount satisfies Fraction),
    minimum_spend: contract.minimumSpend ?? null,
    fault_time: contract.faultTime,
    ...laterTerms(contract.source),
  };
}

/** Terms that came after the first contracts were signed: absent ones leave no trace in a digest. */
function laterTerms(source: ContractVersion['source']): Record<string, unknown> {
  const names = ['discount_amount', 'minimum_duration_s', 'increment_s', 'fees', 'sla', 'signed'] as const;
  const given = names.flatMap((name): [string, unknown][] =>
    source[name] === undefined ? [] : [[name, source[name]]],
  );
  return Object.fromEntries(given);
}
