/**
 * A second implementation of metering and rating, for tests alone: it asks, for every single millisecond of a small world,
 * who held what at which price, and adds up. It shares no arithmetic, folding, cutting or price search with the real one.
 */
import type { PeriodInputs } from '../invoicing/period-inputs.js';
import type { RecordedLeaseEvent } from '../leases/recorded-lease-event.js';
import type { ContractVersion, Rate } from '../rating/price-book.js';
import type { PriceShape } from '../rating/price-shape.js';

/** Numerator and denominator, never reduced. */
type Ratio = readonly [bigint, bigint];
const NONE: Ratio = [0n, 1n];
const HOUR_MS = 3_600_000n;

const plus = (a: Ratio, b: Ratio): Ratio => [a[0] * b[1] + b[0] * a[1], a[1] * b[1]];
const mul = (a: Ratio, b: Ratio): Ratio => [a[0] * b[0], a[1] * b[1]];
const less = (a: Ratio, b: Ratio): boolean => a[0] * b[1] < b[0] * a[1];
const smaller = (a: Ratio, b: Ratio): Ratio => (less(b, a) ? b : a);
const opposite = ([a, b]: Ratio): Ratio => [-a, b];
const ratio = (value: { numerator: bigint; denominator: bigint }): Ratio => [
  value.numerator,
  value.denominator,
];
const decimal = (text: string): Ratio => {
  const [whole = '0', rest = ''] = text.split('.');
  return [BigInt(whole + rest), BigInt(`1${'0'.repeat(rest.length)}`)];
};

/** Cents, ties to even, by looking at every candidate around it. */
export function cents([above, below]: Ratio): bigint {
  const [n, d] = [above * 100n, below];
  const guess = n / d;
  const candidates = [guess - 1n, guess, guess + 1n];
  const off = (c: bigint) => (c * d > n ? c * d - n : n - c * d);
  const least = candidates.reduce((best, c) => (off(c) < off(best) ? c : best));
  const ties = candidates.filter((c) => off(c) === off(least));
  return ties.find((c) => c % 2n === 0n) ?? least;
}

/** The holder's columns at an instant; undefined when nobody holds by this lease. */
function heldAt(
  events: readonly RecordedLeaseEvent[],
  at: number,
): RecordedLeaseEvent['columns'] | undefined {
  const latest = (type: string) =>
    events
      .filter((event) => event.type === type)
      .reduce<RecordedLeaseEvent | undefined>(
        (last, event) => (last === undefined || event.position > last.position ? event : last),
        undefined,
      );
  const [start, end] = [latest('started'), latest('ended')];
  if (latest('cancelled') !== undefined || start === undefined || at < start.at) return undefined;
  if (end !== undefined && at >= end.at) return undefined;
  const amendments = events.filter((event) => event.type === 'amended' && event.at <= at);
  amendments.sort((a, b) => a.at - b.at || (a.position < b.position ? -1 : 1));
  return amendments.reduce((columns, event) => ({ ...columns, ...event.columns }), start.columns);
}

function contractNow(contracts: readonly ContractVersion[], at: number): ContractVersion | undefined {
  let best: ContractVersion | undefined;
  for (const one of contracts) {
    if (one.effectiveFrom > at) continue;
    const newer =
      best === undefined ||
      one.effectiveFrom > best.effectiveFrom ||
      (one.effectiveFrom === best.effectiveFrom && one.version > best.version);
    if (newer) best = one;
  }
  return best?.effectiveUntil !== undefined && best.effectiveUntil <= at ? undefined : best;
}

function pick(rates: readonly Rate[], columns: RecordedLeaseEvent['columns']): number {
  const wanted = [columns.gpuModel, columns.pool, columns.pricingMode];
  const scores = rates.map((rate) => {
    const said = [rate.gpuModel, rate.pool, rate.pricingMode];
    if (said.some((word, index) => word !== '*' && word !== wanted[index])) return -1;
    return (said[0] === '*' ? 0 : 100) + (said[1] === '*' ? 0 : 10) + (said[2] === '*' ? 0 : 1);
  });
  const best = Math.max(-1, ...scores);
  return best < 0 ? -1 : scores.indexOf(best);
}

const WEEK = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];

/** The window of a time-of-use price and its rate per hour, by what the wall clock shows. */
function clockRate(shape: Extract<PriceShape, { kind: 'time_of_use' }>, at: number): [string, Ratio] {
  const parts = new Intl.DateTimeFormat('en-GB', {
    timeZone: shape.zone,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).formatToParts(at);
  const part = (type: string) => parts.find((one) => one.type === type)?.value ?? '';
  const minute = Number(part('hour')) * 60 + Number(part('minute'));
  const today = WEEK.indexOf(part('weekday')) + 1;
  for (const { name, fromMinute, toMinute, days, perGpuHour } of shape.windows) {
    const overnight = toMinute <= fromMinute;
    const began = minute >= fromMinute && (overnight || minute < toMinute) && days.has(today);
    const carried = overnight && minute < toMinute && days.has(today === 1 ? 7 : today - 1);
    if (began || carried) return [name, ratio(perGpuHour)];
  }
  return ['', ratio(shape.perGpuHour)];
}

interface Price {
  readonly key: string;
  readonly shape: PriceShape;
  readonly perHour: Ratio;
  readonly off: Ratio;
  readonly contract: ContractVersion | undefined;
}

function priceNow(
  inputs: PeriodInputs,
  columns: RecordedLeaseEvent['columns'],
  at: number,
): Price | undefined {
  const contract = contractNow(inputs.contracts, at);
  const own = contract === undefined ? -1 : pick(contract.rates, columns);
  const books = inputs.books.filter((b) => b.effectiveFrom <= at && b.currency === inputs.customer.currency);
  books.sort((a, b) => a.effectiveFrom - b.effectiveFrom || a.version - b.version);
  const book = books.at(-1);
  const listed = book === undefined ? -1 : pick(book.rates, columns);
  const source = own >= 0 ? contract : book;
  const index = own >= 0 ? own : listed;
  const rate = source?.rates[index];
  if (source === undefined || rate === undefined) return undefined;
  const off: Ratio = own >= 0 || contract?.discount === undefined ? NONE : ratio(contract.discount);
  const { shape } = rate;
  const [window, perHour]: [string, Ratio] =
    shape.kind === 'time_of_use'
      ? clockRate(shape, at)
      : ['', shape.kind === 'flat' ? ratio(shape.perGpuHour) : NONE];
  const alike = shape.kind === 'flat' || shape.kind === 'time_of_use';
  const place = alike ? [columns.gpuModel, columns.pool, columns.pricingMode].join() : '';
  const origin = own >= 0 ? `c${contract?.version ?? 0}` : `b${book?.version ?? 0}`;
  return { key: [origin, index, off.join('/'), window, place].join('|'), shape, perHour, off, contract };
}

function amountOf({ shape, perHour }: Price, time: Ratio): Ratio {
  const hours = mul(time, [1n, HOUR_MS]);
  switch (shape.kind) {
    case 'flat':
    case 'time_of_use':
      return mul(hours, perHour);
    case 'committed_hours': {
      const over = plus(hours, opposite(ratio(shape.gpuHours)));
      return less(NONE, over) ? mul(over, ratio(shape.burstPerGpuHour)) : NONE;
    }
    case 'volume': {
      const tier = shape.tiers.find(
        (one) => one.upToGpuHours === undefined || !less(ratio(one.upToGpuHours), hours),
      );
      return mul(hours, ratio(tier?.perGpuHour ?? { numerator: 0n, denominator: 1n }));
    }
    case 'graduated': {
      let [sum, below] = [NONE, NONE];
      for (const tier of shape.tiers) {
        const top = tier.upToGpuHours === undefined ? hours : smaller(ratio(tier.upToGpuHours), hours);
        if (less(below, top)) sum = plus(sum, mul(plus(top, opposite(below)), ratio(tier.perGpuHour)));
        below = top;
      }
      return sum;
    }
  }
}

export interface NaiveCharges {
  /** `kind gpu_ms cents`, sorted; GPU time as numerator/denominator in lowest terms. */
  readonly lines: readonly string[];
  readonly unpricedMs: string;
  readonly heldMs: string;
}

interface Tally {
  readonly billed: Map<string, { price: Price; time: Ratio }>;
  excluded: Ratio;
  held: Ratio;
  unpriced: Ratio;
  /** What each lease was doing in its last charged millisecond of the period. */
  readonly lasts: Map<string, { at: number; outcome: string; share: Ratio; price: Price | undefined }>;
}

export function naiveCharges(inputs: PeriodInputs): NaiveCharges {
  const leases = new Map<string, RecordedLeaseEvent[]>();
  for (const event of new Map(inputs.leaseEvents.map((one) => [one.eventId, one])).values()) {
    leases.set(event.leaseId, [...(leases.get(event.leaseId) ?? []), event]);
  }
  const tally: Tally = { billed: new Map(), excluded: NONE, held: NONE, unpriced: NONE, lasts: new Map() };
  const until = Math.min(inputs.period.end, inputs.asOf);
  for (let at: number = inputs.period.start; at < until; at += 1) {
    for (const [leaseId, events] of leases) {
      const columns = heldAt(events, at);
      if (columns === undefined || columns.customerId !== inputs.customer.customerId) continue;
      countMillisecond(tally, inputs, { at, leaseId, columns });
    }
  }
  const usage = [...tally.billed.values()].map(({ price, time }) => ({
    price,
    time,
    amount: amountOf(price, time),
  }));
  const lines = usage.map(({ time, amount }) => `usage ${lowest(time)} ${cents(amount)}`);
  let charged = usage.reduce((sum, one) => sum + cents(one.amount), 0n);
  for (const { price, amount } of usage.filter((one) => one.price.off[0] !== 0n)) {
    const off = -cents(mul(amount, price.off));
    lines.push(`discount 0 ${off}`);
    charged += off;
  }
  const added = durationLines(tally, leases, inputs);
  charged += added.reduce((sum, one) => sum + one, 0n);
  lines.push(...added.map((one) => `fee 0 ${one}`), ...contractLines(inputs, charged));
  return { lines: lines.sort(), unpricedMs: lowest(tally.unpriced), heldMs: lowest(tally.held) };
}

interface Millisecond {
  readonly at: number;
  readonly leaseId: string;
  readonly columns: RecordedLeaseEvent['columns'];
}

function countMillisecond(tally: Tally, inputs: PeriodInputs, { at, leaseId, columns }: Millisecond): void {
  const share = ratio(columns.share ?? { numerator: 0n, denominator: 1n });
  const bills = contractNow(inputs.contracts, at)?.faultTime === 'bill';
  const touching = inputs.verdicts.filter(
    (one) =>
      one.gpuUuid === columns.gpuUuid &&
      (one.gpuInstance === '' || columns.gpuInstance === '' || one.gpuInstance === columns.gpuInstance) &&
      one.start <= at &&
      (one.end === undefined || at < one.end),
  );
  const is = (wanted: string) => !bills && touching.some((one) => one.billingClass === wanted);
  const overlaps = inputs.overlapping.some((one) => one.leaseId === leaseId && one.otherLeaseIds.length > 0);
  const price = priceNow(inputs, columns, at);
  const outcome = is('C') ? 'excluded' : overlaps || is('H') ? 'held' : 'billed';
  tally.lasts.set(leaseId, { at, outcome, share, price });
  if (outcome === 'excluded') tally.excluded = plus(tally.excluded, share);
  else if (outcome === 'held') tally.held = plus(tally.held, share);
  else if (price === undefined) tally.unpriced = plus(tally.unpriced, share);
  else {
    const known = tally.billed.get(price.key);
    tally.billed.set(price.key, { price, time: plus(known?.time ?? NONE, share) });
  }
}

/** Cents that minimum durations and increments add, one figure per price. */
function durationLines(
  tally: Tally,
  leases: ReadonlyMap<string, readonly RecordedLeaseEvent[]>,
  inputs: PeriodInputs,
): bigint[] {
  const sums = new Map<string, Ratio>();
  for (const [leaseId, { at, outcome, share, price }] of tally.lasts) {
    const events = leases.get(leaseId) ?? [];
    const contract = contractNow(inputs.contracts, at);
    if (contract === undefined || price === undefined || outcome !== 'billed') continue;
    if (price.shape.kind !== 'flat' && price.shape.kind !== 'time_of_use') continue;
    // It ended right after its last millisecond here, if nobody has it then.
    const ended = events.some((event) => event.type === 'ended') && heldAt(events, at + 1) === undefined;
    if (!ended) continue;
    let begun = at;
    while (heldAt(events, begun - 1) !== undefined) begun -= 1;
    const lasted = BigInt(at + 1 - begun);
    let charged = lasted;
    while (charged < contract.minimumDurationMs || charged % contract.incrementMs !== 0n) charged += 1n;
    const extra = mul(mul([charged - lasted, HOUR_MS], share), price.perHour);
    if (charged === lasted) continue;
    const kept = plus([1n, 1n], opposite(price.off));
    const key = price.key;
    sums.set(key, plus(sums.get(key) ?? NONE, mul(extra, kept)));
  }
  return [...sums.values()].map(cents);
}

/** What a contract makes due beside usage, where one covers the whole period. */
function contractLines(inputs: PeriodInputs, charged: bigint): string[] {
  const { start, end } = inputs.period;
  const [first, last] = [contractNow(inputs.contracts, start), contractNow(inputs.contracts, end - 1)];
  const touching = new Set<ContractVersion>();
  for (let at: number = start; at < end; at += 1) {
    const now = contractNow(inputs.contracts, at);
    if (now !== undefined) touching.add(now);
  }
  if (first === undefined || first !== last || touching.size !== 1) return [];
  const lines: string[] = [];
  let due = charged;
  if (first.discountAmount !== undefined) {
    const agreed = cents(decimal(first.discountAmount));
    const off = agreed < charged ? agreed : charged;
    if (off > 0n) {
      lines.push(`discount 0 ${-off}`);
      due -= off;
    }
  }
  for (const { shape } of first.rates) {
    if (shape.kind !== 'committed_hours') continue;
    const amount = cents(mul(ratio(shape.gpuHours), ratio(shape.perGpuHour)));
    lines.push(`commitment 0 ${amount}`);
    due += amount;
  }
  if (first.minimumSpend !== undefined && inputs.asOf >= end) {
    const missing = cents(decimal(first.minimumSpend)) - due;
    if (missing > 0n) lines.push(`commitment 0 ${missing}`);
  }
  return [...lines, ...first.fees.map((fee) => `fee 0 ${cents(decimal(fee.amount))}`)];
}

function lowest([above, below]: Ratio): string {
  let [a, b] = [above < 0n ? -above : above, below];
  while (b !== 0n) [a, b] = [b, a % b];
  const divisor = a === 0n ? 1n : a;
  return below / divisor === 1n ? String(above / divisor) : `${above / divisor}/${below / divisor}`;
}
