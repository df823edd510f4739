import type { Admin } from 'kafkajs';
import type { CommittedPosition } from './event-bus.js';

/** Where a group stands, for those partitions in which it has ever committed. */
export async function committedPositions(
  admin: Admin,
  group: string,
  topics: readonly string[],
): Promise<CommittedPosition[]> {
  const found = await admin.fetchOffsets({ groupId: group, topics: [...topics] });
  return found
    .flatMap(({ topic, partitions }) =>
      partitions.map(({ partition, offset, metadata }) => ({
        topic,
        partition,
        nextOffset: BigInt(offset),
        metadata: metadata ?? '',
      })),
    )
    .filter(({ nextOffset }) => nextOffset >= 0n)
    .sort((a, b) => a.partition - b.partition);
}
