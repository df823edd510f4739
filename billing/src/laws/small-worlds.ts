/** Random worlds of a fifth of a second around instants at which something happens to calendars and clocks. */
import { instantFromMs } from '@poolmeter/domain';
import fc from 'fast-check';
import type { PeriodInputs } from '../invoicing/period-inputs.js';
import type { RecordedLeaseEvent } from '../leases/recorded-lease-event.js';
import { parseShare } from '../leases/recorded-lease-event.js';
import {
  sampleBook,
  sampleContract,
  sampleEvent,
  sampleInputs,
  sampleLease,
  sampleVerdict,
} from '../sample-world.js';

/** Half the length of a world's period: milliseconds. */
const HALF_MS = 60;
const AROUND_MS = 100;

/** A month's first instant, both clock changes of Berlin, a leap day's start and end, a window's edge. */
const EDGES = [
  '2026-03-01T00:00:00Z',
  '2026-03-29T01:00:00Z',
  '2026-10-25T00:00:00Z',
  '2026-10-25T01:00:00Z',
  '2028-02-29T00:00:00Z',
  '2028-03-01T00:00:00Z',
  '2026-06-05T16:00:00Z',
];

const shares = fc.constantFrom('1', '1/2', '1/3', '1/7', '3/7');
/** Per hour: 1.00 is 3600000 per millisecond's worth, and some that do not divide. */
const rates = fc.constantFrom('3600000', '1800000.5', '1234567.123456789', '0', '999.99');

const shape = fc.oneof(
  { weight: 4, arbitrary: rates.map((per_gpu_hour) => ({ per_gpu_hour })) },
  fc.tuple(rates, rates, rates).map(([a, b, c]) => ({ graduated: tiers(a, b, c) })),
  fc.tuple(rates, rates, rates).map(([a, b, c]) => ({ volume: tiers(a, b, c) })),
  fc.tuple(rates, rates, rates).map(([per_gpu_hour, day, night]) => ({
    time_of_use: {
      zone: 'Europe/Berlin',
      per_gpu_hour,
      windows: [
        {
          name: 'day',
          days: ['mon', 'tue', 'wed', 'thu', 'fri', 'sun'],
          from: '03:00',
          to: '18:00',
          per_gpu_hour: day,
        },
        { name: 'night', days: ['sat', 'mon'], from: '22:00', to: '02:00', per_gpu_hour: night },
      ],
    },
  })),
);

function tiers(a: string, b: string, c: string) {
  return [
    { up_to_gpu_hours: '0.00001', per_gpu_hour: a },
    { up_to_gpu_hours: '0.000045', per_gpu_hour: b },
    { per_gpu_hour: c },
  ];
}

const committed = fc
  .tuple(fc.constantFrom('0.000005', '0.00003'), rates, rates)
  .map(([gpu_hours, per_gpu_hour, burst_per_gpu_hour]) => ({
    gpu_model: 'H100',
    committed: { gpu_hours, per_gpu_hour, burst_per_gpu_hour },
  }));

const offset = fc.integer({ min: -AROUND_MS, max: AROUND_MS });

const lease = fc.record({
  times: fc.tuple(offset, offset),
  runs: fc.boolean(),
  share: shares,
  gpu: fc.constantFrom('GPU-1', 'GPU-2', 'GPU-3'),
  provider: fc.constantFrom('north', 'south'),
  model: fc.constantFrom('H100', 'L40S'),
  cancelled: fc.integer({ min: 0, max: 9 }).map((one) => one === 0),
  amended: fc.option(fc.tuple(offset, shares, fc.constantFrom('H100', 'L40S')), { nil: undefined }),
});

const verdict = fc.record({
  times: fc.tuple(offset, offset),
  gpuUuid: fc.constantFrom('GPU-1', 'GPU-2'),
  billingClass: fc.constantFrom('B' as const, 'C' as const, 'C' as const, 'H' as const),
  blame: fc.constantFrom('hardware' as const, 'application' as const),
  open: fc.boolean(),
});

const contract = fc.record(
  {
    from: fc.constantFrom(-1_000_000, -1_000_000, -20),
    rates: fc.array(
      fc.oneof(
        committed,
        shape.map((one) => ({ gpu_model: 'H100', ...one })),
      ),
      { maxLength: 1 },
    ),
    discount: fc.constantFrom(undefined, '0.1', '0.333333333'),
    discount_amount: fc.constantFrom(undefined, '7.00', '0.03'),
    minimum_spend: fc.constantFrom(undefined, '500.00'),
    minimum_duration_s: fc.constantFrom(undefined, '0.05'),
    increment_s: fc.constantFrom(undefined, '0.007'),
    fees: fc.constantFrom(undefined, [{ id: 'desk', description: 'Support desk', amount: '12.34' }]),
    fault_time: fc.constantFrom('exclude' as const, 'exclude' as const, 'bill' as const),
  },
  { requiredKeys: ['from', 'rates', 'fault_time'] },
);

export const smallWorlds: fc.Arbitrary<PeriodInputs> = fc
  .record({
    edge: fc.constantFrom(...EDGES),
    leases: fc.array(lease, { minLength: 1, maxLength: 6 }),
    verdicts: fc.array(verdict, { maxLength: 4 }),
    books: fc.array(fc.tuple(offset, shape), { maxLength: 2 }),
    first: shape,
    contract: fc.option(contract, { nil: undefined }),
    overlaps: fc.boolean(),
  })
  .map(({ edge, ...drawn }) => {
    const base = Date.parse(edge);
    const text = (ms: number) => new Date(base + ms).toISOString();
    const { from = 0, ...terms } = drawn.contract ?? {};
    const inputs = sampleInputs({ zone: 'Europe/Berlin' });
    const period = {
      ...inputs.period,
      start: instantFromMs(base - HALF_MS),
      end: instantFromMs(base + HALF_MS),
    };
    return {
      ...inputs,
      period,
      asOf: period.end,
      leaseEvents: drawn.leases.flatMap((one, index) => eventsOf(one, { index, text })),
      overlapping: drawn.overlaps ? [{ leaseId: 'L0', otherLeaseIds: ['L1'] }] : [],
      verdicts: drawn.verdicts.map(({ times, open, ...rest }, index) => {
        const [start = 0, end = 0] = [...times].sort((a, b) => a - b);
        const given = { ...rest, verdictId: `v${index}`, incidentId: `i${index}` };
        return sampleVerdict({ from: text(start), ...(open ? {} : { to: text(end) }), ...given });
      }),
      books: [
        sampleBook([drawn.first, { gpu_model: 'L40S', per_gpu_hour: '79200' }]),
        ...drawn.books.map(([at, one], index) => sampleBook([one], { version: index + 2, from: text(at) })),
      ],
      contracts: drawn.contract === undefined ? [] : [contractOf(terms, text(from))],
    };
  });

/** Terms that were not drawn are left out, as a file would. */
function contractOf(terms: object, effective_from: string) {
  const given = Object.entries(terms).filter(([, value]) => value !== undefined);
  return sampleContract({ ...Object.fromEntries(given), effective_from });
}

type DrawnLease = typeof lease extends fc.Arbitrary<infer T> ? T : never;

function eventsOf(
  { times, runs, amended, cancelled, ...rest }: DrawnLease,
  { index, text }: { readonly index: number; readonly text: (ms: number) => string },
): RecordedLeaseEvent[] {
  const [from = 0, to = 0] = [...times].sort((a, b) => a - b);
  const position = BigInt(index * 10 + 1);
  const id = `L${index}`;
  const events = sampleLease({ id, from: text(from), ...(runs ? {} : { to: text(to) }), ...rest }, position);
  if (amended !== undefined) {
    const [at, share, gpuModel] = amended;
    const columns = { share: parseShare(share), gpuModel };
    events.push(
      sampleEvent({ leaseId: id, type: 'amended', at: text(at), position: position + 2n, columns }),
    );
  }
  if (cancelled) {
    const gone = { leaseId: id, type: 'cancelled' as const, at: text(to), columns: {} };
    events.push(sampleEvent({ ...gone, position: position + 3n }));
  }
  return events;
}
