/** Prices over time: versions that are only ever added, and the one price that holds for a GPU at an instant (rule 8). */
import { digestOf, PoolmeterError, type EpochMs, type Fraction } from '@poolmeter/domain';
import type { PricingMode } from '../leases/recorded-lease-event.js';
import { parseShape, rateToJson, type RateJson } from './rate-json.js';
import type { PriceShape, RatedShape } from './price-shape.js';
import type { SlaTerms } from '../sla/sla-terms.js';

const ANY = '*';

/** What a price is for; `*` matches everything. */
export interface PricedThing {
  readonly gpuModel: string;
  readonly pool: string;
  readonly pricingMode: PricingMode;
}

export interface Rate {
  readonly gpuModel: string;
  readonly pool: string;
  readonly pricingMode: string;
  readonly shape: PriceShape;
  /** As it was written: what digests and explanations show. */
  readonly source: RateJson;
}

export interface PriceBookVersion {
  /** 1, 2, 3 … over all currencies. */
  readonly version: number;
  readonly currency: string;
  readonly effectiveFrom: EpochMs;
  readonly rates: readonly Rate[];
}

/** What a customer agreed to, from an instant on; a later version of the same contract replaces it. */
export interface ContractVersion {
  readonly contractId: string;
  readonly version: number;
  readonly customerId: string;
  readonly effectiveFrom: EpochMs;
  /** undefined: until a later version. */
  readonly effectiveUntil: EpochMs | undefined;
  /** Rates that go before the price book's. */
  readonly rates: readonly Rate[];
  /** On list prices, such as 1/10. */
  readonly discount: Fraction | undefined;
  /** Off the charges of a period, in the customer's currency, as digits. */
  readonly discountAmount: string | undefined;
  /** An amount in the customer's currency, as digits. */
  readonly minimumSpend: string | undefined;
  readonly faultTime: 'exclude' | 'bill';
  /** A lease is charged for this long at least, and for whole increments: wall milliseconds; 0 and 1 change nothing. */
  readonly minimumDurationMs: bigint;
  readonly incrementMs: bigint;
  /** Due once per period, whatever is used. */
  readonly fees: readonly FlatFee[];
  readonly sla: readonly SlaTerms[];
  /** The terms as they were signed, when they were entered beside those that are configured (rule 7a). */
  readonly signed: SignedTerms | undefined;
  /** As it was written: what digests show. */
  readonly source: Readonly<Record<string, unknown>>;
}

interface FlatFee {
  readonly id: string;
  readonly description: string;
  readonly amount: string;
}

/** The terms that decide an amount; undefined means: as configured. */
interface SignedTerms {
  readonly rates: readonly Rate[] | undefined;
  readonly discount: Fraction | undefined;
  readonly minimumSpend: string | undefined;
}

export interface ResolvedRate {
  readonly origin: 'contract' | 'list';
  /** `book 3` or `contract acme-2026 version 1`; with the rate's index, the key of a line. */
  readonly versionLabel: string;
  readonly rateIndex: number;
  readonly rate: Rate;
  /** Only on list prices. */
  readonly discount: Fraction | undefined;
}

/** A rate as it holds at an instant. */
export interface ResolvedPrice extends ResolvedRate {
  readonly shape: RatedShape;
  /** Per GPU-hour as it was written; undefined where one number would not tell the truth. */
  readonly unitPrice: string | undefined;
  /** The window of a time-of-use price; '' for other prices. */
  readonly window: string;
}

export interface Pricing {
  readonly currency: string;
  readonly books: readonly PriceBookVersion[];
  readonly contracts: readonly ContractVersion[];
}

/** Contract price, else list price with the contract's discount; undefined when there is none. */
export function resolveRate(thing: PricedThing, at: EpochMs, pricing: Pricing): ResolvedRate | undefined {
  const contract = contractAt(pricing.contracts, at);
  const agreed = contract === undefined ? undefined : mostSpecific(contract.rates, thing);
  if (contract !== undefined && agreed !== undefined) {
    const versionLabel = `contract ${contract.contractId} version ${contract.version}`;
    return { origin: 'contract', versionLabel, ...agreed, discount: undefined };
  }
  const book = bookAt(pricing, at);
  const listed = book === undefined ? undefined : mostSpecific(book.rates, thing);
  if (book === undefined || listed === undefined) return undefined;
  return { origin: 'list', versionLabel: `book ${book.version}`, ...listed, discount: contract?.discount };
}

/** The book in force: the latest effective date that has come; of two for one date, the later version. */
function bookAt({ books, currency }: Pricing, at: EpochMs): PriceBookVersion | undefined {
  return books
    .filter((book) => book.currency === currency && book.effectiveFrom <= at)
    .toSorted((a, b) => a.effectiveFrom - b.effectiveFrom || a.version - b.version)
    .at(-1);
}

export function contractAt(contracts: readonly ContractVersion[], at: EpochMs): ContractVersion | undefined {
  const inForce = contracts
    .filter((contract) => contract.effectiveFrom <= at)
    .toSorted((a, b) => a.effectiveFrom - b.effectiveFrom || a.version - b.version)
    .at(-1);
  return inForce?.effectiveUntil !== undefined && inForce.effectiveUntil <= at ? undefined : inForce;
}

function mostSpecific(
  rates: readonly Rate[],
  thing: PricedThing,
): { rate: Rate; rateIndex: number } | undefined {
  return rates
    .map((rate, rateIndex) => ({ rate, rateIndex }))
    .filter(({ rate }) => matches(rate, thing))
    .toSorted((a, b) => specificity(b.rate) - specificity(a.rate))[0];
}

function matches(rate: Rate, thing: PricedThing): boolean {
  return (
    [ANY, thing.gpuModel].includes(rate.gpuModel) &&
    [ANY, thing.pool].includes(rate.pool) &&
    [ANY, thing.pricingMode].includes(rate.pricingMode)
  );
}

/** The model says more than the pool, and the pool more than the mode; two rates never tie on one thing. */
function specificity(rate: Pick<Rate, 'gpuModel' | 'pool' | 'pricingMode'>): number {
  return (rate.gpuModel === ANY ? 0 : 4) + (rate.pool === ANY ? 0 : 2) + (rate.pricingMode === ANY ? 0 : 1);
}

/** The instants within a period at which a price may change. */
export function priceCuts({ books, contracts }: Omit<Pricing, 'currency'>): EpochMs[] {
  return [
    ...books.map((book) => book.effectiveFrom),
    ...contracts.flatMap((one) =>
      one.effectiveUntil === undefined ? [one.effectiveFrom] : [one.effectiveFrom, one.effectiveUntil],
    ),
  ];
}

/** Reads stored or given rates. Two that are for the same thing are refused: neither would be more specific. */
export function parseRates(rates: readonly RateJson[]): Rate[] {
  const seen = new Set<string>();
  return rates.map((source, index) => {
    const key = JSON.stringify([source.gpu_model, source.pool, source.pricing_mode]);
    if (seen.has(key)) {
      throw new PoolmeterError('input.invalid', `rates[${index}] is for the same thing as an earlier rate.`);
    }
    seen.add(key);
    return {
      gpuModel: source.gpu_model,
      pool: source.pool,
      pricingMode: source.pricing_mode,
      shape: parseShape(source),
      source,
    };
  });
}

/** What makes two versions the same: applying one file twice must not make two versions. */
export function priceBookDigest(book: Omit<PriceBookVersion, 'version'>): string {
  return digestOf({
    currency: book.currency,
    effective_from: book.effectiveFrom,
    rates: book.rates.map((rate) => rateToJson(rate.source)),
  });
}
