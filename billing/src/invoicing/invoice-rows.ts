/** A computed invoice as rows: lines in order, and intervals with their part of the line's amount. */
import {
  formatFraction,
  formatGpuHours,
  gpuTimeToJson,
  idFromFacts,
  Money,
  parseFraction,
  splitByLargestRemainder,
  toDecimalText,
  type GpuTime,
} from '@poolmeter/domain';
import { instantText, type RowCopy } from '../copies/row-copies.js';
import type { BillableIntervalRow, InvoiceLineRow } from '../database.js';
import { combineEvidence, evidenceToJson, type Evidence } from '../metering/evidence.js';
import type { MeteredInterval } from '../metering/meter-leases.js';
import type { ComputedInvoice } from './compute-invoice.js';
import type { Hold, InvoiceLine } from './invoice-line.js';

/** Evidence by interval id; empty where it was not looked up. */
export type EvidenceByInterval = ReadonlyMap<string, Evidence>;

function lineIdOf(invoiceId: string, lineKey: string): string {
  return idFromFacts('lin', invoiceId, lineKey);
}

export function lineRowsOf(
  invoiceId: string,
  invoice: ComputedInvoice,
  evidence: EvidenceByInterval,
): InvoiceLineRow[] {
  return invoice.lines.map((line, index) => ({
    line_id: lineIdOf(invoiceId, line.key),
    invoice_id: invoiceId,
    line_number: index + 1,
    line_key: line.key,
    kind: line.kind,
    description: line.description,
    gpu_ms: formatFraction(line.gpuTime),
    unit_price: line.unitPrice ?? null,
    amount: line.amount.toAmountText(),
    formula: line.formula,
    price_version: line.priceVersion,
    details: { ...line.details, parts: partsToJson(line) },
    evidence: evidenceOfLine(line, evidence),
    corrects: line.kind === 'adjustment' ? String(line.details['invoice_id']) : null,
  }));
}

function partsToJson(line: InvoiceLine): unknown[] {
  return line.parts.map((part) => ({
    label: part.label,
    gpu_hours: toDecimalText(part.gpuHours, 9),
    per_gpu_hour: toDecimalText(part.perGpuHour, 9),
    amount: toDecimalText(part.amount, 9),
  }));
}

function evidenceOfLine(line: InvoiceLine, evidence: EvidenceByInterval): Record<string, unknown> | null {
  const incidents = line.details['incidents'];
  const known = line.intervals.flatMap((one) => evidence.get(one.intervalId) ?? []);
  if (known.length === 0) return incidents === undefined ? null : { incidents };
  return {
    ...evidenceToJson(combineEvidence(known)),
    ...(incidents === undefined ? {} : { incidents }),
  };
}

export function intervalRowsOf(
  invoiceId: string,
  invoice: ComputedInvoice,
  evidence: EvidenceByInterval,
): BillableIntervalRow[] {
  const places = new Map<string, { lineId: string; amount: Money }>();
  for (const line of invoice.lines) {
    const parts = splitByLargestRemainder(
      line.intervals.length === 0 ? Money.zero(line.amount.currency) : line.amount,
      line.intervals.map((one) => one.gpuTime),
    );
    line.intervals.forEach((one, index) => {
      const amount = parts[index] ?? Money.zero(line.amount.currency);
      places.set(one.intervalId, { lineId: lineIdOf(invoiceId, line.key), amount });
    });
  }
  return invoice.intervals.map((one) =>
    intervalRow(invoiceId, one, { place: places.get(one.intervalId), evidence }),
  );
}

function intervalRow(
  invoiceId: string,
  one: MeteredInterval,
  { place, evidence }: { place: { lineId: string; amount: Money } | undefined; evidence: EvidenceByInterval },
): BillableIntervalRow {
  const { lease } = one;
  const found = evidence.get(one.intervalId);
  return {
    interval_id: one.intervalId,
    invoice_id: invoiceId,
    line_id: place?.lineId ?? null,
    lease_id: lease.leaseId,
    customer_id: lease.customerId,
    project: lease.project,
    provider_id: lease.providerId,
    pool: lease.pool,
    node: lease.node,
    gpu_uuid: lease.gpuUuid,
    gpu_instance: lease.gpuInstance,
    gpu_model: lease.gpuModel,
    pricing_mode: lease.pricingMode,
    share: formatFraction(lease.share),
    started_at: new Date(one.span.start),
    ended_at: new Date(one.span.end),
    outcome: one.outcome,
    gpu_ms: formatFraction(one.gpuTime),
    amount: place?.amount.toAmountText() ?? null,
    incident_ids: [...new Set(one.verdicts.map((verdict) => verdict.incidentId))].sort(),
    evidence: found === undefined ? null : evidenceToJson(found),
  };
}

/** The copy of an interval for charts. */
export function intervalCopy(
  row: BillableIntervalRow,
  facts: {
    readonly version: bigint;
    readonly currency: string;
    readonly line: InvoiceLineRow | undefined;
  },
): RowCopy {
  const { line_id: _line, evidence: _evidence, incident_ids, ...fields } = row;
  return {
    table: 'billable_intervals',
    key: row.lease_id,
    version: facts.version,
    row: {
      ...fields,
      started_at: instantText(row.started_at),
      ended_at: instantText(row.ended_at),
      gpu_hours: formatGpuHours(parseFraction(row.gpu_ms) as GpuTime),
      reason: row.outcome === 'billed' ? '' : (facts.line?.description ?? 'held'),
      incident_id: incident_ids[0] ?? '',
      unit_price: facts.line?.unit_price ?? null,
      currency: facts.currency,
      price_version: facts.line?.price_version ?? '',
      is_deleted: 0,
    },
  };
}

/** Takes away the copy of an interval that other cuts replaced. */
export function deletedIntervalCopy(
  row: Pick<BillableIntervalRow, 'interval_id' | 'lease_id'>,
  version: bigint,
): RowCopy {
  return {
    table: 'billable_intervals',
    key: row.lease_id,
    version,
    row: { interval_id: row.interval_id, lease_id: row.lease_id, is_deleted: 1 },
  };
}

export function holdToJson(hold: Hold): Record<string, unknown> {
  return {
    reason: hold.reason,
    description: hold.description,
    ...gpuTimeToJson(hold.gpuTime),
    blocked: hold.blocked?.toJSON() ?? null,
    suggested_owner: hold.suggestedOwner,
    cleared_by: hold.clearedBy,
    lease_ids: hold.leaseIds,
    incident_ids: hold.incidentIds,
  };
}
