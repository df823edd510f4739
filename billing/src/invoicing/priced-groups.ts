/** Which price covers which interval, and what such a group of intervals is charged. */
import {
  add,
  fraction,
  gpuHours,
  minus,
  Money,
  ONE,
  times,
  toDecimalText,
  ZERO,
  type Fraction,
  type GpuTime,
} from '@poolmeter/domain';
import { sumTimes, type MeteredInterval } from '../metering/meter-leases.js';
import type { PriceFinder } from '../rating/find-price.js';
import type { ResolvedPrice } from '../rating/price-book.js';
import type { Rating } from '../rating/price-shape.js';
import { rateUsage } from '../rating/rate-usage.js';

/** Intervals that one price covers, and that stand on one line. */
export interface PricedGroup {
  readonly key: string;
  readonly price: ResolvedPrice;
  readonly intervals: readonly MeteredInterval[];
  readonly gpuTime: GpuTime;
  /** The part of it that each provider's hardware gave. */
  readonly timeOfProviders: ReadonlyMap<string, GpuTime>;
  /** Before a discount. */
  readonly rating: Rating;
}

/** GPU time of one provider's hardware in shares of one denominator: whole numbers, added up. */
interface TimeSum {
  readonly providerId: string;
  readonly denominator: bigint;
  numerator: bigint;
}

interface OpenGroup {
  readonly price: ResolvedPrice;
  readonly intervals: MeteredInterval[];
  /** A handful: one per provider and kind of share. */
  readonly sums: TimeSum[];
}

/** Finds the price of each interval; those without one are given back by themselves. */
export function groupByPrice(
  intervals: readonly MeteredInterval[],
  prices: PriceFinder,
): { groups: PricedGroup[]; unpriced: MeteredInterval[] } {
  const byKey = new Map<string, OpenGroup>();
  // A price is one object for as long as nothing changes, so most intervals find their group without a key.
  const byPrice = new Map<ResolvedPrice, OpenGroup>();
  const unpriced: MeteredInterval[] = [];
  for (const one of intervals) {
    const price = prices.priceOf(one.lease, one.span.start);
    if (price === undefined) {
      unpriced.push(one);
      continue;
    }
    let group = byPrice.get(price);
    if (group === undefined) {
      const key = keyOf(one, price);
      group = byKey.get(key) ?? { price, intervals: [], sums: [] };
      byKey.set(key, group);
      byPrice.set(price, group);
    }
    group.intervals.push(one);
    addTime(group.sums, one);
  }
  const inOrder = [...byKey].sort(([a], [b]) => (a < b ? -1 : 1));
  return { groups: inOrder.map(([key, group]) => closed(key, group)), unpriced };
}

function addTime(sums: TimeSum[], { lease, gpuTime }: MeteredInterval): void {
  const { denominator, numerator } = gpuTime;
  for (const sum of sums) {
    if (sum.denominator === denominator && sum.providerId === lease.providerId) {
      sum.numerator += numerator;
      return;
    }
  }
  sums.push({ providerId: lease.providerId, denominator, numerator });
}

function closed(key: string, { price, intervals, sums }: OpenGroup): PricedGroup {
  const times = (of: readonly TimeSum[]) =>
    sumTimes(of.map(({ numerator, denominator }) => fraction(numerator, denominator) as GpuTime));
  const gpuTime = times(sums);
  const providers = [...new Set(sums.map((sum) => sum.providerId))];
  const timeOfProviders = new Map(
    providers.map((provider) => [provider, times(sums.filter((sum) => sum.providerId === provider))]),
  );
  const rating = rateUsage(gpuHours(gpuTime), price.shape);
  return { key, price, intervals, gpuTime, timeOfProviders, rating };
}

function keyOf(one: MeteredInterval, price: ResolvedPrice): string {
  return JSON.stringify([
    price.versionLabel,
    price.rateIndex,
    price.discount === undefined ? '' : toDecimalText(price.discount, 9),
    ...(price.window === '' ? [] : [price.window]),
    ...placeOf(one, price),
  ]);
}

/** A flat price gives a line per kind of GPU; tiers and commitments count everything that their rate covers together. */
function placeOf({ lease }: MeteredInterval, price: ResolvedPrice): string[] {
  return price.shape.kind === 'flat' ? [lease.gpuModel, lease.pool, lease.pricingMode] : [];
}

/** What intervals would cost at flat prices, exact; undefined when that is not one number. */
export function exactWorthOf(
  intervals: readonly MeteredInterval[],
  prices: PriceFinder,
): Fraction | undefined {
  const { groups, unpriced } = groupByPrice(intervals, prices);
  if (unpriced.length > 0 || groups.some((group) => group.price.shape.kind !== 'flat')) return undefined;
  return groups.map((group) => exactChargeOf(group)).reduce(add, ZERO);
}

/** The same, rounded as a line would be. */
export function worthOf(
  intervals: readonly MeteredInterval[],
  { prices, currency }: { readonly prices: PriceFinder; readonly currency: string },
): Money | undefined {
  const exact = exactWorthOf(intervals, prices);
  return exact === undefined ? undefined : Money.round(exact, currency);
}

/** Exact, after the discount. */
export function exactChargeOf({ rating, price }: PricedGroup): Fraction {
  return times(rating.amount, minus(ONE, price.discount ?? ZERO));
}

/** The words for a group on an invoice. */
export function whatOf({ price, intervals }: PricedGroup): string {
  const lease = intervals[0]?.lease;
  const window = price.window === '' ? '' : `, ${price.window}`;
  if (price.shape.kind === 'flat')
    return `${lease?.gpuModel ?? ''}, pool ${lease?.pool ?? ''}, ${lease?.pricingMode ?? ''}${window}`;
  const { gpuModel, pool, pricingMode } = price.rate;
  return `GPU-hours of ${gpuModel}, pool ${pool}, ${pricingMode}`;
}
