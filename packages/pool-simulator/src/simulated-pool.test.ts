import {
  add,
  compare,
  digestOf,
  formatInstant,
  instantFromMs,
  ONE,
  parseInstant,
  ZERO,
  type EpochMs,
} from '@poolmeter/domain';
import type { HeldShare, SchedulerAction } from '@poolmeter/scheduler';
import fc from 'fast-check';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { createSimulatedPool, type SimulatedPool } from './simulated-pool.js';
import { defaultPoolShape, type PoolShape } from './pool-shape.js';

const start = parseInstant('2026-03-02T00:00:00Z');
const HOUR_MS = 3_600_000;
const after = (hours: number): EpochMs => instantFromMs(start + Math.round(hours * HOUR_MS));

/** The default pool, breaking ten times as often, so that a few hours have something to show. */
const fragile: PoolShape = { ...defaultPoolShape(), faultsPerNodeDay: 4 };

const folder = mkdtempSync(join(tmpdir(), 'pool-simulator-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Everything that anybody can see of a pool's history up to its now. */
function historyOf(pool: SimulatedPool): string {
  const now = pool.now();
  const instants = [0.1, 0.4, 0.7, 1].map((part) => instantFromMs(start + Math.floor((now - start) * part)));
  return digestOf({
    accounting: pool.accounting(start),
    observation: pool.observe(),
    faults: pool.faults(),
    nodes: pool.nodes(),
    kernel: pool.nodes().map(({ node }) => pool.kernelLines(node, start, now, 'kmsg')),
    texts: pool.nodes().flatMap(({ node }) => instants.map((at) => pool.scrape(node, at))),
  });
}

/** Most of any GPU that is held at one instant. */
function mostHeld(leases: readonly HeldShare[]) {
  const edges = leases.flatMap((lease) => [
    { at: lease.startedAt, gpu: lease.gpuUuid, share: lease.share, opens: true },
    ...(lease.endedAt === undefined
      ? []
      : [{ at: lease.endedAt, gpu: lease.gpuUuid, share: lease.share, opens: false }]),
  ]);
  // Intervals are half-open: at one instant, what ends makes room for what begins.
  edges.sort((a, b) => a.at - b.at || Number(a.opens) - Number(b.opens));
  const held = new Map<string, typeof ZERO>();
  let most = ZERO;
  for (const { gpu, share, opens } of edges) {
    const signed = opens ? share : { ...share, numerator: -share.numerator };
    const total = add(held.get(gpu) ?? ZERO, signed);
    held.set(gpu, total);
    if (compare(total, most) > 0) most = total;
  }
  return most;
}

const actions: readonly SchedulerAction[] = [
  { kind: 'cordon', node: 'gpu-01' },
  { kind: 'drain', node: 'gpu-05' },
  { kind: 'uncordon', node: 'gpu-05' },
  { kind: 'add', count: 1, gpuModel: 'NVIDIA L40S' },
  { kind: 'power_down', node: 'gpu-06' },
  { kind: 'power_up', node: 'gpu-06' },
  { kind: 'remove', node: 'gpu-07' },
  { kind: 'cordon', node: 'nowhere' },
];

describe('the history of a pool', () => {
  it('follows from the seed', () => {
    const of = (seed: number) => {
      const pool = createSimulatedPool({ seed, startAt: start, shape: fragile });
      pool.advanceTo(after(30));
      return historyOf(pool);
    };
    expect(of(5)).toBe(of(5));
    expect(of(5)).not.toBe(of(6));
  });

  it('is the same in one step and in many, whatever is asked on the way', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1_000_000 }),
        fc.array(fc.double({ min: 0, max: 20, noNaN: true }), { maxLength: 12 }),
        (seed, stops) => {
          const once = createSimulatedPool({ seed, startAt: start, shape: fragile });
          once.advanceTo(after(20));
          const stepped = createSimulatedPool({ seed, startAt: start, shape: fragile });
          for (const hours of stops.toSorted((a, b) => a - b)) {
            stepped.advanceTo(after(hours));
            stepped.scrape('gpu-01', stepped.now());
            stepped.observe();
          }
          stepped.advanceTo(after(20));
          expect(historyOf(stepped)).toBe(historyOf(once));
        },
      ),
      { numRuns: 8 },
    );
  });

  it('with actions is the same after a restart from the journal', () => {
    let run = 0;
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1_000_000 }),
        fc.array(fc.tuple(fc.double({ min: 0, max: 12, noNaN: true }), fc.constantFrom(...actions)), {
          minLength: 1,
          maxLength: 8,
        }),
        (seed, told) => {
          run += 1;
          const options = {
            seed,
            startAt: start,
            shape: fragile,
            journalFile: join(folder, `replay-${run}.jsonl`),
          };
          const first = createSimulatedPool(options);
          const outcomes = told
            .toSorted(([a], [b]) => a - b)
            .map(([hours, action], index) => {
              first.advanceTo(after(hours));
              return first.act(action, { idempotencyKey: `k${index}`, reason: 'test' });
            });
          first.advanceTo(after(14));
          const second = createSimulatedPool(options);
          second.advanceTo(after(14));
          expect(historyOf(second)).toBe(historyOf(first));
          const keyed = told.toSorted(([a], [b]) => a - b);
          keyed.forEach(([, action], index) => {
            expect(second.act(action, { idempotencyKey: `k${index}`, reason: 'test' })).toEqual(
              outcomes[index],
            );
          });
        },
      ),
      { numRuns: 8 },
    );
  });

  it('never gives away more of a GPU than there is, and never the same lease id twice', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1_000_000 }), (seed) => {
        const pool = createSimulatedPool({ seed, startAt: start, shape: fragile });
        pool.advanceTo(after(60));
        const leases = pool.accounting(start);
        expect(leases.length).toBeGreaterThan(50);
        expect(compare(mostHeld(leases), ONE)).toBeLessThanOrEqual(0);
        expect(new Set(leases.map((lease) => lease.leaseId)).size).toBe(leases.length);
        for (const lease of leases)
          expect(lease.endedAt ?? pool.now()).toBeGreaterThanOrEqual(lease.startedAt);
      }),
      { numRuns: 8 },
    );
  });

  it('has every kind of fault, jobs of every customer, both providers, and work that waits', () => {
    const pool = createSimulatedPool({ seed: 1, startAt: start, shape: fragile });
    let waited = 0;
    for (let hours = 1; hours <= 7 * 24; hours++) {
      pool.advanceTo(after(hours));
      waited += pool.observe().pending.length;
    }
    expect(new Set(pool.faults().map((fault) => fault.kind)).size).toBe(11);
    const leases = pool.accounting(start);
    expect(new Set(leases.map((lease) => lease.customerId))).toEqual(
      new Set(['acme', 'globex', 'hooli', 'initech']),
    );
    expect(new Set(leases.map((lease) => lease.providerId))).toEqual(new Set(['north', 'south']));
    expect(leases.some((lease) => lease.share.denominator === 7n)).toBe(true);
    expect(waited).toBeGreaterThan(0);
  });

  it('knows neither the future nor what it has forgotten', () => {
    const pool = createSimulatedPool({ seed: 1, startAt: start });
    pool.advanceTo(after(10));
    expect(() => pool.metricsText('gpu-01', after(11))).toThrow(/knows its history from/);
    expect(() => pool.metricsText('gpu-99', after(1))).toThrow(/no node gpu-99/);
    const before = pool.metricsText('gpu-01', after(8));
    pool.forgetBefore(after(6));
    expect(pool.metricsText('gpu-01', after(8))).toBe(before);
    expect(() => pool.metricsText('gpu-01', after(5))).toThrow(formatInstant(after(6)));
    expect(() => pool.accounting(after(5))).toThrow(/reaches back to/);
    expect(pool.accounting(after(6)).length).toBeGreaterThan(0);
  });
});
