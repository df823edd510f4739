/** The whole invoice from its inputs: charges, adjustments of closed periods, tax and totals. Pure. */
import {
  digestOf,
  formatFraction,
  minus,
  Money,
  NO_GPU_TIME,
  sum,
  type Fraction,
  type GpuTime,
} from '@poolmeter/domain';
import { foldLeases } from '../leases/fold-leases.js';
import { sumTimes, type MeteredInterval } from '../metering/meter-leases.js';
import { plainDecimal } from '../rating/plain-decimal.js';
import { applyTax, type TaxProfile } from '../rating/tax.js';
import { chargePeriod } from './charge-period.js';
import type { Hold, InvoiceLine, PeriodCharges } from './invoice-line.js';
import { subtractBases, sumBases } from './provider-basis.js';
import { digestOfPeriodInputs, type PeriodInputs } from './period-inputs.js';

/** What earlier invoices corrected in a closed period already. */
export interface EarlierAdjustment {
  readonly lineId: string;
  readonly amount: Money;
  readonly gpuTime: GpuTime;
  readonly providerBasis: ReadonlyMap<string, Fraction>;
}

/** A period that is invoiced, with what was known then and what is known now. */
export interface ClosedPeriod {
  readonly invoiceId: string;
  readonly number: string;
  readonly then: PeriodInputs;
  /** The same prices, verdicts and terms, and the lease events that are known now. */
  readonly now: PeriodInputs;
  readonly earlier: readonly EarlierAdjustment[];
}

export interface InvoiceInputs {
  readonly current: PeriodInputs;
  /** Only periods of which something changed. */
  readonly closed: readonly ClosedPeriod[];
}

export interface ComputedInvoice {
  readonly lines: readonly InvoiceLine[];
  readonly intervals: readonly MeteredInterval[];
  readonly holds: readonly Hold[];
  readonly subtotal: Money;
  readonly tax: Money;
  readonly total: Money;
  readonly providerBasis: ReadonlyMap<string, Fraction>;
  readonly providerFaults: ReadonlyMap<string, Fraction>;
  /** Of the subtotal, what was credited for broken promises; zero or negative. */
  readonly slaCredits: Money;
  readonly inputDigest: string;
}

export function computeInvoice(inputs: InvoiceInputs): ComputedInvoice {
  const { customer } = inputs.current;
  const charges = chargePeriod(inputs.current);
  const adjustments = inputs.closed.map(adjustPeriod);
  const corrected = adjustments.flatMap(({ line }) => (line === undefined ? [] : [line]));
  const chargeLines = [...charges.lines, ...corrected];
  const net = Money.sum(
    chargeLines.map((line) => line.amount),
    customer.currency,
  );
  const totals = applyTax(net, customer.tax);
  return {
    lines: [...chargeLines, ...taxLine(totals.tax, customer.tax, net)],
    intervals: charges.intervals,
    holds: [...charges.holds, ...adjustments.flatMap(({ holds }) => holds)],
    ...totals,
    providerBasis: sumBases([charges.providerBasis, ...adjustments.map(({ basis }) => basis)]),
    providerFaults: charges.providerFaults,
    slaCredits: Money.sum(
      charges.lines.filter((line) => line.kind === 'sla_credit').map((line) => line.amount),
      customer.currency,
    ),
    inputDigest: digestOfInvoiceInputs(inputs),
  };
}

function digestOfInvoiceInputs(inputs: InvoiceInputs): string {
  return digestOf({
    current: digestOfPeriodInputs(inputs.current),
    closed: inputs.closed.map((closed) => ({
      invoice_id: closed.invoiceId,
      then: digestOfPeriodInputs(closed.then),
      now: digestOfPeriodInputs(closed.now),
      earlier: closed.earlier.map((one) => ({
        line_id: one.lineId,
        amount: one.amount.toJSON(),
        gpu_time: one.gpuTime,
      })),
    })),
  });
}

interface Adjustment {
  readonly line: InvoiceLine | undefined;
  readonly holds: readonly Hold[];
  readonly basis: ReadonlyMap<string, Fraction>;
}

/** The difference between what is known now and what was charged then, less what was corrected before (rule 13). */
function adjustPeriod(closed: ClosedPeriod): Adjustment {
  const then = chargePeriod(closed.then);
  const now = chargePeriod(closed.now);
  const earlier = Money.sum(
    closed.earlier.map((one) => one.amount),
    now.net.currency,
  );
  const amount = now.net.minus(then.net).minus(earlier);
  const before = sum([billedTime(then), ...closed.earlier.map((one) => one.gpuTime)]);
  const gpuTime = minus(billedTime(now), before) as GpuTime;
  const basis = subtractBases(now.providerBasis, [
    then.providerBasis,
    ...closed.earlier.map((one) => one.providerBasis),
  ]);
  if (amount.isZero() && gpuTime.numerator === 0n) return { line: undefined, holds: now.holds, basis };
  return {
    line: adjustmentLine(closed, { amount, gpuTime, then, now, earlier, basis }),
    holds: now.holds,
    basis,
  };
}

interface Difference {
  readonly amount: Money;
  readonly gpuTime: GpuTime;
  readonly then: PeriodCharges;
  readonly now: PeriodCharges;
  readonly earlier: Money;
  readonly basis: ReadonlyMap<string, Fraction>;
}

function adjustmentLine(closed: ClosedPeriod, difference: Difference): InvoiceLine {
  const { amount, then, now, earlier } = difference;
  const { month, start, end } = closed.then.period;
  return {
    key: `adjustment:${closed.invoiceId}`,
    kind: 'adjustment',
    description: `Adjustment for ${month}, invoice ${closed.number}: usage that was reported late`,
    gpuTime: difference.gpuTime,
    unitPrice: undefined,
    amount,
    formula: `${now.net.toAmountText()} − ${then.net.toAmountText()} charged − ${earlier.toAmountText()} adjusted before`,
    priceVersion: '',
    parts: [],
    intervals: [],
    details: {
      period: { month, start, end },
      invoice_id: closed.invoiceId,
      invoice_number: closed.number,
      leases: changedLeases(closed),
      provider_basis: Object.fromEntries(
        [...difference.basis].map(([provider, basis]) => [provider, formatFraction(basis)]),
      ),
    },
  };
}

/** The leases that are known otherwise now. */
function changedLeases(closed: ClosedPeriod): unknown[] {
  const describe = (inputs: PeriodInputs) =>
    new Map(
      foldLeases(inputs.leaseEvents).map((lease) => [
        lease.leaseId,
        {
          state: lease.state,
          started_at: lease.segments[0]?.start ?? null,
          ended_at: lease.segments.at(-1)?.end ?? null,
        },
      ]),
    );
  const then = describe(closed.then);
  return [...describe(closed.now)]
    .filter(([id, now]) => JSON.stringify(then.get(id)) !== JSON.stringify(now))
    .map(([id, now]) => ({ lease_id: id, then: then.get(id) ?? null, now }));
}

function billedTime(charges: PeriodCharges): GpuTime {
  return sumTimes(charges.lines.filter((line) => line.kind === 'usage').map((line) => line.gpuTime));
}

function taxLine(tax: Money, profile: TaxProfile | undefined, net: Money): InvoiceLine[] {
  if (profile === undefined || profile.inclusive || tax.isZero()) return [];
  const percent = `${plainDecimal({ ...profile.rate, numerator: profile.rate.numerator * 100n })} %`;
  return [
    {
      key: 'tax',
      kind: 'tax',
      description: `Tax ${percent}`,
      gpuTime: NO_GPU_TIME,
      unitPrice: undefined,
      amount: tax,
      formula: `${percent} × ${net.toAmountText()}`,
      priceVersion: '',
      parts: [],
      intervals: [],
      details: { rate: plainDecimal(profile.rate) },
    },
  ];
}
