/**
 * What real GPU clouds promise (research of July 2026), as contract data: a month of one GPU at 1.00 per hour, and what an
 * outage of so many minutes gives back. A 31-day month has 44,640 minutes, so 44.64 of them are 0.1 %.
 */
import { describe, expect, it } from 'vitest';
import type { z } from 'zod';
import { computeInvoice } from '../invoicing/compute-invoice.js';
import { sampleContract, sampleInputs, sampleLeases, sampleVerdict } from '../sample-world.js';
import type { slaSchema } from './sla-terms.js';

type Sla = z.input<typeof slaSchema>;

const tier = (uptime_below_percent: string, credit_percent: string) => ({
  uptime_below_percent,
  credit_percent,
});

const coreweave: Sla = {
  id: 'CoreWeave, single region 99 %',
  unit: 'gpu',
  impacts: [{ impact: 'outage', codes: ['gpu-lost', 'node-silent'] }],
  target_percent: '99',
  remedy: { prorated: true },
  cap_percent: '50',
  claim: { days: 10, from: 'incident' },
};
const nebiusVm: Sla = {
  id: 'Nebius VM 99.5 %',
  unit: 'gpu',
  covers: { pricing_modes: ['on_demand', 'reserved'] },
  remedy: { tiers: [tier('99.5', '10'), tier('99', '30')] },
  claim: { days: 14, from: 'month_end' },
};
const nebiusKubernetes: Sla = {
  id: 'Nebius Kubernetes 99.9 %, five minutes or more',
  unit: 'customer',
  threshold: { minutes: '4.999', per: 'event' },
  remedy: { tiers: [tier('99.9', '10'), tier('95', '25')] },
};
const nebiusObjects: Sla = {
  id: 'Nebius object storage',
  unit: 'customer',
  remedy: { tiers: [tier('99.98', '10'), tier('99', '15'), tier('90', '30')] },
};
const crusoe: Sla = {
  id: 'Crusoe, amount unreadable',
  unit: 'gpu',
  remedy: { undefined: true },
  claim: { days: 30, from: 'incident' },
};
const voltagePark: Sla = {
  id: 'Voltage Park VM, capped by the month',
  unit: 'node',
  remedy: { prorated: true },
  cap_percent: '100',
  claim: { days: 30, from: 'incident' },
  apply_within_days: 60,
};
const awsP5: Sla = {
  id: 'AWS P5, instance 99.5 %',
  unit: 'node',
  remedy: { tiers: [tier('99.5', '10'), tier('99', '30'), tier('95', '100')] },
  claim: { days: 60, from: 'billing_cycle' },
};
const googleA3: Sla = {
  id: 'Google A3 99.9 %',
  unit: 'node',
  remedy: { tiers: [tier('99.9', '10'), tier('99', '25'), tier('95', '100')] },
  claim: { days: 60, from: 'incident' },
};
const azureNd: Sla = { ...googleA3, id: 'Azure ND 99.9 %', claim: { days: 60, from: 'billing_cycle' } };
const buzz: Sla = {
  id: 'BUZZ, under a minute ignored, upstream excluded',
  unit: 'gpu',
  threshold: { minutes: '1', per: 'event' },
  upstream_codes: ['upstream-transit'],
  remedy: { prorated: true },
};
const rolling: Sla = {
  id: 'storage over 30 rolling days',
  unit: 'customer',
  window: 'rolling_30_days',
  remedy: { tiers: [tier('99.99', '10')] },
};
const goodwill: Sla = { id: 'goodwill', unit: 'gpu', remedy: { goodwill: true } };
const claimed: Sla = { ...voltagePark, id: 'only on claim', auto_credit: false };
const smallest: Sla = { ...voltagePark, id: 'at least 5.00', minimum_credit: '5.00' };

/** The outage begins on 5 March at noon; the month costs 744.00. */
function creditFor(
  sla: Sla,
  minutes: number,
  code = 'node-silent',
  blame: 'hardware' | 'application' = 'hardware',
) {
  const from = Date.parse('2026-03-05T12:00:00Z');
  const to = new Date(from + minutes * 60_000).toISOString();
  const invoice = computeInvoice({
    current: sampleInputs({
      leaseEvents: sampleLeases([{ id: 'L1', from: '2026-03-01T00:00:00Z', to: '2026-04-01T00:00:00Z' }]),
      verdicts: [sampleVerdict({ billingClass: 'C', from: new Date(from).toISOString(), to, code, blame })],
      contracts: [sampleContract({ fault_time: 'bill', sla: [sla] })],
    }),
    closed: [],
  });
  const credit = invoice.lines.find((line) => line.kind === 'sla_credit');
  return credit?.amount.toAmountText() ?? invoice.holds[0]?.reason ?? 'none';
}

describe('promises of GPU clouds', () => {
  it.each([
    { sla: coreweave, minutes: 600, gives: '-10.00', why: 'ten hours at 1.00' },
    { sla: coreweave, minutes: 30_000, gives: '-372.00', why: 'half of the month at most' },
    { sla: nebiusVm, minutes: 223, gives: 'none', why: '99.5004 %' },
    { sla: nebiusVm, minutes: 224, gives: '-74.40', why: '99.498 %: 10 %' },
    { sla: nebiusVm, minutes: 500, gives: '-223.20', why: '98.88 %: 30 %' },
    { sla: nebiusKubernetes, minutes: 4, gives: 'none', why: 'too short to count' },
    { sla: nebiusKubernetes, minutes: 44, gives: 'none', why: '99.901 %' },
    { sla: nebiusKubernetes, minutes: 45, gives: '-74.40', why: '99.899 %: 10 %' },
    { sla: nebiusKubernetes, minutes: 2_300, gives: '-186.00', why: '94.8 %: 25 %' },
    { sla: nebiusObjects, minutes: 9, gives: '-74.40', why: '99.9798 %: 10 %' },
    { sla: nebiusObjects, minutes: 5_000, gives: '-223.20', why: '88.8 %: 30 %' },
    { sla: crusoe, minutes: 60, gives: 'amount_undefined', why: 'nothing is made up' },
    { sla: voltagePark, minutes: 90, gives: '-1.50', why: 'an hour and a half' },
    { sla: awsP5, minutes: 224, gives: '-74.40', why: '10 %' },
    { sla: awsP5, minutes: 2_300, gives: '-744.00', why: 'below 95 %: all of it' },
    { sla: googleA3, minutes: 45, gives: '-74.40', why: '10 %' },
    { sla: googleA3, minutes: 500, gives: '-186.00', why: '25 %' },
    { sla: azureNd, minutes: 2_300, gives: '-744.00', why: '100 %' },
    { sla: buzz, minutes: 1, gives: 'none', why: 'not more than a minute' },
    { sla: buzz, minutes: 30, gives: '-0.50', why: 'prorated' },
    {
      sla: rolling,
      minutes: 4,
      gives: 'none',
      why: '30 days are 43,200 minutes: 99.9907 %, began before the last 30 days or not',
    },
    { sla: rolling, minutes: 5, gives: '-74.40', why: '99.9884 %' },
    { sla: goodwill, minutes: 60, gives: 'goodwill_review', why: 'people decide' },
    { sla: claimed, minutes: 60, gives: 'goodwill_review', why: 'not by itself' },
    { sla: smallest, minutes: 299, gives: 'none', why: '4.98 is too little' },
    { sla: smallest, minutes: 300, gives: '-5.00', why: 'just enough' },
  ])('$sla.id: $minutes min give $gives ($why)', ({ sla, minutes, gives }) => {
    expect(creditFor(sla, minutes)).toBe(gives);
  });

  it('what the customer, or a network upstream, caused does not count', () => {
    expect(creditFor(voltagePark, 90, 'xid-13', 'application')).toBe('none');
    expect(creditFor(buzz, 90, 'upstream-transit')).toBe('none');
    expect(creditFor(coreweave, 600, 'gpu-hot')).toBe('none');
  });

  it('a credit and an exclusion of the same time do not add up: what is not charged gives no prorated credit', () => {
    const invoice = computeInvoice({
      current: sampleInputs({
        leaseEvents: sampleLeases([{ id: 'L1', from: '2026-03-01T00:00:00Z', to: '2026-04-01T00:00:00Z' }]),
        verdicts: [
          sampleVerdict({ billingClass: 'C', from: '2026-03-05T12:00:00Z', to: '2026-03-05T14:00:00Z' }),
        ],
        contracts: [sampleContract({ sla: [voltagePark] })],
      }),
      closed: [],
    });
    expect(invoice.lines.map((line) => [line.kind, line.amount.toAmountText()])).toEqual([
      ['usage', '742.00'],
      ['excluded', '0.00'],
    ]);
  });
});
