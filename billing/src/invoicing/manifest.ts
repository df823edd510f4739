/** What an invoice pins: references to everything that it was computed from, so that anybody can compute it again. */
import { formatFraction, instantFromMs, parseFraction } from '@poolmeter/domain';
import { z } from 'zod';
import { CALCULATION_VERSION, type PeriodInputs } from './period-inputs.js';
import type { InvoiceInputs } from './compute-invoice.js';

const pinnedPeriodSchema = z.object({
  customer_id: z.string(),
  customer_version: z.int(),
  currency: z.string(),
  month: z.string(),
  zone: z.string(),
  /** UTC bounds in epoch milliseconds, frozen: later zone data cannot move them. */
  start: z.int(),
  end: z.int(),
  as_of: z.int(),
  lease_position: z.string(),
  overlapping: z.array(z.object({ lease_id: z.string(), other_lease_ids: z.array(z.string()) })),
  verdicts: z.array(z.object({ verdict_id: z.string(), revision: z.string() })),
  price_books: z.array(z.int()),
  contracts: z.array(z.object({ contract_id: z.string(), version: z.int() })),
  maintenance: z.array(z.string()).default([]),
});

const earlierSchema = z.object({
  line_id: z.string(),
  amount: z.string(),
  gpu_ms: z.string(),
  provider_basis: z.record(z.string(), z.string()),
});

const busPositionsSchema = z.array(
  z.object({ topic: z.string(), partition: z.int(), next_offset: z.string() }),
);

const manifestSchema = z.object({
  calculation_version: z.int(),
  tzdata_version: z.string(),
  computed_at: z.int(),
  current: pinnedPeriodSchema,
  closed: z.array(
    z.object({
      invoice_id: z.string(),
      number: z.string(),
      then: pinnedPeriodSchema,
      now: pinnedPeriodSchema,
      earlier: z.array(earlierSchema),
    }),
  ),
  /** Where the bus stood when the period was over and readers were past it; empty on a draft. */
  bus_positions: busPositionsSchema,
});

export type PinnedPeriod = z.output<typeof pinnedPeriodSchema>;
export type PinnedEarlier = z.output<typeof earlierSchema>;
export type BusPositions = z.output<typeof busPositionsSchema>;
export type Manifest = z.output<typeof manifestSchema>;

export function parseManifest(stored: unknown): Manifest {
  return manifestSchema.parse(stored);
}

export function parsePinnedPeriod(stored: unknown): PinnedPeriod {
  return pinnedPeriodSchema.parse(stored);
}

export function parseBusPositions(stored: unknown): BusPositions {
  return busPositionsSchema.parse(stored);
}

export interface ManifestFacts {
  readonly tzdataVersion: string;
  readonly computedAtMs: number;
  readonly busPositions: BusPositions;
}

export function manifestOf(inputs: InvoiceInputs, facts: ManifestFacts): Manifest {
  return {
    calculation_version: CALCULATION_VERSION,
    tzdata_version: facts.tzdataVersion,
    computed_at: facts.computedAtMs,
    current: pinPeriod(inputs.current),
    closed: inputs.closed.map((closed) => ({
      invoice_id: closed.invoiceId,
      number: closed.number,
      then: pinPeriod(closed.then),
      now: pinPeriod(closed.now),
      earlier: closed.earlier.map((one) => ({
        line_id: one.lineId,
        amount: one.amount.toAmountText(),
        gpu_ms: formatFraction(one.gpuTime),
        provider_basis: Object.fromEntries(
          [...one.providerBasis].map(([provider, basis]) => [provider, formatFraction(basis)]),
        ),
      })),
    })),
    bus_positions: facts.busPositions,
  };
}

export function pinPeriod(inputs: PeriodInputs): PinnedPeriod {
  return {
    customer_id: inputs.customer.customerId,
    customer_version: inputs.customer.version,
    currency: inputs.customer.currency,
    month: inputs.period.month,
    zone: inputs.period.zone,
    start: inputs.period.start,
    end: inputs.period.end,
    as_of: inputs.asOf,
    lease_position: inputs.leasePosition.toString(),
    overlapping: inputs.overlapping.map((one) => ({
      lease_id: one.leaseId,
      other_lease_ids: [...one.otherLeaseIds],
    })),
    verdicts: inputs.verdicts.map((one) => ({
      verdict_id: one.verdictId,
      revision: one.revision.toString(),
    })),
    price_books: inputs.books.map((book) => book.version),
    contracts: inputs.contracts.map((one) => ({ contract_id: one.contractId, version: one.version })),
    maintenance: inputs.maintenance.map((one) => one.id),
  };
}

/** The frozen period of a manifest. */
export function periodOf(pinned: PinnedPeriod) {
  return {
    month: pinned.month,
    zone: pinned.zone,
    start: instantFromMs(pinned.start),
    end: instantFromMs(pinned.end),
  };
}

export function basisFromJson(basis: Readonly<Record<string, string>>) {
  return new Map(Object.entries(basis).map(([provider, value]) => [provider, parseFraction(value)]));
}
