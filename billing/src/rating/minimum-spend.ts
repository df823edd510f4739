import { Money } from '@poolmeter/domain';

/** What is missing to the agreed minimum: 5,000.00 agreed and 4,321.09 used give a true-up of 678.91. */
export function trueUp(minimum: Money, charged: Money): Money {
  const missing = minimum.minus(charged);
  return missing.isNegative() ? Money.zero(minimum.currency) : missing;
}
