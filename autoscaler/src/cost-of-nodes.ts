/** What GPUs cost and earn an hour by the policy's prices, as exact fractions of the policy's currency. */
import { add, fraction, Money, times, toDecimalText, ZERO, type Fraction } from '@poolmeter/domain';
import type { ScalingPolicy } from './scaling-policy.js';

export interface ModelGpus {
  readonly gpuModel: string;
  readonly gpus: number;
}

/** The price of exactly this model, else that of "*". */
function priceOf(prices: Readonly<Record<string, string>>, gpuModel: string): string | undefined {
  return prices[gpuModel] ?? prices['*'];
}

/** undefined when one of the models has no price: then nobody can say what the whole comes to. */
export function perHour(
  prices: Readonly<Record<string, string>>,
  models: readonly ModelGpus[],
): Fraction | undefined {
  let total = ZERO;
  for (const { gpuModel, gpus } of models) {
    if (gpus === 0) continue;
    const price = priceOf(prices, gpuModel);
    if (price === undefined) return undefined;
    total = add(total, times(exact(price), fraction(BigInt(gpus))));
  }
  return total;
}

/** An amount of a policy as a fraction; the currency does not matter to it. */
export function exact(amount: string): Fraction {
  return Money.of(amount, 'USD').toFraction();
}

export function costText(value: Fraction, { money }: ScalingPolicy): string {
  return `${toDecimalText(value, 2)} ${money.currency}`;
}
