/**
 * The reconciliation job: checks every law of a month, keeps what it found open until it is gone, and parks the accounts on
 * which money does not add up: nothing is invoiced to them until somebody has looked (billing rule 17).
 */
import { sql } from 'kysely';
import type { BillingTransaction } from '../database.js';
import { checkPeriod } from './check-period.js';
import { recordFindings, resolveFindings } from './findings.js';
import type { CheckDeps, ReconciliationCheck } from './reconciliation-check.js';

/** Laws about an invoice's own arithmetic: broken, they are a defect of ours, not a question for people. */
const PARKING: readonly string[] = [
  'the lines of an invoice add up to its total',
  'billed + excluded + held = leased GPU time',
  'every invoice is booked with its total',
];

export interface Reconciled {
  readonly checks: readonly ReconciliationCheck[];
  /** Customers that were parked by this run. */
  readonly parked: readonly string[];
}

export async function reconcile(deps: CheckDeps, month: string): Promise<Reconciled> {
  const checks = await checkPeriod(deps, month);
  const now = deps.clock.now();
  const parked = await deps.store.transaction(
    async (trx) => {
      const findings = checks.flatMap(({ law, findings: own }) => own.map((one) => ({ law, ...one })));
      await recordFindings(trx, { month, now, findings });
      await resolveFindings(trx, { month, now, laws: checks.map((one) => one.law) });
      return parkAccounts(trx, checks, new Date(now));
    },
    { isolation: 'read committed' },
  );
  return { checks, parked };
}

async function parkAccounts(
  trx: BillingTransaction,
  checks: readonly ReconciliationCheck[],
  now: Date,
): Promise<string[]> {
  const parked: string[] = [];
  for (const { law, findings } of checks.filter((one) => PARKING.includes(one.law))) {
    for (const finding of findings) {
      const { rows } = await sql<{ customer_id: string }>`
        INSERT INTO billing.parked_accounts (customer_id, law, reason, parked_at)
        SELECT customer_id, ${law}, ${finding.message}, ${now} FROM billing.invoices WHERE invoice_id = ${finding.object_id}
        ON CONFLICT DO NOTHING RETURNING customer_id`.execute(trx);
      parked.push(...rows.map((row) => row.customer_id));
    }
  }
  return parked;
}
