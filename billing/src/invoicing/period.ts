/** Billing periods: calendar months in an IANA zone, turned into UTC bounds once and then frozen (billing rule 12). */
import { instantFromMs, messageOf, PoolmeterError, type EpochMs, type Interval } from '@poolmeter/domain';
import { Temporal } from 'temporal-polyfill';

export interface BillingPeriod extends Interval {
  /** `2026-03` */
  readonly month: string;
  readonly zone: string;
}

/** March 2026 in Berlin is 743 hours long: the day of the clock change counts 23. */
export function billingPeriod(month: string, zone: string): BillingPeriod {
  if (!/^\d{4}-(0[1-9]|1[0-2])$/.test(month)) {
    throw new PoolmeterError('input.invalid', `"${month}" is not a period: write a month such as 2026-03.`);
  }
  const first = Temporal.PlainYearMonth.from(month).toPlainDate({ day: 1 });
  return {
    month,
    zone,
    start: startOfDay(first, zone),
    end: startOfDay(first.add({ months: 1 }), zone),
  };
}

/** The month that an instant belongs to, in a zone. */
export function billingPeriodAt(at: EpochMs, zone: string): BillingPeriod {
  checkZone(zone);
  const date = Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(zone).toPlainDate();
  return billingPeriod(date.toPlainYearMonth().toString(), zone);
}

/** Refuses a zone that the zone data does not know. */
export function checkZone(zone: string): void {
  try {
    Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(zone);
  } catch (cause) {
    throw new PoolmeterError(
      'input.invalid',
      `"${zone}" is not a time zone: write an IANA name such as Europe/Berlin (${messageOf(cause)}).`,
      { cause },
    );
  }
}

function startOfDay(date: Temporal.PlainDate, zone: string): EpochMs {
  checkZone(zone);
  return instantFromMs(date.toZonedDateTime({ timeZone: zone }).epochMilliseconds);
}

export type BucketSize = 'hour' | 'day' | 'month';

/** The starts of the buckets that a range touches, the first at or before its start, in the calendar of a zone. */
export function bucketStarts(range: Interval, size: BucketSize, zone: string): EpochMs[] {
  checkZone(zone);
  const from = Temporal.Instant.fromEpochMilliseconds(range.start).toZonedDateTimeISO(zone);
  let next =
    size === 'hour'
      ? from.round({ smallestUnit: 'hour', roundingMode: 'floor' })
      : (size === 'day' ? from : from.with({ day: 1 })).startOfDay();
  const starts: EpochMs[] = [];
  while (next.epochMilliseconds < range.end) {
    starts.push(instantFromMs(next.epochMilliseconds));
    next = size === 'hour' ? next.add({ hours: 1 }) : next.add(size === 'day' ? { days: 1 } : { months: 1 });
  }
  return starts;
}
