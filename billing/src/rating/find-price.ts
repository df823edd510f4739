/** The price of a GPU at an instant, found once per kind of GPU and stretch of time in which no price changes. */
import type { EpochMs, Interval } from '@poolmeter/domain';
import {
  priceCuts,
  resolveRate,
  type PricedThing,
  type Pricing,
  type ResolvedPrice,
  type ResolvedRate,
} from './price-book.js';
import { windowTimeline } from './time-of-use.js';

export interface PriceFinder {
  /** undefined when there is none. One object for every instant of a stretch. */
  priceOf(thing: PricedThing, at: EpochMs): ResolvedPrice | undefined;
  /** The instants within the range at which the price of a thing, or the terms, may change; in order. */
  cutsOf(thing: PricedThing): readonly EpochMs[];
}

/** What holds for one kind of GPU from an instant on. */
interface Stretch {
  readonly start: EpochMs;
  readonly price: ResolvedPrice | undefined;
}

export function findPrices(pricing: Pricing, range: Interval): PriceFinder {
  const inside = priceCuts(pricing).filter((at) => at > range.start && at < range.end);
  const epochs = [range.start, ...[...new Set(inside)].sort((a, b) => a - b)];
  // Three lookups are cheaper than one key put together of three parts.
  const known = new Map<string, Map<string, Map<string, readonly Stretch[]>>>();
  const stretchesOf = (thing: PricedThing): readonly Stretch[] => {
    const found = known.get(thing.gpuModel)?.get(thing.pool)?.get(thing.pricingMode);
    if (found !== undefined) return found;
    const stretches = epochs.flatMap((start, index) =>
      stretchesFrom(resolveRate(thing, start, pricing), {
        start,
        end: epochs[index + 1] ?? range.end,
      }),
    );
    const byPool = known.get(thing.gpuModel) ?? new Map<string, Map<string, readonly Stretch[]>>();
    const byMode = byPool.get(thing.pool) ?? new Map<string, readonly Stretch[]>();
    known.set(thing.gpuModel, byPool.set(thing.pool, byMode.set(thing.pricingMode, stretches)));
    return stretches;
  };
  const cuts = new WeakMap<readonly Stretch[], readonly EpochMs[]>();
  return {
    priceOf: (thing, at) => stretchAt(stretchesOf(thing), at)?.price,
    cutsOf(thing) {
      const stretches = stretchesOf(thing);
      const found = cuts.get(stretches) ?? stretches.slice(1).map((one) => one.start);
      cuts.set(stretches, found);
      return found;
    },
  };
}

/** The last stretch that begins at or before an instant. */
function stretchAt(stretches: readonly Stretch[], at: EpochMs): Stretch | undefined {
  let [low, high] = [0, stretches.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((stretches[middle] as Stretch).start <= at) low = middle;
    else high = middle;
  }
  return stretches[low];
}

function stretchesFrom(rate: ResolvedRate | undefined, range: Interval): Stretch[] {
  if (rate === undefined) return [{ start: range.start, price: undefined }];
  const { shape, source } = rate.rate;
  if (shape.kind !== 'time_of_use') {
    const price = { ...rate, shape, unitPrice: source.per_gpu_hour, window: '' };
    return [{ start: range.start, price }];
  }
  return windowTimeline(shape, range).map(({ start, window }) => {
    const { perGpuHour, unitPrice } = window ?? shape;
    const flat = { kind: 'flat', perGpuHour } as const;
    return { start, price: { ...rate, shape: flat, unitPrice, window: window?.name ?? 'other hours' } };
  });
}
