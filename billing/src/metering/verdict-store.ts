/** Verdicts: read from the fault monitor's published view, and kept as they were when an invoice used them. */
import { instantFromMs, type EpochMs, type Interval } from '@poolmeter/domain';
import { z } from 'zod';
import { sql } from 'kysely';
import type { BillingReader, BillingTransaction, VerdictRow } from '../database.js';
import { inChunks } from '../leases/lease-store.js';
import { verdictToJson, type Verdict } from './verdict.js';

/** What is decided now about the given GPUs within a period. */
export async function readVerdicts(
  db: BillingReader,
  wanted: { readonly gpuUuids: readonly string[]; readonly period: Interval },
): Promise<Verdict[]> {
  if (wanted.gpuUuids.length === 0) return [];
  const rows = await db
    .selectFrom('alerts.verdicts_v1')
    .selectAll()
    .where('gpu_uuid', '=', sql<string>`ANY(${[...new Set(wanted.gpuUuids)]}::text[])`)
    .where('started_at', '<', new Date(wanted.period.end))
    .where((either) =>
      either.or([either('ended_at', 'is', null), either('ended_at', '>', new Date(wanted.period.start))]),
    )
    .orderBy('verdict_id')
    .execute();
  return rows.map(verdictFromRow);
}

function verdictFromRow(row: VerdictRow): Verdict {
  return {
    verdictId: row.verdict_id,
    incidentId: row.incident_id,
    code: row.code,
    gpuUuid: row.gpu_uuid,
    gpuInstance: row.gpu_instance,
    node: row.node,
    start: instantOf(row.started_at),
    end: row.ended_at === null ? undefined : instantOf(row.ended_at),
    billingClass: row.billing_class,
    blame: row.blame,
    policyVersion: row.policy_version,
    revision: row.revision,
    evidenceSummary: row.evidence_summary,
  };
}

export interface PinnedVerdict {
  readonly verdict_id: string;
  readonly revision: string;
}

/** Keeps verdicts for as long as the invoices that used them; the view shows only the latest revision. */
export async function pinVerdicts(trx: BillingTransaction, verdicts: readonly Verdict[]): Promise<void> {
  await inChunks(verdicts, (chunk) =>
    trx
      .insertInto('billing.pinned_verdicts')
      .values(
        chunk.map((verdict) => ({
          verdict_id: verdict.verdictId,
          revision: verdict.revision,
          verdict: verdictToJson(verdict),
        })),
      )
      .onConflict((conflict) => conflict.doNothing())
      .execute(),
  );
}

export async function readPinnedVerdicts(
  db: BillingReader,
  pinned: readonly PinnedVerdict[],
): Promise<Verdict[]> {
  if (pinned.length === 0) return [];
  const ids = pinned.map((one) => one.verdict_id);
  const rows = await db
    .selectFrom('billing.pinned_verdicts')
    .selectAll()
    .where('verdict_id', '=', sql<string>`ANY(${ids}::text[])`)
    .execute();
  const wanted = new Set(pinned.map((one) => `${one.verdict_id} ${one.revision}`));
  return rows
    .filter((row) => wanted.has(`${row.verdict_id} ${row.revision}`))
    .map((row) => verdictFromStored(row.verdict));
}

const storedVerdict = z.object({
  verdict_id: z.string(),
  incident_id: z.string(),
  code: z.string(),
  gpu_uuid: z.string(),
  gpu_instance: z.string(),
  node: z.string(),
  started_at: z.int(),
  ended_at: z.int().nullable(),
  billing_class: z.enum(['B', 'C', 'H']),
  blame: z.enum(['hardware', 'application', 'unknown']),
  policy_version: z.string(),
  revision: z.string(),
  evidence_summary: z.string(),
});

function verdictFromStored(stored: unknown): Verdict {
  const row = storedVerdict.parse(stored);
  return verdictFromRow({
    ...row,
    started_at: new Date(row.started_at),
    ended_at: row.ended_at === null ? null : new Date(row.ended_at),
    revision: BigInt(row.revision),
  });
}

function instantOf(at: Date): EpochMs {
  return instantFromMs(at.getTime());
}
