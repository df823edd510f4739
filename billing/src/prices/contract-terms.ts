/** A contract as the calculation uses it, from how it was written. */
import { fraction, parseFraction, parseInstant, times } from '@poolmeter/domain';
import type { ContractEntry } from '../files/contracts-file.js';
import { parseRates, type ContractVersion } from '../rating/price-book.js';
import { slaTermsFrom } from '../sla/sla-terms.js';

export function contractFrom(entry: ContractEntry, version: number): ContractVersion {
  const { signed } = entry;
  return {
    contractId: entry.id,
    version,
    customerId: entry.customer,
    effectiveFrom: parseInstant(entry.effective_from),
    effectiveUntil: entry.effective_until === undefined ? undefined : parseInstant(entry.effective_until),
    rates: parseRates(entry.rates),
    discount: entry.discount === undefined ? undefined : parseFraction(entry.discount),
    discountAmount: entry.discount_amount,
    minimumSpend: entry.minimum_spend,
    faultTime: entry.fault_time,
    minimumDurationMs: millisecondsOf(entry.minimum_duration_s ?? '0'),
    incrementMs: millisecondsOf(entry.increment_s ?? '0.001'),
    fees: entry.fees ?? [],
    sla: (entry.sla ?? []).map(slaTermsFrom),
    signed:
      signed === undefined
        ? undefined
        : {
            rates: signed.rates === undefined ? undefined : parseRates(signed.rates),
            discount: signed.discount === undefined ? undefined : parseFraction(signed.discount),
            minimumSpend: signed.minimum_spend,
          },
    source: entry,
  };
}

/** Seconds have at most three decimals, so this is whole. */
function millisecondsOf(seconds: string): bigint {
  return times(parseFraction(seconds), fraction(1_000n)).numerator;
}
