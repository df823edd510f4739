/** The worked examples of the billing rules, by their names. Amounts are exact. */
import {
  Money,
  parseFraction,
  splitByLargestRemainder,
  formatGpuHours,
  fraction,
  gpuTimeOf,
  interval,
} from '@poolmeter/domain';
import { describe, expect, it } from 'vitest';
import { adjustedPeriod } from './invoicing/adjusted-period.js';
import { computeInvoice, type ComputedInvoice } from './invoicing/compute-invoice.js';
import { billingPeriod } from './invoicing/period.js';
import type { PeriodInputs } from './invoicing/period-inputs.js';
import type { z } from 'zod';
import type { Maintenance } from './sla/assess-sla.js';
import type { slaSchema } from './sla/sla-terms.js';
import {
  at,
  sampleBook,
  sampleContract,
  sampleInputs,
  sampleLease,
  sampleLeases,
  sampleVerdict,
} from './sample-world.js';

type SlaInput = z.input<typeof slaSchema>;

function invoiceOf(inputs: Partial<PeriodInputs> & { month?: string; zone?: string }): ComputedInvoice {
  return computeInvoice({ current: sampleInputs(inputs), closed: [] });
}

function hoursOf(invoice: ComputedInvoice, kind: string): string[] {
  return invoice.lines.filter((line) => line.kind === kind).map((line) => formatGpuHours(line.gpuTime));
}

describe('worked examples', () => {
  it('plain: 2.5 GPU-h at 2.50 are 6.25', () => {
    const invoice = invoiceOf({
      leaseEvents: sampleLeases([{ id: 'L1', from: '2026-03-01T00:00:00Z', to: '2026-03-01T02:30:00Z' }]),
      books: [sampleBook([{ per_gpu_hour: '2.50' }])],
    });
    expect(hoursOf(invoice, 'usage')).toEqual(['2.500000000']);
    expect(invoice.total.toString()).toBe('6.25 USD');
  });

  it('seventh: a seventh for 1 h at 2.00 is 0.29; seven on one line are exactly 2.00', () => {
    const books = [sampleBook([{ per_gpu_hour: '2.00' }])];
    const seventh = (id: string) => ({
      id,
      from: '2026-03-01T00:00:00Z',
      to: '2026-03-01T01:00:00Z',
      share: '1/7',
    });
    const one = invoiceOf({ leaseEvents: sampleLeases([seventh('L1')]), books });
    expect(one.total.toString()).toBe('0.29 USD');
    const seven = invoiceOf({
      leaseEvents: sampleLeases(['1', '2', '3', '4', '5', '6', '7'].map((id) => seventh(id))),
      books,
    });
    expect(seven.lines).toHaveLength(1);
    expect(seven.lines[0]!.intervals).toHaveLength(7);
    expect(seven.total.toString()).toBe('2.00 USD');
  });

  it('xid 79: 1.5 h billed at 3.00, 0.5 h excluded with the kernel log line', () => {
    const invoice = invoiceOf({
      leaseEvents: sampleLeases([{ id: 'L1', from: '2026-03-05T10:00:00Z', to: '2026-03-05T12:00:00Z' }]),
      verdicts: [
        sampleVerdict({
          billingClass: 'C',
          from: '2026-03-05T10:40:00.250Z',
          to: '2026-03-05T11:10:00.250Z',
          incidentId: 'inc_79',
        }),
      ],
      books: [sampleBook([{ per_gpu_hour: '3.00' }])],
    });
    expect(hoursOf(invoice, 'usage')).toEqual(['1.500000000']);
    expect(hoursOf(invoice, 'excluded')).toEqual(['0.500000000']);
    expect(invoice.total.toString()).toBe('4.50 USD');
    const excluded = invoice.lines.find((line) => line.kind === 'excluded')!;
    expect(excluded.amount.isZero()).toBe(true);
    expect(excluded.details['incidents']).toMatchObject([
      { incident_id: 'inc_79', evidence: expect.stringContaining('fallen off the bus') as string },
    ]);
    expect(excluded.details['not_charged']).toEqual({ amount: '1.50', currency: 'USD' });
  });

  it('price change: half an hour at 2.00 and an hour at 1.80 are 2.80', () => {
    const invoice = invoiceOf({
      leaseEvents: sampleLeases([{ id: 'L1', from: '2026-03-05T11:30:00Z', to: '2026-03-05T13:00:00Z' }]),
      books: [
        sampleBook([{ per_gpu_hour: '2.00' }]),
        sampleBook([{ per_gpu_hour: '1.80' }], { version: 2, from: '2026-03-05T12:00:00Z' }),
      ],
    });
    expect(invoice.lines.map((line) => line.amount.toAmountText())).toEqual(['1.00', '1.80']);
    expect(invoice.total.toString()).toBe('2.80 USD');
  });

  it('spring forward: the day is 23 GPU-h long and March 743 h', () => {
    const zone = 'Europe/Berlin';
    const march = billingPeriod('2026-03', zone);
    expect(formatGpuHours(gpuTimeOf(fraction(1n), march))).toBe('743.000000000');
    const invoice = invoiceOf({
      zone,
      leaseEvents: sampleLeases([
        { id: 'L1', from: '2026-03-29T00:00:00+01:00', to: '2026-03-30T00:00:00+02:00' },
      ]),
    });
    expect(hoursOf(invoice, 'usage')).toEqual(['23.000000000']);
    expect(invoice.total.toString()).toBe('23.00 USD');
  });

  it('thirds: three equal intervals on a line of 10.00 are 3.34 + 3.33 + 3.33', () => {
    const third = gpuTimeOf(fraction(1n), interval(at('2026-03-01T00:00:00Z'), at('2026-03-01T01:00:00Z')));
    const parts = splitByLargestRemainder(Money.of('10.00', 'USD'), [third, third, third]);
    expect(parts.map((part) => part.toAmountText())).toEqual(['3.34', '3.33', '3.33']);
  });

  it('late end: an end that arrives after March is final adjusts April, which names March', () => {
    const start = sampleLease({ id: 'L1', from: '2026-03-30T00:00:00Z' }, 1n);
    const both = sampleLease({ id: 'L1', from: '2026-03-30T00:00:00Z', to: '2026-03-31T00:00:00Z' }, 1n);
    const march = sampleInputs({ leaseEvents: start, leasePosition: 1n });
    const marchInvoice = computeInvoice({ current: march, closed: [] });
    expect(marchInvoice.total.toString()).toBe('48.00 USD');
    const april = computeInvoice({
      current: sampleInputs({ month: '2026-04', leaseEvents: both, leasePosition: 2n }),
      closed: [
        {
          invoiceId: 'inv_march',
          number: 'PM-000001',
          then: march,
          now: adjustedPeriod(march, { leaseEvents: both, leasePosition: 2n, overlapping: [] }),
          earlier: [],
        },
      ],
    });
    expect(april.lines).toHaveLength(1);
    expect(april.lines[0]).toMatchObject({ kind: 'adjustment' });
    expect(april.lines[0]!.description).toContain('2026-03');
    expect(formatGpuHours(april.lines[0]!.gpuTime)).toBe('-24.000000000');
    expect(april.total.toString()).toBe('-24.00 USD');
    expect(computeInvoice({ current: march, closed: [] }).inputDigest).toBe(marchInvoice.inputDigest);
  });

  const tiers = [
    { up_to_gpu_hours: '100', per_gpu_hour: '2.00' },
    { up_to_gpu_hours: '1000', per_gpu_hour: '1.80' },
    { per_gpu_hour: '1.50' },
  ];
  /** Two GPUs for 25 days are 1,200 GPU-hours. */
  const twelveHundredHours = sampleLeases([
    { id: 'L1', gpu: 'GPU-1', from: '2026-03-01T00:00:00Z', to: '2026-03-26T00:00:00Z' },
    { id: 'L2', gpu: 'GPU-2', from: '2026-03-01T00:00:00Z', to: '2026-03-26T00:00:00Z' },
  ]);

  it('graduated: 200 + 1,620 + 300 = 2,120.00', () => {
    const invoice = invoiceOf({
      leaseEvents: twelveHundredHours,
      books: [sampleBook([{ graduated: tiers }])],
    });
    expect(invoice.lines[0]!.formula).toBe('100 GPU-h × 2 + 900 GPU-h × 1.8 + 200 GPU-h × 1.5');
    expect(invoice.total.toString()).toBe('2120.00 USD');
  });

  it('volume: the same bounds give 1,800.00', () => {
    const invoice = invoiceOf({ leaseEvents: twelveHundredHours, books: [sampleBook([{ volume: tiers }])] });
    expect(invoice.total.toString()).toBe('1800.00 USD');
  });

  it('commitment: minimum 5,000.00 and usage 4,321.09 give a true-up of 678.91', () => {
    const invoice = invoiceOf({
      leaseEvents: sampleLeases([{ id: 'L1', from: '2026-03-01T00:00:00Z', to: '2026-03-01T01:00:00Z' }]),
      books: [sampleBook([{ per_gpu_hour: '4321.09' }])],
      contracts: [sampleContract({ minimum_spend: '5000.00' })],
    });
    const trueUp = invoice.lines.find((line) => line.kind === 'commitment')!;
    expect(trueUp.amount.toString()).toBe('678.91 USD');
    expect(invoice.total.toString()).toBe('5000.00 USD');
  });

  it('burst: 100 GPU-h committed at 2.00, 145 h used, burst at 3.00: 335.00', () => {
    const committed = { gpu_hours: '100', per_gpu_hour: '2.00', burst_per_gpu_hour: '3.00' };
    const invoice = invoiceOf({
      leaseEvents: sampleLeases([{ id: 'L1', from: '2026-03-01T00:00:00Z', to: '2026-03-07T01:00:00Z' }]),
      contracts: [sampleContract({ rates: [{ committed }] })],
    });
    expect(invoice.lines.map((line) => [line.kind, line.amount.toAmountText()])).toEqual([
      ['usage', '135.00'],
      ['commitment', '200.00'],
    ]);
    expect(invoice.total.toString()).toBe('335.00 USD');
  });

  /** 31 days at 1.00 per hour on one GPU; the outage is the only thing that goes wrong. */
  function creditOf(
    outage: { from: string; to: string },
    sla: Partial<SlaInput>,
    maintenance: Maintenance[] = [],
  ) {
    const invoice = invoiceOf({
      leaseEvents: sampleLeases([{ id: 'L1', from: '2026-03-01T00:00:00Z', to: '2026-04-01T00:00:00Z' }]),
      verdicts: [sampleVerdict({ billingClass: 'C', ...outage })],
      contracts: [
        sampleContract({
          fault_time: 'bill',
          sla: [{ id: 'uptime', unit: 'gpu', remedy: { flat: { amount: '10.00', per: 'event' } }, ...sla }],
        }),
      ],
      maintenance,
    });
    const line = invoice.lines.find((one) => one.kind === 'sla_credit');
    return { amount: line?.amount.toAmountText() ?? 'none', details: line?.details };
  }

  it.each([
    { lasts: '30 min 0 s', to: '2026-03-05T10:30:00Z', credit: 'none' },
    { lasts: '30 min 0.001 s', to: '2026-03-05T10:30:00.001Z', credit: '-10.00' },
  ])('threshold: an outage of $lasts gives $credit', ({ to, credit }) => {
    const threshold = { minutes: '30', per: 'event' as const };
    expect(creditOf({ from: '2026-03-05T10:00:00Z', to }, { threshold }).amount).toBe(credit);
  });

  it('maintenance: announced 02:00–03:00, back at 03:20: 60 minutes excluded, 20 count', () => {
    const announced = {
      id: 'm1',
      pool: '*',
      node: '*',
      gpuUuid: '*',
      announcedAt: at('2026-03-03T02:00:00Z'),
      start: at('2026-03-05T02:00:00Z'),
      end: at('2026-03-05T03:00:00Z'),
    };
    const outage = { from: '2026-03-05T02:00:00Z', to: '2026-03-05T03:20:00Z' };
    const terms = { maintenance_notice_hours: 24 };
    expect(creditOf(outage, terms, [announced]).details).toMatchObject({ units: [{ down_minutes: '20' }] });
    const late = { ...announced, announcedAt: at('2026-03-04T02:00:00.001Z') };
    expect(creditOf(outage, terms, [late]).details).toMatchObject({ units: [{ down_minutes: '80' }] });
  });

  it('terms mismatch: 100 h signed, 150 h configured, 118 h used: both results, held', () => {
    const commit = (gpu_hours: string) => [
      { committed: { gpu_hours, per_gpu_hour: '2.00', burst_per_gpu_hour: '3.00' } },
    ];
    const invoice = invoiceOf({
      leaseEvents: sampleLeases([{ id: 'L1', from: '2026-03-01T00:00:00Z', to: '2026-03-05T22:00:00Z' }]),
      contracts: [sampleContract({ rates: commit('150'), signed: { rates: commit('100') } })],
    });
    expect(invoice.holds).toMatchObject([{ reason: 'terms_mismatch' }]);
    expect(invoice.holds[0]!.description).toBe(
      'Contract acme-2026: 254.00 USD with a burst of 18 GPU-h by the signed terms, 300.00 USD with a burst of 0 GPU-h by the configured ones.',
    );
    expect(invoice.holds[0]!.blocked?.toString()).toBe('46.00 USD');
  });
});

describe('beside the worked examples', () => {
  /** 07:00 to 21:00 in Berlin, in winter: one hour before, twelve within, one after the window. */
  it('time of use: 12 h by day at 3.00 and 2 h at 1.00 are 38.00', () => {
    const windows = [{ name: 'day', from: '08:00', to: '20:00', per_gpu_hour: '3.00' }];
    const invoice = invoiceOf({
      leaseEvents: sampleLeases([{ id: 'L1', from: '2026-03-05T06:00:00Z', to: '2026-03-05T20:00:00Z' }]),
      books: [sampleBook([{ time_of_use: { zone: 'Europe/Berlin', per_gpu_hour: '1.00', windows } }])],
    });
    expect(invoice.lines.map((line) => [line.description, line.amount.toAmountText()])).toEqual([
      ['H100, pool main, on_demand, day, book 1', '36.00'],
      ['H100, pool main, on_demand, other hours, book 1', '2.00'],
    ]);
  });

  it.each([
    // Berlin: 02:00 to 03:00 is skipped on 29 March and lasts two hours on 25 October.
    {
      day: 'spring',
      from: '2026-03-28T23:00:00Z',
      to: '2026-03-29T22:00:00Z',
      month: '2026-03',
      total: '23.00',
    },
    {
      day: 'autumn',
      from: '2026-10-24T22:00:00Z',
      to: '2026-10-25T23:00:00Z',
      month: '2026-10',
      total: '43.00',
    },
  ])('time of use: the hour of the clock change, $day', ({ from, to, month, total }) => {
    const windows = [{ name: 'night', from: '02:00', to: '03:00', per_gpu_hour: '10.00' }];
    const invoice = invoiceOf({
      month,
      leaseEvents: sampleLeases([{ id: 'L1', from, to }]),
      books: [sampleBook([{ time_of_use: { zone: 'Europe/Berlin', per_gpu_hour: '1.00', windows } }])],
    });
    expect(invoice.total.toAmountText()).toBe(total);
  });

  it.each([
    { lasts: '1 s', to: '2026-03-05T10:00:01Z', charged: '1.00' },
    { lasts: '60 s', to: '2026-03-05T10:01:00Z', charged: '1.00' },
    { lasts: '60.001 s', to: '2026-03-05T10:01:00.001Z', charged: '1.50' },
    { lasts: '91 s', to: '2026-03-05T10:01:31Z', charged: '2.00' },
    { lasts: 'no time', to: '2026-03-05T10:00:00Z', charged: '0.00' },
  ])('minimum 60 s, increments of 30 s: $lasts at 60.00 is $charged', ({ to, charged }) => {
    const invoice = invoiceOf({
      leaseEvents: sampleLeases([{ id: 'L1', from: '2026-03-05T10:00:00Z', to }]),
      books: [sampleBook([{ per_gpu_hour: '60.00' }])],
      contracts: [sampleContract({ minimum_duration_s: '60', increment_s: '30' })],
    });
    expect(invoice.total.toAmountText()).toBe(charged);
  });

  it('an absolute discount takes charges to zero at most, and a fee comes on top', () => {
    const fees = [{ id: 'desk', description: 'Support desk', amount: '4.00' }];
    const invoice = invoiceOf({
      leaseEvents: sampleLeases([{ id: 'L1', from: '2026-03-01T00:00:00Z', to: '2026-03-01T10:00:00Z' }]),
      contracts: [sampleContract({ discount_amount: '25.00', fees })],
    });
    expect(invoice.lines.map((line) => [line.kind, line.amount.toAmountText()])).toEqual([
      ['usage', '10.00'],
      ['discount', '-10.00'],
      ['fee', '4.00'],
    ]);
  });

  it.each([
    { says: 'exclusive', inclusive: false, subtotal: '6.25', tax: '1.19', total: '7.44' },
    { says: 'inclusive', inclusive: true, subtotal: '5.25', tax: '1.00', total: '6.25' },
  ])('tax of 19 %, $says', ({ inclusive, subtotal, tax, total }) => {
    const world = sampleInputs({
      leaseEvents: sampleLeases([{ id: 'L1', from: '2026-03-01T00:00:00Z', to: '2026-03-01T02:30:00Z' }]),
      books: [sampleBook([{ per_gpu_hour: '2.50' }])],
    });
    const profile = { rate: parseFraction('0.19'), inclusive, exemption: '' };
    const invoice = computeInvoice({
      current: { ...world, customer: { ...world.customer, tax: profile } },
      closed: [],
    });
    expect(invoice.subtotal.toAmountText()).toBe(subtotal);
    expect(invoice.tax.toAmountText()).toBe(tax);
    expect(invoice.total.toAmountText()).toBe(total);
    const lines = Money.sum(
      invoice.lines.map((line) => line.amount),
      'USD',
    );
    expect(lines.toString()).toBe(invoice.total.toString());
  });

  it('a discount of 10 % on list prices is a line of its own', () => {
    const invoice = invoiceOf({
      leaseEvents: sampleLeases([{ id: 'L1', from: '2026-03-01T00:00:00Z', to: '2026-03-01T10:00:00Z' }]),
      contracts: [sampleContract({ discount: '0.10' })],
    });
    expect(invoice.lines.map((line) => [line.kind, line.amount.toAmountText()])).toEqual([
      ['usage', '10.00'],
      ['discount', '-1.00'],
    ]);
  });

  it('the most specific rate wins, and a contract goes before the book', () => {
    const leaseEvents = sampleLeases([
      { id: 'L1', from: '2026-03-01T00:00:00Z', to: '2026-03-01T01:00:00Z' },
      { id: 'L2', gpu: 'GPU-2', model: 'L40S', from: '2026-03-01T00:00:00Z', to: '2026-03-01T01:00:00Z' },
    ]);
    const books = [
      sampleBook([
        { per_gpu_hour: '1.00' },
        { gpu_model: 'H100', per_gpu_hour: '5.00' },
        { pool: 'main', pricing_mode: 'on_demand', per_gpu_hour: '3.00' },
      ]),
    ];
    expect(invoiceOf({ leaseEvents, books }).total.toString()).toBe('8.00 USD');
    const contracts = [sampleContract({ rates: [{ gpu_model: 'H100', per_gpu_hour: '4.00' }] })];
    expect(invoiceOf({ leaseEvents, books, contracts }).total.toString()).toBe('7.00 USD');
  });

  it('a GPU without a price is named, never charged as zero', () => {
    const invoice = invoiceOf({
      leaseEvents: sampleLeases([{ id: 'L1', from: '2026-03-01T00:00:00Z', to: '2026-03-01T01:00:00Z' }]),
      books: [sampleBook([{ gpu_model: 'A100', per_gpu_hour: '1.00' }])],
    });
    expect(invoice.holds).toMatchObject([
      { reason: 'missing_price', description: expect.stringContaining('H100 (GPU-1)') as string },
    ]);
  });

  it('an undecided fault is held: neither charged nor waived', () => {
    const invoice = invoiceOf({
      leaseEvents: sampleLeases([{ id: 'L1', from: '2026-03-01T00:00:00Z', to: '2026-03-01T02:00:00Z' }]),
      verdicts: [sampleVerdict({ billingClass: 'H', from: '2026-03-01T01:00:00Z' })],
    });
    expect(invoice.total.toString()).toBe('1.00 USD');
    expect(invoice.holds).toMatchObject([{ reason: 'incident_not_final' }]);
    expect(invoice.holds[0]!.blocked?.toString()).toBe('1.00 USD');
  });
});
