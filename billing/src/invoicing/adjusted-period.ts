import type { PeriodInputs } from './period-inputs.js';

/**
 * A closed period as it is known now. Only usage is new: prices and terms stay those of its invoice, and verdicts those of
 * its last document, because a verdict that changes later is corrected by a note of its own (billing rule 6).
 */
export function adjustedPeriod(
  then: PeriodInputs,
  usage: Pick<PeriodInputs, 'leaseEvents' | 'leasePosition' | 'overlapping'> &
    Partial<Pick<PeriodInputs, 'verdicts'>>,
): PeriodInputs {
  return { ...then, ...usage };
}
