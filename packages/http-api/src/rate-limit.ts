/** A token bucket per caller, so that one script cannot take the API from everybody else. */
import { PoolmeterError, type Clock } from '@poolmeter/domain';

export interface RateLimitOptions {
  /** How many requests a caller may make at once. */
  readonly burst: number;
  /** How many requests per second a caller may make for ever. */
  readonly perSecond: number;
  readonly clock: Clock;
  /** How many callers are remembered; the longest silent one is forgotten first. 10 000 when absent. */
  readonly callerLimit?: number;
}

export interface RateLimit {
  /** Takes one request from the caller's bucket, or throws `rate_limited` with the seconds to wait. */
  take(caller: string): void;
}

interface Bucket {
  left: number;
  at: number;
}

export function createRateLimit(options: RateLimitOptions): RateLimit {
  // A Map keeps the order of insertion, so its first key is the caller that was silent the longest.
  const buckets = new Map<string, Bucket>();
  const callerLimit = options.callerLimit ?? 10_000;
  return {
    take(caller) {
      const now = options.clock.now();
      const bucket = refilled(buckets.get(caller), now, options);
      buckets.delete(caller);
      buckets.set(caller, bucket);
      for (const oldest of buckets.keys()) {
        if (buckets.size <= callerLimit) break;
        buckets.delete(oldest);
      }
      if (bucket.left < 1) throw tooMany((1 - bucket.left) / options.perSecond);
      bucket.left -= 1;
    },
  };
}

function refilled(bucket: Bucket | undefined, now: number, options: RateLimitOptions): Bucket {
  if (bucket === undefined) return { left: options.burst, at: now };
  const gained = (Math.max(0, now - bucket.at) / 1_000) * options.perSecond;
  return { left: Math.min(options.burst, bucket.left + gained), at: now };
}

function tooMany(waitS: number): PoolmeterError {
  const retryAfterS = Math.max(1, Math.ceil(waitS));
  return new PoolmeterError('rate_limited', `Too many requests: wait ${retryAfterS} s.`, {
    retriable: true,
    details: { retryAfterS },
  });
}
