/** What billing tells the bus: copies of leases and intervals for charts, written with the rows themselves. */
import { formatInstant, instantFromMs } from '@poolmeter/domain';
import { writeOutbox, type OutboxMessage } from '@poolmeter/relational-store';
import { messageHeaders, topics } from '@poolmeter/telemetry-schema';
import type { BillingTransaction } from '../database.js';

export interface RowCopy {
  readonly table: 'leases' | 'billable_intervals';
  /** Copies of one object keep their order. */
  readonly key: string;
  readonly row: Readonly<Record<string, unknown>>;
  /** The copy with the highest one wins. */
  readonly version: bigint;
}

export async function writeRowCopies(trx: BillingTransaction, copies: readonly RowCopy[]): Promise<void> {
  if (copies.length === 0) return;
  const headers = { [messageHeaders.schema]: 'row-copy', [messageHeaders.schemaVersion]: '1' };
  const messages = copies.map((copy): OutboxMessage => ({
    topic: topics.billing,
    key: copy.key,
    headers,
    value: { table: copy.table, row: copy.row, version: copy.version },
  }));
  await writeOutbox(trx, 'billing', messages);
}

/** An instant of the database as it travels. */
export function instantText(at: Date): string {
  return formatInstant(instantFromMs(at.getTime()));
}

export function optionalInstantText(at: Date | null): string | null {
  return at === null ? null : instantText(at);
}
