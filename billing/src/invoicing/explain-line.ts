/** Why a line is what it is: formula, price, cuts, what was left out and why, and how well telemetry vouches for it. */
import type { BillingReader } from '../database.js';
import type { EvidenceSource } from '../metering/evidence.js';
import { combineEvidence, evidenceToJson } from '../metering/evidence.js';
import { instantFromMs } from '@poolmeter/domain';
import { lineToJson, readCutPoints, readLine, readLines } from './read-invoices.js';

const INTERVALS_LOOKED_UP_MAX = 200;

export async function explainLine(
  deps: { readonly db: BillingReader; readonly evidence: EvidenceSource },
  lineId: string,
) {
  const { line, invoice } = await readLine(deps.db, lineId);
  const siblings = await readLines(deps.db, invoice.invoice_id);
  const { parts, rate, ...details } = line.details;
  const exclusions = siblings
    .filter((one) => one.kind === 'excluded')
    .map((one) => ({
      line_id: one.line_id,
      gpu_ms: one.gpu_ms,
      description: one.description,
      incidents: one.details['incidents'] ?? [],
      not_charged: one.details['not_charged'] ?? null,
    }));
  return {
    line: lineToJson(line, invoice.currency),
    invoice: { id: invoice.invoice_id, number: invoice.number, status: invoice.status },
    formula: line.formula,
    parts: Array.isArray(parts) ? (parts as Record<string, unknown>[]) : [],
    price_version: line.price_version,
    rate: (rate ?? null) as Record<string, unknown> | null,
    rounding: 'once per line, half-even, to the minor unit',
    cut_points: await readCutPoints(deps.db, lineId),
    exclusions: line.kind === 'usage' ? exclusions : exclusions.filter((one) => one.line_id === lineId),
    evidence: line.evidence ?? (await lookUpLine(deps, lineId)),
    details,
  };
}

/** A draft's evidence is looked up when somebody asks for it. */
async function lookUpLine(
  { db, evidence }: { readonly db: BillingReader; readonly evidence: EvidenceSource },
  lineId: string,
): Promise<Record<string, unknown> | null> {
  const rows = await db
    .selectFrom('billing.billable_intervals')
    .select(['gpu_uuid', 'gpu_instance', 'started_at', 'ended_at'])
    .where('line_id', '=', lineId)
    .limit(INTERVALS_LOOKED_UP_MAX + 1)
    .execute();
  if (rows.length === 0 || rows.length > INTERVALS_LOOKED_UP_MAX) return null;
  const found = await evidence.evidenceOf(
    rows.map((row) => ({
      gpuUuid: row.gpu_uuid,
      gpuInstance: row.gpu_instance,
      start: instantFromMs(row.started_at.getTime()),
      end: instantFromMs(row.ended_at.getTime()),
    })),
  );
  return evidenceToJson(combineEvidence(found));
}
