import { compare, invariant, times, type Fraction } from '@poolmeter/domain';
import type { Rating, VolumePrice } from './price-shape.js';

/** All hours cost what the tier says that the total falls into; a total on a bound belongs to the tier below it. */
export function rateVolume(gpuHours: Fraction, { tiers }: VolumePrice): Rating {
  const index = tiers.findIndex(
    (tier) => tier.upToGpuHours === undefined || compare(gpuHours, tier.upToGpuHours) <= 0,
  );
  const tier = tiers[index];
  invariant(tier, 'the last tier of a volume price is open');
  const amount = times(gpuHours, tier.perGpuHour);
  return { amount, parts: [{ label: `tier ${index + 1}`, gpuHours, perGpuHour: tier.perGpuHour, amount }] };
}
