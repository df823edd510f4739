/** Computes an invoice again from what it pinned and says how that differs from what is stored (billing rule 14). */
import { createHash } from 'node:crypto';
import { canonicalJson, formatFraction, Money, parseFraction, PoolmeterError } from '@poolmeter/domain';
import { sql } from 'kysely';
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
  /** Digests of the intervals, by line. */
  readonly intervals: ReadonlyMap<string | null, string>;
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
  const intervals = await storedDigests(db, invoiceId);
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
  before: ReadonlyMap<string | null, string>,
  recomputed: readonly BillableIntervalRow[],
): Difference[] {
  const now = digestsByLine(recomputed);
  return [...new Set([...before.keys(), ...now.keys()])].flatMap((lineId) => {
    const [a, b] = [before.get(lineId) ?? null, now.get(lineId) ?? null];
    return a === b ? [] : [{ line_id: lineId, field: 'intervals', stored: a, recomputed: b }];
  });
}

const TEXT_COLUMNS = [
  'interval_id',
  'lease_id',
  'customer_id',
  'project',
  'provider_id',
  'pool',
  'node',
  'gpu_uuid',
  'gpu_instance',
  'gpu_model',
  'pricing_mode',
  'share',
  'outcome',
  'gpu_ms',
] as const;

/** The database digests what it holds, so that ten thousand intervals need not travel; digestsByLine does the same here. */
async function storedDigests(db: BillingReader, invoiceId: string): Promise<Map<string | null, string>> {
  const texts = sql.join(TEXT_COLUMNS.map((name) => sql.ref(name)));
  const { rows } = await sql<{ line_id: string | null; digest: string }>`
    SELECT line_id, encode(sha256(convert_to(string_agg(
      concat_ws(E'\\n', ${texts}, (extract(epoch FROM started_at) * 1000)::bigint, (extract(epoch FROM ended_at) * 1000)::bigint,
        coalesce(trim_scale(amount)::text, '-'), array_to_string(incident_ids, ',')),
      E'\\n\\n' ORDER BY interval_id COLLATE "C"), 'UTF8')), 'hex') AS digest
    FROM billing.billable_intervals
    WHERE invoice_id = ${invoiceId}
    GROUP BY line_id`.execute(db);
  return new Map(rows.map((row) => [row.line_id, row.digest]));
}

function digestsByLine(rows: readonly BillableIntervalRow[]): Map<string | null, string> {
  const byLine = new Map<string | null, BillableIntervalRow[]>();
  for (const row of rows) {
    const own = byLine.get(row.line_id);
    if (own === undefined) byLine.set(row.line_id, [row]);
    else own.push(row);
  }
  return new Map(
    [...byLine].map(([line, own]) => {
      const inOrder = own.sort((a, b) => (a.interval_id < b.interval_id ? -1 : 1));
      const text = inOrder.map(textOfInterval).join('\n\n');
      return [line, createHash('sha256').update(text).digest('hex')];
    }),
  );
}

function textOfInterval(row: BillableIntervalRow): string {
  const amount = row.amount === null ? '-' : withoutZeros(row.amount);
  const times = [row.started_at.getTime(), row.ended_at.getTime()];
  return [...TEXT_COLUMNS.map((name) => row[name]), ...times, amount, row.incident_ids.join(',')].join('\n');
}

/** As the database's trim_scale writes a number. */
function withoutZeros(decimal: string): string {
  return decimal.includes('.') ? decimal.replace(/\.?0+$/, '') : decimal;
}

function amountText(stored: string, currency: string): string {
  return Money.of(stored, currency).toAmountText();
}
