import { PoolmeterError } from './errors.js';
import { formatInstant, type EpochMs } from './instant.js';

/** A half-open stretch of time `[start, end)`. It may be empty, never inverted. */
export interface Interval {
  readonly start: EpochMs;
  readonly end: EpochMs;
}

export function interval(start: EpochMs, end: EpochMs): Interval {
  if (end < start) {
    throw new PoolmeterError(
      'input.invalid',
      `An interval cannot end (${formatInstant(end)}) before it starts (${formatInstant(start)}).`,
    );
  }
  return Object.freeze({ start, end });
}

export function durationMs(of: Interval): bigint {
  return BigInt(of.end) - BigInt(of.start);
}

export function contains(outer: Interval, instant: EpochMs): boolean {
  return outer.start <= instant && instant < outer.end;
}

/** Whether the two have an instant in common; an empty interval has none with anything. */
export function overlaps(a: Interval, b: Interval): boolean {
  return intersect(a, b) !== undefined;
}

/** The common part, or undefined when there is none (touching intervals have none). */
export function intersect(a: Interval, b: Interval): Interval | undefined {
  const start = a.start > b.start ? a.start : b.start;
  const end = a.end < b.end ? a.end : b.end;
  return start < end ? interval(start, end) : undefined;
}

/** Cuts an interval at the given instants; the pieces follow one another and cover it exactly. */
export function cutAt(whole: Interval, instants: Iterable<EpochMs>): Interval[] {
  const inside = new Set([...instants].filter((at) => whole.start < at && at < whole.end));
  const edges = [whole.start, ...[...inside].sort((a, b) => a - b), whole.end];
  return edges.slice(1).map((end, index) => interval(edges[index] as EpochMs, end));
}

/** The smallest set of intervals that covers the same instants, in order; empty ones vanish. */
export function union(intervals: Iterable<Interval>): Interval[] {
  const sorted = [...intervals].filter((one) => one.start < one.end).sort((a, b) => a.start - b.start);
  const merged: Interval[] = [];
  for (const next of sorted) {
    const last = merged.at(-1);
    if (last !== undefined && next.start <= last.end) {
      merged[merged.length - 1] = interval(last.start, next.end > last.end ? next.end : last.end);
    } else {
      merged.push(next);
    }
  }
  return merged;
}

/** What is left of `whole` once every instant of `holes` is taken out. */
export function subtract(whole: Interval, holes: Iterable<Interval>): Interval[] {
  const rest: Interval[] = [];
  let from = whole.start;
  for (const hole of union(holes)) {
    if (hole.end <= from) continue;
    if (hole.start >= whole.end) break;
    if (hole.start > from) rest.push(interval(from, hole.start));
    from = hole.end;
  }
  if (from < whole.end) rest.push(interval(from, whole.end));
  return rest;
}
