import { PoolmeterError } from './errors.js';

declare const epochMs: unique symbol;

/**
 * Milliseconds since 1970-01-01T00:00:00Z, POSIX seconds (no leap seconds). An integer within the years 0000 to 9999,
 * which are all that RFC 3339 can write.
 */
export type EpochMs = number & { readonly [epochMs]: true };

/** The hour 24, which Date.parse takes for the next day, is no hour of RFC 3339. */
const RFC3339 = /^\d{4}-\d{2}-\d{2}T(?:[01]\d|2[0-3]):\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;
const EARLIEST_MS = Date.parse('0000-01-01T00:00:00.000Z');
const LATEST_MS = Date.parse('9999-12-31T23:59:59.999Z');
const DAYS_IN_MONTH = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const;

/** An instant from integer milliseconds; anything else is refused rather than rounded. */
export function instantFromMs(ms: number): EpochMs {
  if (!Number.isSafeInteger(ms)) {
    throw new PoolmeterError('input.invalid', `An instant must be whole milliseconds, not ${ms}.`);
  }
  if (ms < EARLIEST_MS || ms > LATEST_MS) {
    throw new PoolmeterError('input.invalid', `The instant ${ms} ms lies outside the years 0000 to 9999.`);
  }
  return ms as EpochMs;
}

/**
 * An instant from RFC 3339 text with an offset. Digits below a millisecond must be zero: truncating them silently
 * would move an edge that money is cut at.
 */
export function parseInstant(text: string): EpochMs {
  const ms = RFC3339.test(text) && isCalendarDate(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms) || /\.\d{3}\d*[1-9]/.test(text)) {
    throw new PoolmeterError(
      'input.invalid',
      `"${text}" is not an instant: write RFC 3339 with an offset and at most milliseconds, such as 2026-03-01T00:00:00Z.`,
    );
  }
  return instantFromMs(ms);
}

/** Date.parse rolls 30 February over to March; an invoice must not. */
function isCalendarDate(text: string): boolean {
  const [year, month, day] = text.slice(0, 10).split('-').map(Number) as [number, number, number];
  if (month < 1 || month > 12 || day < 1 || day > (DAYS_IN_MONTH[month - 1] ?? 0)) return false;
  const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  return month !== 2 || day < 29 || leap;
}

/** RFC 3339 UTC with milliseconds only when there are any: `2026-03-01T00:00:00Z`, `…00.250Z`. */
export function formatInstant(instant: EpochMs): string {
  return new Date(instant).toISOString().replace('.000Z', 'Z');
}
