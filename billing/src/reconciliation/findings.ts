/** What a check found stays open until a later check does not find it any more. */
import { idFromFacts, type EpochMs } from '@poolmeter/domain';
import { sql } from 'kysely';
import type { BillingReader } from '../database.js';
import type { Finding } from './reconciliation-check.js';

interface LawFinding extends Finding {
  readonly law: string;
}

interface Found {
  readonly month: string;
  readonly now: EpochMs;
  readonly findings: readonly LawFinding[];
}

/** Opens new findings, and says of known ones that they are still there. */
export async function recordFindings(db: BillingReader, { month, now, findings }: Found): Promise<void> {
  if (findings.length === 0) return;
  const at = new Date(now);
  const rows = findings.map((finding) => ({
    finding_id: idFromFacts('fnd', finding.law, finding.object_id, month),
    ...finding,
    month,
    first_seen_at: at,
    last_seen_at: at,
    resolved_at: null,
  }));
  await db
    .insertInto('billing.findings')
    .values([...new Map(rows.map((row) => [row.finding_id, row])).values()])
    .onConflict((conflict) =>
      conflict.column('finding_id').doUpdateSet((expression) => ({
        message: expression.ref('excluded.message'),
        last_seen_at: at,
        resolved_at: null,
      })),
    )
    .execute();
}

/** Of the laws that were checked, what was not found again is settled. */
export async function resolveFindings(
  db: BillingReader,
  { month, now, laws }: { readonly month: string; readonly now: EpochMs; readonly laws: readonly string[] },
): Promise<void> {
  const at = new Date(now);
  await sql`
    UPDATE billing.findings SET resolved_at = ${at}
    WHERE month = ${month} AND resolved_at IS NULL AND last_seen_at < ${at} AND law = ANY(${laws}::text[])`.execute(
    db,
  );
}
