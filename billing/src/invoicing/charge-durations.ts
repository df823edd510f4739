/**
 * Minimum duration and increment (billing rule 9): a lease that is over is charged for whole increments, and for the
 * minimum at least, counted from its start to its end. What that adds was never held by anybody, so it is a line of its
 * own; it is charged in the period of the end, at the price of the last interval, and not when that one is not charged.
 */
import {
  add,
  fraction,
  gpuHours,
  minus,
  Money,
  NO_GPU_TIME,
  ONE,
  times,
  ZERO,
  type Fraction,
  type GpuTime,
  type Interval,
} from '@poolmeter/domain';
import type { Lease } from '../leases/fold-leases.js';
import { sumTimes, type MeteredInterval } from '../metering/meter-leases.js';
import { plainDecimal } from '../rating/plain-decimal.js';
import { contractAt, type ContractVersion, type ResolvedPrice } from '../rating/price-book.js';
import type { ChargedWorld } from './charged-world.js';
import type { Hold, InvoiceLine } from './invoice-line.js';

export interface DurationCharges {
  readonly lines: readonly InvoiceLine[];
  readonly holds: readonly Hold[];
  /** By provider, exact. */
  readonly basis: ReadonlyMap<string, Fraction>;
}

/** Milliseconds that rounding adds to a lease that lasted `lastedMs`. */
export function addedMs(
  lastedMs: bigint,
  terms: Pick<ContractVersion, 'minimumDurationMs' | 'incrementMs'>,
): bigint {
  if (lastedMs <= 0n) return 0n;
  const least = lastedMs > terms.minimumDurationMs ? lastedMs : terms.minimumDurationMs;
  const increments = (least + terms.incrementMs - 1n) / terms.incrementMs;
  return increments * terms.incrementMs - lastedMs;
}

interface Addition {
  readonly last: MeteredInterval;
  readonly price: ResolvedPrice;
  readonly gpuTime: GpuTime;
}

export function chargeDurations(intervals: readonly MeteredInterval[], world: ChargedWorld): DurationCharges {
  const { inputs } = world;
  const rounding = inputs.contracts.some((one) => one.minimumDurationMs > 0n || one.incrementMs > 1n);
  if (!rounding) return { lines: [], holds: [], basis: new Map() };
  const additions = additionsOf(intervals, world);
  const flat = additions.filter(({ price }) => price.shape.kind === 'flat');
  const basis = new Map<string, Fraction>();
  for (const one of flat) {
    const provider = one.last.lease.providerId;
    basis.set(provider, add(basis.get(provider) ?? ZERO, amountOf(one)));
  }
  return { lines: linesOf(flat, inputs.customer.currency), holds: undefinedHolds(additions), basis };
}

function additionsOf(intervals: readonly MeteredInterval[], { inputs, leases, prices }: ChargedWorld) {
  const wholes = new Map(leases.map((lease) => [lease.leaseId, wholeOf(lease, inputs.customer.customerId)]));
  const lasts = new Map(intervals.map((one) => [one.lease.leaseId, one]));
  return [...lasts].flatMap(([leaseId, last]): Addition[] => {
    const whole = wholes.get(leaseId);
    if (whole === undefined || last.span.end !== whole.end || last.outcome !== 'billed') return [];
    const contract = contractAt(inputs.contracts, last.span.start);
    const price = prices.priceOf(last.lease, last.span.start);
    if (contract === undefined || price === undefined) return [];
    const added = addedMs(BigInt(whole.end) - BigInt(whole.start), contract);
    if (added === 0n) return [];
    return [{ last, price, gpuTime: times(last.lease.share, fraction(added)) as GpuTime }];
  });
}

/** From the customer's first instant, earlier periods included, to the lease's end; its end is whoever has it last. */
function wholeOf({ segments }: Lease, customerId: string): Interval | undefined {
  const start = segments.find((one) => one.customerId === customerId)?.start;
  const last = segments.at(-1);
  if (start === undefined || last?.end === undefined || last.customerId !== customerId) return undefined;
  return { start, end: last.end };
}

function amountOf({ gpuTime, price }: Addition): Fraction {
  const rate = price.shape.kind === 'flat' ? price.shape.perGpuHour : ZERO;
  return times(times(gpuHours(gpuTime), rate), minus(ONE, price.discount ?? ZERO));
}

/** One line per price and kind of GPU. */
function linesOf(additions: readonly Addition[], currency: string): InvoiceLine[] {
  const groups = new Map<string, Addition[]>();
  for (const one of additions) {
    const { gpuModel, pool, pricingMode } = one.last.lease;
    const { versionLabel, rateIndex, window } = one.price;
    const key = JSON.stringify([versionLabel, rateIndex, window, gpuModel, pool, pricingMode]);
    const known = groups.get(key);
    if (known === undefined) groups.set(key, [one]);
    else known.push(one);
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, all]) => lineOf(key, all, currency));
}

function lineOf(key: string, additions: readonly Addition[], currency: string): InvoiceLine {
  const { last, price } = additions[0] as Addition;
  const added = sumTimes(additions.map((one) => one.gpuTime));
  return {
    key: `duration:${key}`,
    kind: 'fee',
    description: `Minimum duration and increment of ${additions.length} leases, ${last.lease.gpuModel}, pool ${last.lease.pool}`,
    gpuTime: NO_GPU_TIME,
    unitPrice: price.unitPrice,
    amount: Money.round(additions.map(amountOf).reduce(add, ZERO), currency),
    formula: `${plainDecimal(gpuHours(added))} GPU-h added × ${price.unitPrice ?? ''}`,
    priceVersion: price.versionLabel,
    parts: [],
    intervals: [],
    details: { added_gpu_hours: plainDecimal(gpuHours(added)), leases: additions.length },
  };
}

/** Where a total decides the price, terms do not say what added time costs. */
function undefinedHolds(additions: readonly Addition[]): Hold[] {
  const open = additions.filter(({ price }) => price.shape.kind !== 'flat');
  if (open.length === 0) return [];
  return [
    {
      reason: 'amount_undefined',
      description: `A minimum duration or increment applies to ${open.length} leases whose price depends on a total.`,
      gpuTime: NO_GPU_TIME,
      blocked: undefined,
      suggestedOwner: 'finance',
      clearedBy: 'a flat price for them, or a contract without minimum duration and increment',
      leaseIds: open.map(({ last }) => last.lease.leaseId).sort(),
      incidentIds: [],
    },
  ];
}
