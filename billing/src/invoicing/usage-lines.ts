/** Lines of usage at one price each, the discounts on them, and what providers earned by them. */
import {
  add,
  compare,
  fraction,
  gpuHours,
  Money,
  NO_GPU_TIME,
  over,
  times,
  ZERO,
  type Fraction,
} from '@poolmeter/domain';
import { plainDecimal } from '../rating/plain-decimal.js';
import type { InvoiceLine } from './invoice-line.js';
import { exactChargeOf, whatOf, type PricedGroup } from './priced-groups.js';

export function usageLine(group: PricedGroup, currency: string): InvoiceLine {
  const { price, rating } = group;
  const window = price.window === '' ? {} : { window: price.window };
  return {
    key: `usage:${group.key}`,
    kind: 'usage',
    description: `${whatOf(group)}, ${price.versionLabel}`,
    gpuTime: group.gpuTime,
    unitPrice: price.unitPrice,
    amount: Money.round(rating.amount, currency),
    formula: rating.parts
      .map((part) => `${plainDecimal(part.gpuHours)} GPU-h × ${plainDecimal(part.perGpuHour)}`)
      .join(' + '),
    priceVersion: price.versionLabel,
    parts: rating.parts,
    intervals: group.intervals,
    details: { rate: price.rate.source, ...window },
  };
}

/** The discount on a list-price line, rounded once. */
export function discountLine(group: PricedGroup, currency: string): InvoiceLine[] {
  const { discount } = group.price;
  if (discount === undefined || compare(discount, ZERO) === 0) return [];
  const { amount } = group.rating;
  const percent = `${plainDecimal(times(discount, fraction(100n)))} %`;
  return [
    {
      key: `discount:${group.key}`,
      kind: 'discount',
      description: `Discount of ${percent} on ${whatOf(group)}`,
      gpuTime: NO_GPU_TIME,
      unitPrice: undefined,
      amount: Money.round(times(amount, discount), currency).negated(),
      formula: `−${percent} × ${plainDecimal(amount)}`,
      priceVersion: group.price.versionLabel,
      parts: [],
      intervals: [],
      details: { percent, on_line_key: `usage:${group.key}` },
    },
  ];
}

/** The charge of each group, shared out to providers by the GPU time that their hardware gave to it. */
export function basisOfProviders(groups: readonly PricedGroup[]): Map<string, Fraction> {
  const basis = new Map<string, Fraction>();
  for (const group of groups) {
    const charge = exactChargeOf(group);
    const whole = gpuHours(group.gpuTime);
    for (const [provider, time] of group.timeOfProviders) {
      const isAll = group.timeOfProviders.size === 1;
      const part = isAll ? charge : times(charge, over(gpuHours(time), whole));
      basis.set(provider, add(basis.get(provider) ?? ZERO, part));
    }
  }
  return basis;
}
