/**
 * Keeps a draft of the running period for every customer with usage. A customer of whom nothing changed is skipped: what
 * a draft depends on is summed up in a mark that one query reads for all customers.
 */
import { messageOf, type EpochMs } from '@poolmeter/domain';
import { sql } from 'kysely';
import type { BillingReader } from '../database.js';
import { draftInvoice, type InvoicingDeps } from './draft-invoice.js';
import { billingPeriodAt } from './period.js';

export interface RefreshedDrafts {
  readonly refreshed: number;
  readonly unchanged: number;
  readonly failed: number;
}

export async function refreshDrafts(deps: InvoicingDeps, signal?: AbortSignal): Promise<RefreshedDrafts> {
  const now = deps.clock.now();
  const counts = { refreshed: 0, unchanged: 0, failed: 0 };
  for (const customer of await readMarks(deps.store.db, now)) {
    signal?.throwIfAborted();
    const { month } = billingPeriodAt(now, customer.zone);
    const mark = `${month} ${customer.mark}`;
    if (customer.draftMark === mark && !customer.isRunning) {
      counts.unchanged += 1;
      continue;
    }
    try {
      await draftInvoice(deps, { customerId: customer.customerId, month, mark, withEvidence: false });
      counts.refreshed += 1;
    } catch (fault) {
      counts.failed += 1;
      const details = { customer_id: customer.customerId, month, err: fault };
      deps.logger.warn(details, `A draft could not be computed: ${messageOf(fault)}`);
    }
  }
  return counts;
}

interface CustomerMark {
  readonly customerId: string;
  readonly zone: string;
  readonly mark: string;
  /** Of the latest draft. */
  readonly draftMark: string | undefined;
  /** Whether a lease without an end makes the draft grow with time. */
  readonly isRunning: boolean;
}

/** The longest month, and a day for the zones. */
const LOOK_BACK_MS = 33 * 86_400_000;

async function readMarks(db: BillingReader, now: EpochMs): Promise<CustomerMark[]> {
  const { rows } = await sql<{
    customer_id: string;
    zone: string;
    mark: string;
    draft_mark: string | null;
    is_running: boolean;
  }>`
    SELECT c.customer_id, v.zone, d.mark AS draft_mark, bool_or(l.state = 'running') AS is_running,
      concat_ws(' ', max(l.position), max(c.current_version), max(c.invoice_revision),
        (SELECT max(version) FROM billing.price_books),
        (SELECT count(*) FROM billing.contracts AS k WHERE k.customer_id = c.customer_id),
        (SELECT max(revision) FROM alerts.verdicts_v1 AS a
         WHERE a.gpu_uuid IN (SELECT gpu_uuid FROM billing.lease_segments AS s
                              WHERE s.customer_id = c.customer_id AND upper_inf(s.period)
                                 OR s.customer_id = c.customer_id AND upper(s.period) > ${new Date(now - LOOK_BACK_MS)}))
      ) AS mark
    FROM billing.customers AS c
    JOIN billing.customer_versions AS v ON v.customer_id = c.customer_id AND v.version = c.current_version
    JOIN billing.leases AS l ON l.customer_id = c.customer_id
    LEFT JOIN LATERAL (
      SELECT i.mark FROM billing.invoices AS i
      WHERE i.customer_id = c.customer_id AND i.status = 'draft' ORDER BY i.period_start DESC LIMIT 1
    ) AS d ON true
    WHERE l.started_at < ${new Date(now)} AND (l.ended_at IS NULL OR l.ended_at > ${new Date(now - LOOK_BACK_MS)})
    GROUP BY c.customer_id, v.zone, d.mark
    ORDER BY c.customer_id`.execute(db);
  return rows.map((row) => ({
    customerId: row.customer_id,
    zone: row.zone,
    mark: row.mark,
    draftMark: row.draft_mark ?? undefined,
    isRunning: row.is_running,
  }));
}
