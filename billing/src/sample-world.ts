/** A small world for tests: one customer, one book of prices, leases written in one line. */
import { idFromFacts, instantFromMs, parseInstant, type EpochMs } from '@poolmeter/domain';
import type { z } from 'zod';
import { contractSchema } from './files/contracts-file.js';
import { billingPeriod } from './invoicing/period.js';
import type { PeriodInputs } from './invoicing/period-inputs.js';
import { parseShare, type LeaseColumns, type RecordedLeaseEvent } from './leases/recorded-lease-event.js';
import type { Verdict } from './metering/verdict.js';
import { contractFrom } from './prices/contract-terms.js';
import { parseRates, type ContractVersion, type PriceBookVersion } from './rating/price-book.js';
import { rateSchema } from './rating/rate-json.js';

export interface SampleLease {
  readonly id: string;
  readonly from: string;
  readonly to?: string;
  readonly share?: string;
  readonly gpu?: string;
  readonly provider?: string;
  readonly model?: string;
  readonly customer?: string;
}

/** The events of one lease; `position` is where its first event stands in the record. */
export function sampleLease(lease: SampleLease, position: bigint): RecordedLeaseEvent[] {
  const columns: LeaseColumns = {
    customerId: lease.customer ?? 'acme',
    providerId: lease.provider ?? 'north',
    pool: 'main',
    node: 'gpu-01',
    gpuUuid: lease.gpu ?? 'GPU-1',
    gpuInstance: '',
    gpuIndex: 0,
    gpuModel: lease.model ?? 'H100',
    share: parseShare(lease.share ?? '1'),
    pricingMode: 'on_demand',
    project: '',
    labels: {},
  };
  const started = sampleEvent({ leaseId: lease.id, type: 'started', at: lease.from, position, columns });
  if (lease.to === undefined) return [started];
  const ended = { leaseId: lease.id, type: 'ended' as const, at: lease.to, position: position + 1n };
  return [started, sampleEvent({ ...ended, columns: {} })];
}

export function sampleEvent(
  event: Pick<RecordedLeaseEvent, 'leaseId' | 'type' | 'position' | 'columns'> & { readonly at: string },
): RecordedLeaseEvent {
  const at = parseInstant(event.at);
  return {
    ...event,
    at,
    eventId: idFromFacts('lev', event.leaseId, event.type, at, event.position),
    recordedAt: instantFromMs(at + 1_000),
    source: 'api',
  };
}

export function sampleLeases(leases: readonly SampleLease[]): RecordedLeaseEvent[] {
  return leases.flatMap((lease, index) => sampleLease(lease, BigInt(index * 10 + 1)));
}

export function sampleVerdict(
  verdict: Pick<Verdict, 'billingClass'> & { readonly from: string; readonly to?: string } & Partial<Verdict>,
): Verdict {
  const { from, to, ...given } = verdict;
  return {
    verdictId: `v-${from}`,
    incidentId: `inc-${from}`,
    code: 'xid-79',
    gpuUuid: 'GPU-1',
    gpuInstance: '',
    node: 'gpu-01',
    start: parseInstant(from),
    end: to === undefined ? undefined : parseInstant(to),
    blame: 'hardware',
    policyVersion: 'fault-policy 1',
    revision: 1n,
    evidenceSummary: 'NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.',
    ...given,
  };
}

/** A price book that takes effect long ago unless it says when. */
export function sampleBook(
  rates: readonly Record<string, unknown>[],
  { version = 1, from = '2020-01-01T00:00:00Z' }: { version?: number; from?: string } = {},
): PriceBookVersion {
  return {
    version,
    currency: 'USD',
    effectiveFrom: parseInstant(from),
    rates: parseRates(rates.map((rate) => rateSchema.parse(rate))),
  };
}

/** A contract of acme, as contracts.yaml would say it; in force since long ago unless it says otherwise. */
export function sampleContract(
  contract: Partial<z.input<typeof contractSchema>> = {},
  version = 1,
): ContractVersion {
  const entry = contractSchema.parse({
    id: 'acme-2026',
    customer: 'acme',
    effective_from: '2020-01-01T00:00:00Z',
    ...contract,
  });
  return contractFrom(entry, version);
}

export function sampleInputs(
  given: Partial<PeriodInputs> & { readonly month?: string; readonly zone?: string } = {},
): PeriodInputs {
  const { month = '2026-03', zone = 'UTC', ...inputs } = given;
  const period = billingPeriod(month, zone);
  return {
    customer: { customerId: 'acme', version: 1, name: 'Acme', zone, currency: 'USD', tax: undefined },
    period,
    asOf: period.end,
    leasePosition: 1_000n,
    leaseEvents: [],
    overlapping: [],
    verdicts: [],
    books: [sampleBook([{ per_gpu_hour: '1.00' }])],
    contracts: [],
    maintenance: [],
    disputes: [],
    ...inputs,
  };
}

export function at(text: string): EpochMs {
  return parseInstant(text);
}
