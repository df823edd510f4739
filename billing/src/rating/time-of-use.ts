/**
 * Prices that depend on the hour of the day. An instant belongs to a window by what the clock on the wall of the price's
 * zone shows then: an hour that the clock repeats is in its window twice, one that it skips not at all.
 */
import { instantFromMs, type EpochMs, type Interval } from '@poolmeter/domain';
import { Temporal } from 'temporal-polyfill';
import type { TimeOfUsePrice, TimeWindow } from './price-shape.js';

/** From `start` on, until the next one, the price is that of `window`; undefined: the price outside of all windows. */
interface WindowStart {
  readonly start: EpochMs;
  readonly window: TimeWindow | undefined;
}

const DAY_MINUTES = 1_440;

/** Which window holds when within a range: in order, the first at the range's start, neighbours differ. */
export function windowTimeline(price: TimeOfUsePrice, range: Interval): WindowStart[] {
  const starts: WindowStart[] = [];
  for (const start of [range.start, ...clockEdges(price, range)]) {
    const window = windowAt(price, start);
    const last = starts.at(-1);
    if (last === undefined || last.window !== window) starts.push({ start, window });
  }
  return starts;
}

/** Every instant within the range at which the clock may enter or leave a window, in order. */
function clockEdges(price: TimeOfUsePrice, range: Interval): EpochMs[] {
  const minutes = new Set([0, ...price.windows.flatMap((window) => [window.fromMinute, window.toMinute])]);
  const zoned = (ms: number) => Temporal.Instant.fromEpochMilliseconds(ms).toZonedDateTimeISO(price.zone);
  const edges = new Set<number>();
  const last = zoned(range.end).toPlainDate().add({ days: 1 });
  let date = zoned(range.start).toPlainDate().subtract({ days: 1 });
  for (; Temporal.PlainDate.compare(date, last) <= 0; date = date.add({ days: 1 })) {
    for (const minute of minutes) {
      const wall = date.toPlainDateTime().add({ minutes: minute });
      for (const disambiguation of ['earlier', 'later'] as const) {
        edges.add(wall.toZonedDateTime(price.zone, { disambiguation }).epochMilliseconds);
      }
    }
  }
  let change = zoned(range.start).getTimeZoneTransition('next');
  while (change !== null && change.epochMilliseconds < range.end) {
    edges.add(change.epochMilliseconds);
    change = change.getTimeZoneTransition('next');
  }
  return [...edges]
    .filter((at) => at > range.start && at < range.end)
    .sort((a, b) => a - b)
    .map(instantFromMs);
}

/** The first window whose hours the wall clock shows. */
function windowAt(price: TimeOfUsePrice, at: EpochMs): TimeWindow | undefined {
  const wall = Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(price.zone);
  const minute = wall.hour * 60 + wall.minute;
  return price.windows.find((window) => covers(window, wall.dayOfWeek, minute));
}

/** A window over midnight belongs to the day on which it begins. */
function covers(window: TimeWindow, day: number, minute: number): boolean {
  const { fromMinute, toMinute, days } = window;
  if (fromMinute < toMinute) return days.has(day) && minute >= fromMinute && minute < toMinute;
  const yesterday = day === 1 ? 7 : day - 1;
  return (days.has(day) && minute >= fromMinute) || (days.has(yesterday) && minute < toMinute % DAY_MINUTES);
}
