/**
 * Signed terms beside configured ones (billing rule 7a): where they make a difference, both results are shown and the
 * invoice is held. Nobody but people can say which of the two is right.
 */
import { compare, NO_GPU_TIME, sum, type Fraction } from '@poolmeter/domain';
import { plainDecimal } from '../rating/plain-decimal.js';
import type { ContractVersion } from '../rating/price-book.js';
import type { Hold, PeriodCharges } from './invoice-line.js';
import type { PeriodInputs } from './period-inputs.js';

export function termsMismatchHolds(
  inputs: PeriodInputs,
  configured: PeriodCharges,
  charge: (inputs: PeriodInputs) => PeriodCharges,
): Hold[] {
  const signedOnes = inputs.contracts.filter((contract) => contract.signed !== undefined);
  if (signedOnes.length === 0) return [];
  const signed = charge({ ...inputs, contracts: inputs.contracts.map(asSigned) });
  const [ours, theirs] = [burstOf(configured), burstOf(signed)];
  if (configured.net.equals(signed.net) && compare(ours, theirs) === 0) return [];
  const names = [...new Set(signedOnes.map((contract) => contract.contractId))].join(', ');
  const gap = signed.net.minus(configured.net);
  return [
    {
      reason: 'terms_mismatch',
      description: `Contract ${names}: ${resultText(signed, theirs)} by the signed terms, ${resultText(configured, ours)} by the configured ones.`,
      gpuTime: NO_GPU_TIME,
      blocked: gap.isNegative() ? gap.negated() : gap,
      suggestedOwner: 'finance',
      clearedBy: 'a contract version whose terms are the signed ones',
      leaseIds: [],
      incidentIds: [],
    },
  ];
}

function asSigned(contract: ContractVersion): ContractVersion {
  const { signed } = contract;
  if (signed === undefined) return contract;
  return {
    ...contract,
    rates: signed.rates ?? contract.rates,
    discount: signed.discount ?? contract.discount,
    minimumSpend: signed.minimumSpend ?? contract.minimumSpend,
    signed: undefined,
  };
}

/** GPU-hours beyond commitments. */
function burstOf(charges: PeriodCharges): Fraction {
  const parts = charges.lines.flatMap((line) => line.parts).filter((part) => part.label === 'burst');
  return sum(parts.map((part) => part.gpuHours));
}

function resultText({ net }: PeriodCharges, burst: Fraction): string {
  return `${net.toString()} with a burst of ${plainDecimal(burst)} GPU-h`;
}
