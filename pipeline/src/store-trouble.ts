/** What keeps the store from taking rows, in one word: for metrics, readiness, and what is done about it. */
import { isPoolmeterError } from '@poolmeter/domain';

export const storeTroubles = [
  'away',
  'slow',
  'read_only',
  'full',
  'too_many_parts',
  'out_of_memory',
  'too_many_queries',
  'refused',
] as const;

export type StoreTrouble = (typeof storeTroubles)[number];

/** ClickHouse's own numbers: READONLY, TABLE_IS_READ_ONLY, TOO_MANY_PARTS, MEMORY_LIMIT_EXCEEDED, TOO_MANY_SIMULTANEOUS_QUERIES. */
const BY_SERVER_CODE: Readonly<Record<number, StoreTrouble>> = {
  164: 'read_only',
  242: 'read_only',
  252: 'too_many_parts',
  241: 'out_of_memory',
  202: 'too_many_queries',
};

/** undefined for a fault of the rows themselves: the store is well. */
export function storeTroubleOf(fault: unknown): StoreTrouble | undefined {
  if (!isPoolmeterError(fault)) return 'refused';
  const byServer = BY_SERVER_CODE[Number(fault.details['clickhouseCode'])];
  if (byServer !== undefined) return byServer;
  switch (fault.code) {
    case 'wire.malformed':
      return fault.retriable ? 'refused' : undefined;
    case 'storage.full':
      return 'full';
    case 'storage.read_only':
      return 'read_only';
    case 'timeout':
      return 'slow';
    case 'dependency.unavailable':
      return 'away';
    default:
      return 'refused';
  }
}
