import { add, negate, ZERO, type Fraction } from '@poolmeter/domain';

/** What providers' hardware was charged with, by provider. */
type ProviderBasis = ReadonlyMap<string, Fraction>;

export function sumBases(all: readonly ProviderBasis[]): Map<string, Fraction> {
  const total = new Map<string, Fraction>();
  for (const [provider, basis] of all.flatMap((one) => [...one])) {
    total.set(provider, add(total.get(provider) ?? ZERO, basis));
  }
  return total;
}

/** The first less all the others. */
export function subtractBases(from: ProviderBasis, others: readonly ProviderBasis[]): Map<string, Fraction> {
  const negated = others.map(
    (one) => new Map([...one].map(([provider, value]) => [provider, negate(value)])),
  );
  return sumBases([from, ...negated]);
}
