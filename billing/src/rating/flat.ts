import { times, type Fraction } from '@poolmeter/domain';
import type { FlatPrice, Rating } from './price-shape.js';

/** GPU-hours × rate (billing rule 10). */
export function rateFlat(gpuHours: Fraction, { perGpuHour }: FlatPrice): Rating {
  const amount = times(gpuHours, perGpuHour);
  return { amount, parts: [{ label: 'flat', gpuHours, perGpuHour, amount }] };
}
