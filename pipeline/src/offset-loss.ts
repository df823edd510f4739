/** Messages that left the bus before they were stored: how many, and what to say about it. */
import type { OffsetGap } from '@poolmeter/event-bus';
import type { Logger } from '@poolmeter/service';

export function lostBy({ fromOffset, toOffset }: OffsetGap): bigint {
  return toOffset > fromOffset ? toOffset - fromOffset : fromOffset - toOffset;
}

export function logLoss(gap: OffsetGap, logger: Logger): void {
  const { topic, partition, kind, fromOffset, toOffset } = gap;
  const lost = lostBy(gap);
  const details = {
    topic,
    partition,
    first: String(fromOffset),
    next: String(toOffset),
    messages: String(lost),
  };
  const sentence =
    kind === 'removed'
      ? `${lost} messages left the bus before they were stored: retention must be longer than the longest outage.`
      : `The bus lost ${lost} messages that had been read: its last writes were not durable.`;
  logger.error(details, sentence);
}
