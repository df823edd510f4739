/** Nobody can hold what somebody else holds: at every instant the shares of one GPU add up to at most 1 (rule 3). */
import { add, compare, ONE, ZERO, type EpochMs, type Fraction } from '@poolmeter/domain';

/** A share of a GPU over time, with the rank of whoever holds it: the lower one was there first. */
export interface ShareHolding {
  readonly leaseId: string;
  readonly gpuUuid: string;
  readonly gpuInstance: string;
  readonly share: Fraction;
  readonly start: EpochMs;
  readonly end: EpochMs | undefined;
  readonly rank: bigint;
}

/** A lease that does not fit beside others, from `at` on. */
export interface Overlap {
  readonly leaseId: string;
  readonly gpuUuid: string;
  readonly gpuInstance: string;
  readonly at: EpochMs;
  readonly otherLeaseIds: readonly string[];
}

/**
 * Sweeps over each GPU and names, per instance, the leases that have to give way: whenever the sum passes 1, the one
 * recorded last. A whole-GPU lease (instance '') also counts against the instances of that GPU.
 */
export function findOverlaps(holdings: Iterable<ShareHolding>): Overlap[] {
  const byGpu = new Map<string, ShareHolding[]>();
  for (const holding of holdings) {
    const sameGpu = byGpu.get(holding.gpuUuid);
    if (sameGpu === undefined) byGpu.set(holding.gpuUuid, [holding]);
    else sameGpu.push(holding);
  }
  return [...byGpu.keys()].sort().flatMap((gpu) => overlapsOnGpu(byGpu.get(gpu) ?? []));
}

function overlapsOnGpu(holdings: readonly ShareHolding[]): Overlap[] {
  const inOrder = holdings.toSorted((a, b) => a.start - b.start || compareRank(a, b));
  const evicted = new Map<string, Overlap>();
  let active: ShareHolding[] = [];
  for (const next of inOrder) {
    if (next.end !== undefined && next.end <= next.start) continue;
    active = active.filter((one) => isOpenAt(one, next.start) && !evicted.has(one.leaseId));
    if (evicted.has(next.leaseId)) continue;
    active.push(next);
    for (let loser = surplusOf(active, next); loser !== undefined; loser = surplusOf(active, next)) {
      const { leaseId } = loser;
      evicted.set(leaseId, overlapOf(loser, active, next.start));
      active = active.filter((one) => one.leaseId !== leaseId);
    }
  }
  return [...evicted.values()];
}

function overlapOf(loser: ShareHolding, active: readonly ShareHolding[], at: EpochMs): Overlap {
  const others = active.filter((one) => one.leaseId !== loser.leaseId && sharesSpace(one, loser));
  const { leaseId, gpuUuid, gpuInstance } = loser;
  const otherLeaseIds = [...new Set(others.map((one) => one.leaseId))].sort();
  return { leaseId, gpuUuid, gpuInstance, at, otherLeaseIds };
}

/** The latest recorded of those that together hold more than there is of the place that `next` enters. */
function surplusOf(active: readonly ShareHolding[], next: ShareHolding): ShareHolding | undefined {
  const wholeGpu = active.some((one) => one.gpuInstance === '');
  const crowd = wholeGpu ? active : active.filter((one) => one.gpuInstance === next.gpuInstance);
  return compare(sumOfShares(crowd), ONE) <= 0 ? undefined : crowd.toSorted(compareRank).at(-1);
}

function sumOfShares(holdings: readonly ShareHolding[]): Fraction {
  return holdings.reduce((total, one) => add(total, one.share), ZERO);
}

function sharesSpace(a: ShareHolding, b: ShareHolding): boolean {
  return a.gpuInstance === b.gpuInstance || a.gpuInstance === '' || b.gpuInstance === '';
}

function isOpenAt(holding: ShareHolding, at: EpochMs): boolean {
  return holding.end === undefined || holding.end > at;
}

function compareRank(a: ShareHolding, b: ShareHolding): number {
  if (a.rank !== b.rank) return a.rank < b.rank ? -1 : 1;
  return a.leaseId < b.leaseId ? -1 : a.leaseId > b.leaseId ? 1 : 0;
}
