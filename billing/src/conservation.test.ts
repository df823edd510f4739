/** Laws that hold in every world: nothing is lost, nothing is counted twice, and order and repeats mean nothing. */
import fc from 'fast-check';
import {
  add,
  compare,
  fraction,
  instantFromMs,
  interval,
  Money,
  parseInstant,
  sum,
  ZERO,
  type EpochMs,
} from '@poolmeter/domain';
import { describe, expect, it } from 'vitest';
import { chargePeriod, meterPeriod } from './invoicing/charge-period.js';
import { computeInvoice } from './invoicing/compute-invoice.js';
import { intervalRowsOf } from './invoicing/invoice-rows.js';
import { digestOfPeriodInputs, type PeriodInputs } from './invoicing/period-inputs.js';
import { findOverlaps, type ShareHolding } from './leases/find-overlaps.js';
import { foldLeases } from './leases/fold-leases.js';
import type { RecordedLeaseEvent } from './leases/recorded-lease-event.js';
import { postInvoice } from './ledger/post-invoice.js';
import { meterLeases, totalsOf } from './metering/meter-leases.js';
import { sampleBook, sampleEvent, sampleInputs, sampleLease, sampleVerdict } from './sample-world.js';

const MARCH = parseInstant('2026-03-01T00:00:00Z');
const HOUR = 3_600_000;

/** Instants around March, at odd milliseconds too. */
const instant = fc
  .integer({ min: -48 * HOUR, max: 33 * 24 * HOUR })
  .map((offset) => new Date(MARCH + offset).toISOString());

const share = fc.constantFrom('1', '1/2', '1/3', '1/7', '3/7');

const leaseEvents = fc
  .array(
    fc.record({
      times: fc.tuple(instant, instant),
      runs: fc.boolean(),
      share,
      gpu: fc.constantFrom('GPU-1', 'GPU-2', 'GPU-3'),
      provider: fc.constantFrom('north', 'south'),
      model: fc.constantFrom('H100', 'L40S'),
      amendedTo: fc.option(fc.tuple(instant, share), { nil: undefined }),
    }),
    { minLength: 1, maxLength: 8 },
  )
  .map((leases) =>
    leases.flatMap(({ times, runs, amendedTo, ...rest }, index): RecordedLeaseEvent[] => {
      const [from, to] = [...times].sort() as [string, string];
      const position = BigInt(index * 10 + 1);
      const id = `L${index}`;
      const own = sampleLease({ id, from, ...(runs ? {} : { to }), ...rest }, position);
      if (amendedTo === undefined) return own;
      const columns = { share: fraction(1n, BigInt(amendedTo[1].split('/')[1] ?? '1')) };
      return [
        ...own,
        sampleEvent({ leaseId: id, type: 'amended', at: amendedTo[0], position: position + 2n, columns }),
      ];
    }),
  );

const verdicts = fc
  .uniqueArray(
    fc.record({
      times: fc.tuple(instant, instant),
      gpuUuid: fc.constantFrom('GPU-1', 'GPU-2'),
      billingClass: fc.constantFrom('B' as const, 'C' as const, 'H' as const),
      open: fc.boolean(),
    }),
    { maxLength: 5, selector: ({ times }) => times[0] },
  )
  .map((all) =>
    all.map(({ times, open, ...rest }) => {
      const [from, to] = [...times].sort() as [string, string];
      return sampleVerdict({ from, ...(open ? {} : { to }), ...rest, verdictId: `v-${times[0]}` });
    }),
  );

const books = fc
  .array(fc.tuple(instant, fc.constantFrom('1.00', '2.345678901', '0.333')), { maxLength: 3 })
  .map((later) => [
    sampleBook([{ per_gpu_hour: '1.50' }, { gpu_model: 'L40S', per_gpu_hour: '0.79' }]),
    ...later.map(([from, price], index) =>
      sampleBook([{ per_gpu_hour: price }], { version: index + 2, from }),
    ),
  ]);

const world: fc.Arbitrary<PeriodInputs> = fc
  .record({ leaseEvents, verdicts, books })
  .map((inputs) => sampleInputs({ ...inputs, zone: 'Europe/Berlin' }));

const runs = { numRuns: 150 };

describe('conservation', () => {
  it('order and repeats of events and verdicts change nothing', () => {
    fc.assert(
      fc.property(world, fc.integer(), (inputs, seed) => {
        const shuffled = {
          ...inputs,
          leaseEvents: shuffle([...inputs.leaseEvents, ...inputs.leaseEvents], seed),
          verdicts: shuffle(inputs.verdicts, seed),
          books: shuffle(inputs.books, seed),
        };
        expect(chargePeriod(shuffled)).toEqual(chargePeriod(inputs));
        expect(digestOfPeriodInputs(shuffled)).toBe(digestOfPeriodInputs(inputs));
      }),
      runs,
    );
  });

  it('billed + excluded + held = leased, to the millisecond', () => {
    fc.assert(
      fc.property(world, (inputs) => {
        const totals = totalsOf(meterPeriod(inputs));
        expect(compare(sum([totals.billed, totals.excluded, totals.held]), totals.leased)).toBe(0);
        expect(compare(totals.leased, leasedBySweep(inputs))).toBe(0);
      }),
      runs,
    );
  });

  it('cutting at any instant preserves GPU time and exact charges', () => {
    fc.assert(
      fc.property(world, instant, (inputs, at) => {
        const cut = instantFromMs(Date.parse(at));
        const options = {
          within: inputs.period,
          asOf: inputs.asOf,
          verdicts: inputs.verdicts,
          overlapping: new Map<string, string[]>(),
          faultTimeAt: () => 'exclude' as const,
        };
        const segments = foldLeases(inputs.leaseEvents).flatMap((lease) => lease.segments);
        const whole = totalsOf(meterLeases(segments, { ...options, cutsOf: () => [] }));
        expect(totalsOf(meterLeases(segments, { ...options, cutsOf: () => [cut] }))).toEqual(whole);
        const halves = [
          interval(inputs.period.start, clamp(cut, inputs)),
          interval(clamp(cut, inputs), inputs.period.end),
        ].map((within) => totalsOf(meterLeases(segments, { ...options, within, cutsOf: () => [] })));
        expect(compare(sum(halves.map((half) => half.billed)), whole.billed)).toBe(0);
        // A price that changes to itself cuts the lease into two lines, and charges the same.
        const same = inputs.books.at(-1)!;
        const again = { ...same, version: 99, effectiveFrom: latest(cut, same.effectiveFrom) };
        const charged = (books: PeriodInputs['books']) =>
          sum([...chargePeriod({ ...inputs, books }).providerBasis.values()]);
        expect(compare(charged([...inputs.books.slice(-1), again]), charged(inputs.books.slice(-1)))).toBe(0);
      }),
      runs,
    );
  });

  it('lines add up to the total, and intervals to their line', () => {
    fc.assert(
      fc.property(world, (inputs) => {
        const invoice = computeInvoice({ current: inputs, closed: [] });
        const total = Money.sum(
          invoice.lines.map((line) => line.amount),
          'USD',
        );
        expect(total.equals(invoice.total)).toBe(true);
        const rows = intervalRowsOf('inv', invoice, new Map());
        expect(rows).toHaveLength(invoice.intervals.length);
        for (const line of invoice.lines) {
          const own = line.intervals.map((one) => rows.find((row) => row.interval_id === one.intervalId)!);
          const parts = Money.sum(
            own.map((row) => Money.of(row.amount!, 'USD')),
            'USD',
          );
          expect(parts.toString()).toBe(line.amount.toString());
        }
      }),
      runs,
    );
  });

  it('what the customer pays = provider + platform + tax + rounding', () => {
    fc.assert(
      fc.property(world, fc.constantFrom('0.80', '1', '0.333333333'), (inputs, payout) => {
        const { customer } = inputs;
        const tax = { rate: fraction(19n, 100n), inclusive: false, exemption: '' };
        const invoice = computeInvoice({
          current: { ...inputs, customer: { ...customer, tax } },
          closed: [],
        });
        const share = fraction(
          BigInt(payout.replace('.', '')),
          10n ** BigInt(payout.split('.')[1]?.length ?? 0),
        );
        const entries = postInvoice({
          ...invoice,
          customerId: 'acme',
          payoutShares: new Map([
            ['north', share],
            ['south', share],
          ]),
        });
        const balance = Money.sum(
          entries.map((entry) => entry.amount),
          'USD',
        );
        expect(balance.isZero()).toBe(true);
        const rounding = entries.find((entry) => entry.account.kind === 'rounding');
        if (rounding !== undefined) expect(Math.abs(Number(rounding.amount.toMinorUnits()))).toBeLessThan(10);
      }),
      runs,
    );
  });

  it('after those that give way are gone, no GPU is leased more than once', () => {
    const holding = fc
      .record({
        times: fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 20 })),
        share: fc.integer({ min: 1, max: 4 }),
        gpuInstance: fc.constantFrom('', '', '1/0', '2/0'),
        open: fc.boolean(),
      })
      .map(({ times, share: parts, gpuInstance, open }) => ({
        gpuUuid: 'GPU-1',
        gpuInstance,
        share: fraction(BigInt(parts), 4n),
        start: Math.min(...times) as EpochMs,
        end: open ? undefined : (Math.max(...times) as EpochMs),
      }));
    fc.assert(
      fc.property(fc.array(holding, { maxLength: 10 }), fc.integer(), (places, seed) => {
        const holdings = places.map((place, index): ShareHolding => ({
          ...place,
          leaseId: `L${index}`,
          rank: BigInt(index),
        }));
        const overlaps = findOverlaps(holdings);
        expect(findOverlaps(shuffle(holdings, seed))).toEqual(overlaps);
        const gone = new Set(overlaps.map((one) => one.leaseId));
        for (const one of overlaps) expect(one.otherLeaseIds.length).toBeGreaterThan(0);
        const kept = holdings.filter((one) => !gone.has(one.leaseId));
        for (let at = 0; at <= 20; at += 1) {
          const active = kept.filter((one) => one.start <= at && (one.end === undefined || one.end > at));
          const whole = active.some((one) => one.gpuInstance === '');
          for (const instance of ['', '1/0', '2/0']) {
            const crowd = whole ? active : active.filter((one) => one.gpuInstance === instance);
            expect(compare(sum(crowd.map((one) => one.share)), fraction(1n))).toBeLessThanOrEqual(0);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});

/** Another way to the same number: between any two edges, count what is held there. */
function leasedBySweep({ leaseEvents: events, period, asOf }: PeriodInputs) {
  const segments = foldLeases(events).flatMap((lease) => lease.segments);
  const edges = new Set<number>([period.start, period.end]);
  for (const segment of segments) {
    for (const edge of [segment.start, segment.end ?? asOf]) {
      if (edge > period.start && edge < period.end) edges.add(edge);
    }
  }
  const sorted = [...edges].sort((a, b) => a - b);
  let total = ZERO;
  sorted.slice(1).forEach((end, index) => {
    const start = sorted[index]!;
    for (const segment of segments) {
      if (segment.start > start || (segment.end ?? asOf) < end) continue;
      const { numerator, denominator } = segment.share;
      total = add(total, fraction(numerator * BigInt(end - start), denominator));
    }
  });
  return total;
}

function clamp(at: EpochMs, { period }: PeriodInputs): EpochMs {
  return at < period.start ? period.start : at > period.end ? period.end : at;
}

function latest(a: EpochMs, b: EpochMs): EpochMs {
  return a > b ? a : b;
}

/** Repeatable: fast-check prints the seed of a failure. */
function shuffle<T>(items: readonly T[], seed: number): T[] {
  let state = seed >>> 0;
  return items
    .map((item) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return { item, at: state };
    })
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
