/** What must hold in every world, as functions of how many worlds are tried. */
import {
  compare,
  formatFraction,
  gpuTimeOf,
  instantFromMs,
  interval,
  minus,
  Money,
  splitByLargestRemainder,
  sum,
  type EpochMs,
  type Fraction,
} from '@poolmeter/domain';
import fc from 'fast-check';
import { expect } from 'vitest';
import { adjustedPeriod } from '../invoicing/adjusted-period.js';
import { chargePeriod, meterPeriod } from '../invoicing/charge-period.js';
import { computeInvoice } from '../invoicing/compute-invoice.js';
import type { PeriodCharges } from '../invoicing/invoice-line.js';
import { billingPeriod } from '../invoicing/period.js';
import { digestOfPeriodInputs, type PeriodInputs } from '../invoicing/period-inputs.js';
import { meterLeases, totalsOf } from '../metering/meter-leases.js';
import { foldLeases } from '../leases/fold-leases.js';
import { postInvoice } from '../ledger/post-invoice.js';
import type { SlaEntry } from '../sla/sla-terms.js';
import { windowTimeline } from '../rating/time-of-use.js';
import { sampleBook, sampleContract, sampleLeases } from '../sample-world.js';
import { cents, naiveCharges } from './naive-charges.js';
import { smallWorlds } from './small-worlds.js';

export type Law = (numRuns: number) => void;

/** Repeatable: fast-check prints the seed of a failure. */
export function shuffle<T>(items: readonly T[], seed: number): T[] {
  let state = seed >>> 0;
  return items
    .map((item) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return { item, at: state };
    })
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

function linesOf(charges: PeriodCharges): string[] {
  return charges.lines
    .filter((line) => line.kind !== 'excluded')
    .map((line) => `${line.kind} ${formatFraction(line.gpuTime)} ${line.amount.toMinorUnits()}`)
    .sort();
}

const agreesWithNaive: Law = (numRuns) => {
  fc.assert(
    fc.property(smallWorlds, (inputs) => {
      const charges = chargePeriod(inputs);
      const naive = naiveCharges(inputs);
      expect(linesOf(charges)).toEqual(naive.lines);
      const totals = totalsOf(charges.intervals);
      expect(formatFraction(totals.held)).toBe(naive.heldMs);
      const usage = sum(charges.lines.filter((line) => line.kind === 'usage').map((line) => line.gpuTime));
      expect(formatFraction(minus(totals.billed, usage))).toBe(naive.unpricedMs);
    }),
    { numRuns },
  );
};

const orderAndRepeats: Law = (numRuns) => {
  fc.assert(
    fc.property(smallWorlds, fc.integer(), (inputs, seed) => {
      const shuffled = {
        ...inputs,
        leaseEvents: shuffle([...inputs.leaseEvents, ...inputs.leaseEvents], seed),
        verdicts: shuffle(inputs.verdicts, seed),
        books: shuffle(inputs.books, seed),
        contracts: shuffle(inputs.contracts, seed),
      };
      expect(chargePeriod(shuffled)).toEqual(chargePeriod(inputs));
      expect(digestOfPeriodInputs(shuffled)).toBe(digestOfPeriodInputs(inputs));
    }),
    { numRuns },
  );
};

/** A lease that is cut in two where nothing changes is charged as one: what is cut is time, not money. */
const splitting: Law = (numRuns) => {
  const at = fc.integer({ min: -60, max: 60 });
  fc.assert(
    fc.property(smallWorlds, at, (given, offset) => {
      // A book that repeats itself makes a line of its own, so the cut is an amendment that changes nothing.
      const inputs = { ...given, contracts: [] };
      const cut = instantFromMs(inputs.period.start + 60 + offset);
      const again = inputs.leaseEvents
        .filter((event) => event.type === 'started')
        .map((event) => ({
          ...event,
          type: 'amended' as const,
          eventId: `${event.eventId}-cut`,
          at: cut,
          columns: {},
          position: event.position + 7n,
        }));
      const whole = chargePeriod(inputs);
      const pieces = chargePeriod({ ...inputs, leaseEvents: [...inputs.leaseEvents, ...again] });
      expect(linesOf(pieces)).toEqual(linesOf(whole));
    }),
    { numRuns },
  );
};

/** Closing early and adjusting, twice, comes to what closing late would have: incremental equals batch. */
const incrementalIsBatch: Law = (numRuns) => {
  fc.assert(
    fc.property(smallWorlds, fc.nat(), fc.nat(), (inputs, first, second) => {
      const all = inputs.leaseEvents.toSorted((a, b) => (a.position < b.position ? -1 : 1));
      const [a = 0, b = 0] = [first % (all.length + 1), second % (all.length + 1)].sort((x, y) => x - y);
      const steps = [all.slice(0, a), all.slice(0, b), all].map((leaseEvents) =>
        leaseEvents.filter((event) => leaseEvents.some((one) => one.leaseId === event.leaseId)),
      );
      const known = (step: number): PeriodInputs => ({ ...inputs, leaseEvents: steps[step] ?? [] });
      const [then, later, last] = [known(0), known(1), known(2)];
      const next = nextPeriod(inputs);
      const closed = { invoiceId: 'inv', number: 'PM-1', then, earlier: [] };
      const one = computeInvoice({
        current: next,
        closed: [{ ...closed, now: adjustedPeriod(then, later) }],
      }).lines.find((line) => line.kind === 'adjustment');
      const basis = (one?.details['provider_basis'] ?? {}) as Record<string, string>;
      const earlier =
        one === undefined
          ? []
          : [{ lineId: 'l', amount: one.amount, gpuTime: one.gpuTime, providerBasis: parsed(basis) }];
      const two = computeInvoice({
        current: next,
        closed: [{ ...closed, earlier, now: adjustedPeriod(then, last) }],
      }).lines.find((line) => line.kind === 'adjustment');
      const charged = [chargePeriod(then).net, one?.amount, two?.amount].flatMap((amount) => amount ?? []);
      expect(Money.sum(charged, 'USD').toString()).toBe(chargePeriod(last).net.toString());
    }),
    { numRuns },
  );
};

function parsed(basis: Record<string, string>): Map<string, Fraction> {
  return new Map(
    Object.entries(basis).map(([provider, text]) => {
      const [above = '0', below = '1'] = text.split('/');
      return [provider, { numerator: BigInt(above), denominator: BigInt(below) }];
    }),
  );
}

/** The same length of time right after, with no usage. */
function nextPeriod(inputs: PeriodInputs): PeriodInputs {
  const { start, end } = inputs.period;
  const period = { ...inputs.period, start: end, end: instantFromMs(end + (end - start)) };
  return { ...inputs, period, asOf: period.end, leaseEvents: [], verdicts: [], contracts: [] };
}

const conservation: Law = (numRuns) => {
  const terms = { rate: { numerator: 19n, denominator: 100n }, exemption: '' };
  fc.assert(
    fc.property(smallWorlds, fc.boolean(), (inputs, inclusive) => {
      const customer = { ...inputs.customer, tax: { ...terms, inclusive } };
      const invoice = computeInvoice({ current: { ...inputs, customer }, closed: [] });
      const totals = totalsOf(invoice.intervals);
      expect(compare(sum([totals.billed, totals.excluded, totals.held]), totals.leased)).toBe(0);
      const lines = Money.sum(
        invoice.lines.map((line) => line.amount),
        'USD',
      );
      expect(lines.toString()).toBe(invoice.total.toString());
      expect(invoice.subtotal.plus(invoice.tax).toString()).toBe(invoice.total.toString());
      const payoutShares = new Map([
        ['north', { numerator: 4n, denominator: 5n }],
        ['south', { numerator: 1n, denominator: 3n }],
      ]);
      const entries = postInvoice({ ...invoice, customerId: 'acme', payoutShares });
      const balance = Money.sum(
        entries.map((entry) => entry.amount),
        'USD',
      );
      expect(balance.isZero()).toBe(true);
    }),
    { numRuns },
  );
};

const largestRemainder: Law = (numRuns) => {
  const weight = fc
    .tuple(fc.bigInt({ min: 0n, max: 10n ** 9n }), fc.bigInt({ min: 1n, max: 97n }))
    .map(([numerator, denominator]) =>
      gpuTimeOf({ numerator: 1n, denominator }, interval(0 as EpochMs, Number(numerator) as EpochMs)),
    );
  fc.assert(
    fc.property(
      fc.bigInt({ min: -(10n ** 12n), max: 10n ** 12n }),
      fc.array(weight, { minLength: 1, maxLength: 12 }),
      (units, weights) => {
        const whole = Money.fromMinorUnits(units, 'USD');
        const parts = splitByLargestRemainder(whole, weights);
        expect(Money.sum(parts, 'USD').toString()).toBe(whole.toString());
        const total = sum(weights);
        if (total.numerator === 0n) return;
        parts.forEach((part, index) => {
          const own = weights[index] as Fraction;
          const exactCents = units * own.numerator * total.denominator;
          const below = own.denominator * total.numerator;
          const off = part.toMinorUnits() * below - exactCents;
          // Never a whole cent away from the exact share.
          expect((off < 0n ? -off : off) < below).toBe(true);
        });
      },
    ),
    { numRuns },
  );
};

const roundingAgrees: Law = (numRuns) => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: -(10n ** 15n), max: 10n ** 15n }),
      fc.bigInt({ min: 1n, max: 4_000n }),
      (a, b) => {
        const rounded = Money.round({ numerator: a, denominator: b }, 'USD');
        expect(rounded.toMinorUnits()).toBe(cents([a, b]));
      },
    ),
    { numRuns },
  );
};

const ZONES = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'Asia/Kolkata',
  'Australia/Lord_Howe',
  'Pacific/Apia',
];

/** A year of periods is the year: no boundary, clock change or leap day loses or doubles a millisecond. */
const periodsTile: Law = (numRuns) => {
  const year = fc.integer({ min: 2_010, max: 2_040 });
  const when = fc.tuple(
    fc.integer({ min: 0, max: 366 * 86_400_000 }),
    fc.integer({ min: 0, max: 366 * 86_400_000 }),
  );
  fc.assert(
    fc.property(fc.constantFrom(...ZONES), year, when, (zone, of, times) => {
      const months = Array.from({ length: 12 }, (_, index) =>
        billingPeriod(`${of}-${String(index + 1).padStart(2, '0')}`, zone),
      );
      months.slice(1).forEach((month, index) => expect(month.start).toBe((months[index] as Period).end));
      const [from = 0, to = 0] = [...times].sort((a, b) => a - b);
      const base = (months[0] as Period).start;
      const text = (ms: number) => new Date(base + ms).toISOString();
      const events = sampleLeases([{ id: 'L', from: text(from), to: text(to), share: '1/3' }]);
      const segments = foldLeases(events).flatMap((lease) => lease.segments);
      const options = {
        asOf: instantFromMs(base + 800 * 86_400_000),
        verdicts: [],
        overlapping: new Map<string, readonly string[]>(),
        cutsOf: () => [],
        faultTimeAt: () => 'exclude' as const,
      };
      const metered = months.map((within) => totalsOf(meterLeases(segments, { ...options, within })).leased);
      const end = Math.min(to, (months[11] as Period).end - base);
      const expected = end > from ? BigInt(end - from) : 0n;
      expect(compare(sum(metered), { numerator: expected, denominator: 3n })).toBe(0);
    }),
    { numRuns },
  );
};

type Period = ReturnType<typeof billingPeriod>;

/** The windows of a time-of-use price tile a period, whatever the clock does. */
const windowsTile: Law = (numRuns) => {
  const clock = fc.constantFrom('00:00', '01:30', '02:00', '02:30', '03:00', '08:00', '20:00', '24:00');
  fc.assert(
    fc.property(
      fc.constantFrom(...ZONES),
      clock,
      clock,
      fc.integer({ min: 1, max: 12 }),
      (zone, from, to, month) => {
        fc.pre(from !== to && from !== '24:00');
        const windows = [{ name: 'w', from, to, per_gpu_hour: '2' }];
        const book = sampleBook([{ time_of_use: { zone, per_gpu_hour: '1', windows } }]);
        const shape = book.rates[0]?.shape;
        if (shape?.kind !== 'time_of_use') throw new Error('The shape is another one.');
        const period = billingPeriod(`2026-${String(month).padStart(2, '0')}`, zone);
        const timeline = windowTimeline(shape, period);
        expect(timeline[0]?.start).toBe(period.start);
        timeline.slice(1).forEach((one, index) => {
          expect(one.start).toBeGreaterThan((timeline[index] as { start: number }).start);
          expect(one.start).toBeLessThan(period.end);
        });
      },
    ),
    { numRuns },
  );
};

const remedies: SlaEntry['remedy'][] = [
  { prorated: true },
  {
    tiers: [
      { uptime_below_percent: '99.9', credit_percent: '10' },
      { uptime_below_percent: '95', credit_percent: '100' },
    ],
  },
  { flat: { amount: '50.00', per: 'event' } },
  { flat: { amount: '1000000.00', per: 'window' } },
];

const slaTerms = fc.record({
  remedy: fc.constantFrom(...remedies),
  unit: fc.constantFrom('gpu' as const, 'node' as const, 'customer' as const),
  down_when: fc.constantFrom('any' as const, 'all' as const),
  cap_percent: fc.constantFrom('50', '100'),
});

/** Exclusion and credits together never exceed the charge, and neither do two promises about the same time. */
const creditsBelowCharges: Law = (numRuns) => {
  fc.assert(
    fc.property(
      smallWorlds,
      fc.array(slaTerms, { minLength: 1, maxLength: 2 }),
      fc.constantFrom('exclude' as const, 'bill' as const),
      (inputs, terms, fault_time) => {
        const sla = terms.map((one, index) => ({ id: `t${index}`, ...one }));
        const contracts = [sampleContract({ sla, fault_time })];
        const charges = chargePeriod({ ...inputs, contracts });
        const of = (kind: string) =>
          Money.sum(
            charges.lines.filter((line) => line.kind === kind).map((line) => line.amount),
            'USD',
          );
        expect(of('sla_credit').compare(Money.zero('USD'))).toBeLessThanOrEqual(0);
        expect(of('usage').plus(of('discount')).plus(of('sla_credit')).isNegative()).toBe(false);
        for (const basis of charges.providerBasis.values()) {
          // Rounding once per line may take a cent more than a provider's exact part.
          expect(compare(basis, { numerator: -1n, denominator: 100n })).toBeGreaterThanOrEqual(0);
        }
        const held = totalsOf(meterPeriod({ ...inputs, contracts })).held;
        expect(compare(held, totalsOf(charges.intervals).held)).toBe(0);
      },
    ),
    { numRuns },
  );
};

/** A price that changes to itself moves nothing. */
const priceChanges: Law = (numRuns) => {
  const at = fc.integer({ min: -60, max: 60 });
  fc.assert(
    fc.property(smallWorlds, at, (given, offset) => {
      const [book] = given.books;
      const isFlat = book?.rates.every(
        (rate) => rate.shape.kind === 'flat' || rate.shape.kind === 'time_of_use',
      );
      fc.pre(book !== undefined && isFlat === true);
      const inputs = { ...given, books: [book], contracts: [] };
      const again = { ...book, version: 99, effectiveFrom: instantFromMs(inputs.period.start + 60 + offset) };
      const earned = (books: PeriodInputs['books']) =>
        sum([...chargePeriod({ ...inputs, books }).providerBasis.values()]);
      expect(compare(earned([book, again]), earned([book]))).toBe(0);
    }),
    { numRuns },
  );
};

export const laws: Readonly<Record<string, Law>> = {
  'the naive implementation agrees on every line': agreesWithNaive,
  'order and repeats of events change nothing': orderAndRepeats,
  'splitting an interval anywhere preserves the lines': splitting,
  'incremental equals batch': incrementalIsBatch,
  'billed + excluded + held = leased, lines = total, the ledger balances': conservation,
  'largest remainder adds up, and is never a cent away from the exact share': largestRemainder,
  'rounding is half-even': roundingAgrees,
  'periods tile time in every zone': periodsTile,
  'the windows of a price tile a period': windowsTile,
  'credits never exceed charges': creditsBelowCharges,
  'a price that changes to itself moves nothing': priceChanges,
};
