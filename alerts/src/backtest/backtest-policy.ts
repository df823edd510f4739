/** Two policies over the same past, node by node, so that memory stays flat however large the pool is. */
import { sumGpuTime } from '@poolmeter/domain';
import type { FaultPolicy } from '../policy/fault-policy.js';
import { comparePolicies, type PolicyComparison, type PolicyOutcome } from './compare-policies.js';
import {
  evidenceOfHistory,
  leasesOfHistory,
  nodesOfHistory,
  type HistorySpan,
  type HistoryStores,
} from './gather-history.js';

export async function backtestPolicy(
  stores: HistoryStores,
  of: { readonly before: FaultPolicy; readonly after: FaultPolicy; readonly span: HistorySpan },
): Promise<PolicyComparison> {
  const leases = await leasesOfHistory(stores, of.span);
  const parts: PolicyComparison[] = [];
  for (const node of await nodesOfHistory(stores, of.before)) {
    const ofNode = leases.filter((one) => one.node === node);
    const gather = (policy: FaultPolicy) =>
      evidenceOfHistory(stores, { node, policy, span: of.span, leases: ofNode });
    const [before, after] = [await gather(of.before), await gather(of.after)];
    parts.push(
      comparePolicies({ policy: of.before, evidence: before }, { policy: of.after, evidence: after }, ofNode),
    );
  }
  const touched = (one: { readonly openedAt: number; readonly clearedAt: number | undefined }) =>
    (one.clearedAt ?? Infinity) > of.span.from;
  return {
    before: merged(
      of.before.version,
      parts.map((one) => one.before),
    ),
    after: merged(
      of.after.version,
      parts.map((one) => one.after),
    ),
    added: parts.flatMap((one) => one.added).filter(touched),
    removed: parts.flatMap((one) => one.removed).filter(touched),
  };
}

function merged(version: string, parts: readonly PolicyOutcome[]): PolicyOutcome {
  const byCode = new Map<string, number>();
  for (const part of parts) {
    for (const [code, count] of part.byCode) byCode.set(code, (byCode.get(code) ?? 0) + count);
  }
  return {
    version,
    incidents: parts.reduce((sum, one) => sum + one.incidents, 0),
    byCode,
    gpuTime: {
      B: sumGpuTime(parts.map((one) => one.gpuTime.B)),
      C: sumGpuTime(parts.map((one) => one.gpuTime.C)),
      H: sumGpuTime(parts.map((one) => one.gpuTime.H)),
    },
    leadTimesMs: parts.flatMap((one) => one.leadTimesMs),
  };
}
