import { compare, minus, times, ZERO, type Fraction } from '@poolmeter/domain';
import type { CommittedHoursPrice, Rating } from './price-shape.js';

/** What is used beyond the commitment: burst = max(0, usage − commitment) at the burst rate. */
export function rateBurst(gpuHours: Fraction, price: CommittedHoursPrice): Rating {
  const over = minus(gpuHours, price.gpuHours);
  const burst = compare(over, ZERO) > 0 ? over : ZERO;
  const within = minus(gpuHours, burst);
  const amount = times(burst, price.burstPerGpuHour);
  return {
    amount,
    parts: [
      { label: 'within the commitment', gpuHours: within, perGpuHour: ZERO, amount: ZERO },
      { label: 'burst', gpuHours: burst, perGpuHour: price.burstPerGpuHour, amount },
    ],
  };
}

/** The commitment itself, due whether it was used or not. */
export function rateCommitment(price: CommittedHoursPrice): Rating {
  const amount = times(price.gpuHours, price.perGpuHour);
  return {
    amount,
    parts: [{ label: 'commitment', gpuHours: price.gpuHours, perGpuHour: price.perGpuHour, amount }],
  };
}
