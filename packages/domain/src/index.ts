export { ManualClock, systemClock, type Clock } from './clock.js';
export {
  errorCodes,
  invariant,
  isPoolmeterError,
  messageOf,
  PoolmeterError,
  type ErrorCode,
  type PoolmeterErrorOptions,
} from './errors.js';
export {
  add,
  compare,
  formatFraction,
  fraction,
  minus,
  negate,
  ONE,
  over,
  parseFraction,
  roundHalfEven,
  sum,
  times,
  toDecimalText,
  ZERO,
  type Fraction,
} from './fraction.js';
export {
  formatGpuHours,
  gpuHours,
  gpuTimeOf,
  gpuTimeToJson,
  NO_GPU_TIME,
  sumGpuTime,
  type GpuTime,
} from './gpu-time.js';
export { canonicalJson, createIdSource, digestOf, idFromFacts, type IdSource } from './ids.js';
export { formatInstant, instantFromMs, parseInstant, type EpochMs } from './instant.js';
export {
  contains,
  cutAt,
  durationMs,
  intersect,
  interval,
  overlaps,
  subtract,
  union,
  type Interval,
} from './interval.js';
export { minorUnitDigits, Money, splitByLargestRemainder } from './money.js';
