/** Computes an invoice again from what it pinned and says how that differs from what is stored (billing rule 14). */
import {
  canonicalJson,
  digestOf,
  formatFraction,
  Money,
  parseFraction,
  PoolmeterError,
} from '@poolmeter/domain';
import type {
  BillableIntervalRow,
  BillingReader,
  BillingStore,
  InvoiceLineRow,
  InvoiceRow,
} from '../database.js';
import { computeInvoice, type ComputedInvoice } from './compute-invoice.js';
import { intervalRowsOf, lineRowsOf } from './invoice-rows.js';
import { loadPinnedInputs } from './load-inputs.js';
import { parseManifest } from './manifest.js';

interface Difference {
  /** The line that differs; null for the invoice itself. */
  readonly line_id: string | null;
  readonly field: string;
  readonly stored: string | null;
  readonly recomputed: string | null;
}

export interface Verification {
  readonly match: boolean;
  readonly input_digest: string;
  readonly recomputed_total: { readonly amount: string; readonly currency: string };
  readonly differences: readonly Difference[];
}

export function verifyInvoice(store: BillingStore, invoiceId: string): Promise<Verification> {
  return store.transaction((trx) => verifyIn(trx, invoiceId), { isolation: 'repeatable read' });
}

async function verifyIn(db: BillingReader, invoiceId: string): Promise<Verification> {
  const stored = await readStored(db, invoiceId);
  const inputs = await loadPinnedInputs(db, parseManifest(stored.invoice.manifest));
  const recomputed = computeInvoice(inputs);
  const differences = [
    ...compareInvoice(stored.invoice, recomputed),
    ...compareLines(stored.lines, lineRowsOf(invoiceId, recomputed, new Map())),
    ...compareIntervals(stored.intervals, intervalRowsOf(invoiceId, recomputed, new Map())),
  ];
  return {
    match: differences.length === 0,
    input_digest: recomputed.inputDigest,
    recomputed_total: recomputed.total.toJSON(),
    differences,
  };
}

interface StoredInvoice {
  readonly invoice: InvoiceRow;
  readonly lines: readonly InvoiceLineRow[];
  readonly intervals: readonly BillableIntervalRow[];
}

async function readStored(db: BillingReader, invoiceId: string): Promise<StoredInvoice> {
  const invoice = await db
    .selectFrom('billing.invoices')
    .selectAll()
    .where('invoice_id', '=', invoiceId)
    .executeTakeFirst();
  if (invoice === undefined) throw new PoolmeterError('not_found', `There is no invoice ${invoiceId}.`);
  const lines = await db
    .selectFrom('billing.invoice_lines')
    .selectAll()
    .where('invoice_id', '=', invoiceId)
    .orderBy('line_number')
    .execute();
  const intervals = await db
    .selectFrom('billing.billable_intervals')
    .selectAll()
    .where('invoice_id', '=', invoiceId)
    .execute();
  return { invoice, lines, intervals };
}

function compareInvoice(stored: InvoiceRow, recomputed: ComputedInvoice): Difference[] {
  const field = (name: string, before: string, now: string): Difference[] =>
    before === now ? [] : [{ line_id: null, field: name, stored: before, recomputed: now }];
  return [
    ...field('input_digest', stored.input_digest, recomputed.inputDigest),
    ...field('subtotal', amountText(stored.subtotal, stored.currency), recomputed.subtotal.toAmountText()),
    ...field('tax', amountText(stored.tax, stored.currency), recomputed.tax.toAmountText()),
    ...field('total', amountText(stored.total, stored.currency), recomputed.total.toAmountText()),
  ];
}

/** What of a line is computed; its evidence is an observation and is kept as it was. */
const lineFields = [
  'kind',
  'description',
  'gpu_ms',
  'unit_price',
  'amount',
  'formula',
  'price_version',
  'details',
] as const;

function compareLines(
  stored: readonly InvoiceLineRow[],
  recomputed: readonly InvoiceLineRow[],
): Difference[] {
  const before = new Map(stored.map((line) => [line.line_id, line]));
  const now = new Map(recomputed.map((line) => [line.line_id, line]));
  const ids = [...new Set([...before.keys(), ...now.keys()])];
  return ids.flatMap((id) => {
    const [a, b] = [before.get(id), now.get(id)];
    if (a === undefined || b === undefined) {
      return [
        { line_id: id, field: 'line', stored: a?.description ?? null, recomputed: b?.description ?? null },
      ];
    }
    return lineFields.flatMap((name) => {
      const [x, y] = [fieldText(a, name), fieldText(b, name)];
      return x === y ? [] : [{ line_id: id, field: name, stored: x, recomputed: y }];
    });
  });
}

function fieldText(line: InvoiceLineRow, name: (typeof lineFields)[number]): string | null {
  const value = line[name];
  if (name === 'amount') return formatFraction(parseFraction(line.amount));
  return value === null || typeof value === 'string' ? value : canonicalJson(value);
}

/** Per line, so that a changed interval names the line that it stands on. */
function compareIntervals(
  stored: readonly BillableIntervalRow[],
  recomputed: readonly BillableIntervalRow[],
): Difference[] {
  const before = digestsByLine(stored);
  const now = digestsByLine(recomputed);
  return [...new Set([...before.keys(), ...now.keys()])].flatMap((lineId) => {
    const [a, b] = [before.get(lineId) ?? null, now.get(lineId) ?? null];
    return a === b ? [] : [{ line_id: lineId, field: 'intervals', stored: a, recomputed: b }];
  });
}

function digestsByLine(rows: readonly BillableIntervalRow[]): Map<string | null, string> {
  const byLine = new Map<string | null, string[]>();
  for (const row of rows) {
    const { evidence: _evidence, ...facts } = row;
    const amount = row.amount === null ? null : formatFraction(parseFraction(row.amount));
    const times = { started_at: row.started_at.getTime(), ended_at: row.ended_at.getTime() };
    const text = canonicalJson({ ...facts, ...times, amount });
    const texts = byLine.get(row.line_id);
    if (texts === undefined) byLine.set(row.line_id, [text]);
    else texts.push(text);
  }
  return new Map([...byLine].map(([line, texts]) => [line, digestOf(texts.sort())]));
}

function amountText(stored: string, currency: string): string {
  return Money.of(stored, currency).toAmountText();
}
