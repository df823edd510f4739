/** What billing's routes need. */
import { writeAudit, type ApiEnv } from '@poolmeter/http-api';
import type { Context } from 'hono';
import type { ClosingDeps, RecordChange } from '../invoicing/finalize-invoice.js';

export type BillingApiDeps = ClosingDeps;

/** Audit entries of a request, written in the transaction of the change. */
export function recordFor(c: Context<ApiEnv>, deps: Pick<BillingApiDeps, 'clock'>): RecordChange {
  return (trx, change) =>
    writeAudit(trx, {
      ...change,
      at: deps.clock.now(),
      principal: c.get('principal'),
      requestId: c.get('requestId'),
    });
}
