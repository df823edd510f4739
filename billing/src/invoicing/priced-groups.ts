/** Which price covers which interval, and what such a group of intervals is charged. */
import {
  add,
  gpuHours,
  minus,
  Money,
  ONE,
  times,
  toDecimalText,
  ZERO,
  type Fraction,
} from '@poolmeter/domain';
import { sumTimes, type MeteredInterval } from '../metering/meter-leases.js';
import { resolvePrice, type ResolvedPrice } from '../rating/price-book.js';
import { rateUsage } from '../rating/rate-usage.js';
import type { PeriodInputs } from './period-inputs.js';

/** Intervals that one price covers, and that stand on one line. */
export interface PricedGroup {
  readonly key: string;
  readonly price: ResolvedPrice;
  readonly intervals: readonly MeteredInterval[];
}

/** Finds the price of each interval; those without one are given back by themselves. */
export function groupByPrice(
  intervals: readonly MeteredInterval[],
  inputs: PeriodInputs,
): { groups: PricedGroup[]; unpriced: MeteredInterval[] } {
  const pricing = {
    currency: inputs.customer.currency,
    books: inputs.books,
    contracts: inputs.contracts,
  };
  const groups = new Map<string, { price: ResolvedPrice; intervals: MeteredInterval[] }>();
  const unpriced: MeteredInterval[] = [];
  for (const one of intervals) {
    const price = resolvePrice(one.lease, one.span.start, pricing);
    if (price === undefined) {
      unpriced.push(one);
      continue;
    }
    const key = JSON.stringify([
      price.versionLabel,
      price.rateIndex,
      price.discount === undefined ? '' : toDecimalText(price.discount, 9),
      ...placeOf(one, price),
    ]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { price, intervals: [one] });
    else group.intervals.push(one);
  }
  const inOrder = [...groups].sort(([a], [b]) => (a < b ? -1 : 1));
  return { groups: inOrder.map(([key, group]) => ({ key, ...group })), unpriced };
}

/** A flat price gives a line per kind of GPU; tiers and commitments count everything that their rate covers together. */
function placeOf({ lease }: MeteredInterval, price: ResolvedPrice): string[] {
  return price.rate.shape.kind === 'flat' ? [lease.gpuModel, lease.pool, lease.pricingMode] : [];
}

/** What intervals would cost at flat prices; undefined when that is not one number. */
export function worthOf(intervals: readonly MeteredInterval[], inputs: PeriodInputs): Money | undefined {
  const { groups, unpriced } = groupByPrice(intervals, inputs);
  if (unpriced.length > 0 || groups.some((group) => group.price.rate.shape.kind !== 'flat')) return undefined;
  const amounts = groups.map((group) => exactChargeOf(group));
  return Money.round(amounts.reduce(add, ZERO), inputs.customer.currency);
}

/** Exact, after the discount. */
export function exactChargeOf(group: PricedGroup): Fraction {
  const hours = gpuHours(sumTimes(group.intervals.map((one) => one.gpuTime)));
  const { amount } = rateUsage(hours, group.price.rate.shape);
  return times(amount, minus(ONE, group.price.discount ?? ZERO));
}

/** The words for a group on an invoice. */
export function whatOf(group: PricedGroup): string {
  const lease = group.intervals[0]?.lease;
  if (group.price.rate.shape.kind === 'flat')
    return `${lease?.gpuModel ?? ''}, pool ${lease?.pool ?? ''}, ${lease?.pricingMode ?? ''}`;
  const { gpuModel, pool, pricingMode } = group.price.rate;
  return `GPU-hours of ${gpuModel}, pool ${pool}, ${pricingMode}`;
}
