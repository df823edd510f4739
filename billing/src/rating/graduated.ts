import { compare, minus, sum, times, ZERO, type Fraction } from '@poolmeter/domain';
import type { GraduatedPrice, RatedPart, Rating } from './price-shape.js';

/** Fills the tiers from the first on; each hour costs what its own tier says. */
export function rateGraduated(gpuHours: Fraction, { tiers }: GraduatedPrice): Rating {
  const parts: RatedPart[] = [];
  let below = ZERO;
  for (const [index, tier] of tiers.entries()) {
    const top =
      tier.upToGpuHours === undefined || compare(gpuHours, tier.upToGpuHours) < 0
        ? gpuHours
        : tier.upToGpuHours;
    if (compare(top, below) > 0) {
      const hours = minus(top, below);
      const amount = times(hours, tier.perGpuHour);
      parts.push({ label: `tier ${index + 1}`, gpuHours: hours, perGpuHour: tier.perGpuHour, amount });
    }
    below = top;
  }
  return { amount: sum(parts.map((part) => part.amount)), parts };
}
