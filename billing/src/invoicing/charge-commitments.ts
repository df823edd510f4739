/** What a contract makes due beside usage: committed GPU-hours, and the true-up to a minimum spend (billing rule 9). */
import { Money, NO_GPU_TIME } from '@poolmeter/domain';
import { rateCommitment } from '../rating/committed-hours.js';
import { trueUp } from '../rating/minimum-spend.js';
import { plainDecimal } from '../rating/plain-decimal.js';
import type { ContractVersion } from '../rating/price-book.js';
import type { Hold, InvoiceLine } from './invoice-line.js';
import type { PeriodInputs } from './period-inputs.js';

export interface CommitmentCharges {
  readonly lines: readonly InvoiceLine[];
  /** The part of them that is an absolute discount on usage; zero or negative. */
  readonly discount: Money;
  readonly holds: readonly Hold[];
}

/**
 * A commitment is due for a period that its contract covers from end to end. How a part of a period is to be charged is
 * not written in the terms, so it is held and not invented.
 */
export function chargeCommitments(inputs: PeriodInputs, charged: Money): CommitmentCharges {
  const touching = inputs.contracts.filter((contract) => touchesPeriod(contract, inputs));
  const committing = touching.filter((contract) => commits(contract));
  const none = Money.zero(charged.currency);
  if (committing.length === 0) return { lines: [], discount: none, holds: [] };
  const [contract] = committing;
  const covers =
    contract !== undefined &&
    touching.length === 1 &&
    contract.effectiveFrom <= inputs.period.start &&
    (contract.effectiveUntil === undefined || contract.effectiveUntil >= inputs.period.end);
  if (!covers) return { lines: [], discount: none, holds: [partialPeriod(committing)] };
  const hours = committedHoursLines(contract, inputs);
  const off = discountAmountLine(contract, charged);
  const discount = Money.sum(
    off.map((line) => line.amount),
    charged.currency,
  );
  const due = Money.sum([charged, discount, ...hours.map((line) => line.amount)], charged.currency);
  const lines = [...off, ...hours, ...minimumLine(contract, due, inputs), ...feeLines(contract, charged)];
  return { lines, discount, holds: [] };
}

function commits(contract: ContractVersion): boolean {
  return (
    contract.minimumSpend !== undefined ||
    contract.discountAmount !== undefined ||
    contract.fees.length > 0 ||
    contract.rates.some((rate) => rate.shape.kind === 'committed_hours')
  );
}

/** In force at some instant of the period; a version that a later one replaced before the period is not. */
function touchesPeriod(contract: ContractVersion, inputs: PeriodInputs): boolean {
  const { start, end } = inputs.period;
  const replacedBefore = inputs.contracts.some(
    (other) =>
      other !== contract &&
      other.effectiveFrom <= start &&
      (other.effectiveFrom > contract.effectiveFrom ||
        (other.effectiveFrom === contract.effectiveFrom && other.version > contract.version)),
  );
  const over = contract.effectiveUntil !== undefined && contract.effectiveUntil <= start;
  return contract.effectiveFrom < end && !over && !replacedBefore;
}

function committedHoursLines(contract: ContractVersion, inputs: PeriodInputs): InvoiceLine[] {
  return contract.rates.flatMap((rate, index): InvoiceLine[] => {
    if (rate.shape.kind !== 'committed_hours') return [];
    const rating = rateCommitment(rate.shape);
    const hours = plainDecimal(rate.shape.gpuHours);
    return [
      {
        key: `commitment:${contract.contractId}:${index}`,
        kind: 'commitment',
        description: `${hours} committed GPU-hours of ${rate.gpuModel}, contract ${contract.contractId}`,
        gpuTime: NO_GPU_TIME,
        unitPrice: rate.source.committed?.per_gpu_hour,
        amount: Money.round(rating.amount, inputs.customer.currency),
        formula: `${hours} GPU-h × ${rate.source.committed?.per_gpu_hour ?? ''}, used or not`,
        priceVersion: `contract ${contract.contractId} version ${contract.version}`,
        parts: rating.parts,
        intervals: [],
        details: { rate: rate.source },
      },
    ];
  });
}

/** An absolute discount takes charges to zero at most: it never pays anything out. */
function discountAmountLine(contract: ContractVersion, charged: Money): InvoiceLine[] {
  if (contract.discountAmount === undefined) return [];
  const agreed = Money.of(contract.discountAmount, charged.currency);
  const amount = agreed.compare(charged) > 0 ? charged : agreed;
  if (amount.isZero() || amount.isNegative()) return [];
  return [
    {
      ...plainLine(contract),
      key: `discount-amount:${contract.contractId}`,
      kind: 'discount',
      description: `Discount of ${agreed.toString()} on the charges of the period`,
      amount: amount.negated(),
      formula: `−min(${agreed.toAmountText()}, ${charged.toAmountText()})`,
    },
  ];
}

/** Flat fees come on top of a minimum spend, which is about usage. */
function feeLines(contract: ContractVersion, charged: Money): InvoiceLine[] {
  return contract.fees.map((fee) => ({
    ...plainLine(contract),
    key: `fee:${contract.contractId}:${fee.id}`,
    kind: 'fee',
    description: fee.description,
    amount: Money.of(fee.amount, charged.currency),
    formula: `${fee.amount} per period`,
  }));
}

function plainLine(contract: ContractVersion) {
  return {
    gpuTime: NO_GPU_TIME,
    unitPrice: undefined,
    priceVersion: `contract ${contract.contractId} version ${contract.version}`,
    parts: [],
    intervals: [],
    details: {},
  } as const;
}

/** Only a whole period can fall short of a minimum: a draft of a running one shows none. */
function minimumLine(contract: ContractVersion, due: Money, inputs: PeriodInputs): InvoiceLine[] {
  if (contract.minimumSpend === undefined || inputs.asOf < inputs.period.end) return [];
  const minimum = Money.of(contract.minimumSpend, inputs.customer.currency);
  const amount = trueUp(minimum, due);
  if (amount.isZero()) return [];
  return [
    {
      key: `minimum:${contract.contractId}`,
      kind: 'commitment',
      description: `True-up to the minimum spend of ${minimum.toString()}, contract ${contract.contractId}`,
      gpuTime: NO_GPU_TIME,
      unitPrice: undefined,
      amount,
      formula: `${minimum.toAmountText()} − ${due.toAmountText()}`,
      priceVersion: `contract ${contract.contractId} version ${contract.version}`,
      parts: [],
      intervals: [],
      details: { minimum_spend: minimum.toJSON(), charged: due.toJSON() },
    },
  ];
}

function partialPeriod(contracts: readonly ContractVersion[]): Hold {
  const names = [...new Set(contracts.map((contract) => contract.contractId))].join(', ');
  return {
    reason: 'amount_undefined',
    description: `The commitment of contract ${names} covers only a part of this period.`,
    gpuTime: NO_GPU_TIME,
    blocked: undefined,
    suggestedOwner: 'finance',
    clearedBy: 'a contract version that covers the whole period, or one without a commitment',
    leaseIds: [],
    incidentIds: [],
  };
}
