import type { CommittedPosition, PartitionLag, PartitionRange } from './event-bus.js';

/** Joins what a topic holds with where a group stands in it. */
export function partitionLags(
  ranges: readonly PartitionRange[],
  committed: readonly CommittedPosition[],
): PartitionLag[] {
  return ranges.map((range) => {
    const mine = committed.find(({ partition }) => partition === range.partition);
    const position = mine?.nextOffset ?? range.earliestOffset;
    const first = position > range.earliestOffset ? position : range.earliestOffset;
    const lag = range.nextOffset > first ? range.nextOffset - first : 0n;
    return { ...range, position, lag };
  });
}
