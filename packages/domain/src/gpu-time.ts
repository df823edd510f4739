import { formatFraction, fraction, sum, times, toDecimalText, type Fraction } from './fraction.js';
import { durationMs, type Interval } from './interval.js';

const MS_PER_HOUR = 3_600_000n;

declare const gpuMs: unique symbol;

/** GPU time in GPU-milliseconds: share × wall milliseconds, exact (billing rule 1). One whole GPU for one hour is 3 600 000. */
export type GpuTime = Fraction & { readonly [gpuMs]: true };

export const NO_GPU_TIME: GpuTime = fraction(0n) as GpuTime;

/** The GPU time that `share` of one GPU has over `[start, end)`. */
export function gpuTimeOf(share: Fraction, over: Interval): GpuTime {
  return times(share, fraction(durationMs(over))) as GpuTime;
}

export function sumGpuTime(times: Iterable<GpuTime>): GpuTime {
  return sum(times) as GpuTime;
}

/** GPU time as the API shows it: `gpu_ms` exact (`"3600000/7"`), `gpu_hours` rounded to 9 places. */
export function gpuTimeToJson(time: GpuTime): { gpu_ms: string; gpu_hours: string } {
  return { gpu_ms: formatFraction(time), gpu_hours: formatGpuHours(time) };
}

export function formatGpuHours(time: GpuTime): string {
  return toDecimalText(fraction(time.numerator, time.denominator * MS_PER_HOUR), 9);
}

/** Exact GPU-hours, for rating. */
export function gpuHours(time: GpuTime): Fraction {
  return fraction(time.numerator, time.denominator * MS_PER_HOUR);
}
