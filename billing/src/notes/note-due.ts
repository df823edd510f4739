/**
 * What a verdict that changed after an invoice was final makes due (billing rule 6): the period as it would be charged with
 * the verdicts of now, less everything that was charged for it so far. Usage stays as it was last invoiced; what is known
 * of it since then is for the next invoice's adjustment.
 */
import { minus, Money, sum, type Fraction, type GpuTime } from '@poolmeter/domain';
import type { BillingReader, InvoiceRow } from '../database.js';
import { chargePeriod } from '../invoicing/charge-period.js';
import type { EarlierAdjustment } from '../invoicing/compute-invoice.js';
import type { PeriodCharges } from '../invoicing/invoice-line.js';
import { loadPinnedPeriod, readEarlier, readLastCorrection } from '../invoicing/load-inputs.js';
import { parseManifest } from '../invoicing/manifest.js';
import type { PeriodInputs } from '../invoicing/period-inputs.js';
import { subtractBases } from '../invoicing/provider-basis.js';
import { readVerdicts } from '../metering/verdict-store.js';
import type { Verdict } from '../metering/verdict.js';

export interface NoteDue {
  /** Before tax; negative when the customer gets something back. */
  readonly amount: Money;
  readonly gpuTime: GpuTime;
  readonly providerBasis: ReadonlyMap<string, Fraction>;
  readonly providerFaults: ReadonlyMap<string, Fraction>;
  /** The period with the verdicts of now. */
  readonly inputs: PeriodInputs;
  readonly then: PeriodCharges;
  readonly now: PeriodCharges;
  /** Verdicts that are not what the last document used. */
  readonly changed: readonly Verdict[];
}

/** undefined while the verdicts stand. */
export async function findNoteDue(db: BillingReader, invoice: InvoiceRow): Promise<NoteDue | undefined> {
  const pinned = parseManifest(invoice.manifest).current;
  const original = await loadPinnedPeriod(db, pinned);
  const corrected = await readLastCorrection(db, invoice.invoice_id);
  const last = corrected === undefined ? original : await loadPinnedPeriod(db, corrected);
  const gpuUuids = last.leaseEvents.flatMap((event) => event.columns.gpuUuid ?? []);
  const verdicts = await readVerdicts(db, { gpuUuids, period: last.period });
  const changed = changedVerdicts(last.verdicts, verdicts);
  if (changed.length === 0) return undefined;
  const inputs = { ...last, verdicts };
  return noteDue({
    original,
    last,
    inputs,
    changed,
    earlier: await readEarlier(db, { invoiceId: invoice.invoice_id, currency: pinned.currency }),
  });
}

/** A verdict that came, went, or has another revision. */
function changedVerdicts(before: readonly Verdict[], now: readonly Verdict[]): Verdict[] {
  const keyOf = (verdict: Verdict) => `${verdict.verdictId} ${verdict.revision}`;
  const [known, current] = [new Set(before.map(keyOf)), new Set(now.map(keyOf))];
  return [
    ...now.filter((one) => !known.has(keyOf(one))),
    ...before.filter((one) => !current.has(keyOf(one))),
  ];
}

export interface NoteQuestion {
  /** As the invoice was computed. */
  readonly original: PeriodInputs;
  /** As the last document about the period was computed: the invoice, an adjustment or a note. */
  readonly last: PeriodInputs;
  readonly inputs: PeriodInputs;
  readonly changed: readonly Verdict[];
  /** What adjustments and notes charged since. */
  readonly earlier: readonly EarlierAdjustment[];
}

/** Pure. */
export function noteDue({ original, last, inputs, changed, earlier }: NoteQuestion): NoteDue {
  const [first, then, now] = [chargePeriod(original), chargePeriod(last), chargePeriod(inputs)];
  const charged = Money.sum([first.net, ...earlier.map((one) => one.amount)], now.net.currency);
  const before = sum([billed(first), ...earlier.map((one) => one.gpuTime)]);
  return {
    amount: now.net.minus(charged),
    gpuTime: minus(billed(now), before) as GpuTime,
    providerBasis: subtractBases(now.providerBasis, [
      first.providerBasis,
      ...earlier.map((one) => one.providerBasis),
    ]),
    providerFaults: subtractBases(now.providerFaults, [then.providerFaults]),
    inputs,
    then,
    now,
    changed,
  };
}

function billed(charges: PeriodCharges): Fraction {
  return sum(charges.lines.filter((line) => line.kind === 'usage').map((line) => line.gpuTime));
}
