/** What an invoice or a note means for the owners of the hardware, kept beside the ledger so that statements explain it. */
import {
  formatFraction,
  Money,
  times,
  toDecimalText,
  ZERO,
  type EpochMs,
  type Fraction,
} from '@poolmeter/domain';
import type { BillingTransaction } from '../database.js';

export interface EarningObject {
  /** An invoice or a note. */
  readonly objectId: string;
  readonly invoiceId: string;
  readonly month: string;
  readonly currency: string;
  readonly providerBasis: ReadonlyMap<string, Fraction>;
  readonly providerFaults: ReadonlyMap<string, Fraction>;
  readonly payoutShares: ReadonlyMap<string, Fraction>;
  readonly now: EpochMs;
}

/** One row per provider: what it earned as it was booked, and what its faults took from it. */
export async function recordEarnings(trx: BillingTransaction, object: EarningObject): Promise<void> {
  const providers = [...new Set([...object.providerBasis.keys(), ...object.providerFaults.keys()])].sort();
  if (providers.length === 0) return;
  const rows = providers.map((provider) => {
    const basis = object.providerBasis.get(provider) ?? ZERO;
    const faults = object.providerFaults.get(provider) ?? ZERO;
    const share = object.payoutShares.get(provider);
    return {
      object_id: object.objectId,
      provider_id: provider,
      invoice_id: object.invoiceId,
      month: object.month,
      currency: object.currency,
      basis: formatFraction(basis),
      faults: formatFraction(faults),
      payout_share: share === undefined ? null : toDecimalText(share, 9),
      earned: payoutOf(basis, share, object.currency).toAmountText(),
      clawed_back: payoutOf(faults, share, object.currency).toAmountText(),
      recorded_at: new Date(object.now),
    };
  });
  await trx.insertInto('billing.provider_earnings').values(rows).execute();
}

/** Rounded by itself, as the ledger books it. */
function payoutOf(basis: Fraction, share: Fraction | undefined, currency: string): Money {
  return Money.round(times(basis, share ?? ZERO), currency);
}
