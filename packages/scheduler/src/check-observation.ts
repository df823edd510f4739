/** What every observation must be like, whichever scheduler gave it: a contradiction is no observation. */
import { add, compare, formatFraction, ONE, PoolmeterError, ZERO, type Fraction } from '@poolmeter/domain';
import type { SchedulerObservation } from './scheduler.js';

function refuse(kind: string, fault: string): never {
  throw new PoolmeterError('wire.malformed', `The ${kind} scheduler contradicts itself: ${fault}.`, {
    retriable: true,
  });
}

/** Answers the observation when it holds together, and throws `wire.malformed` when it does not. */
export function checkedObservation(kind: string, observation: SchedulerObservation): SchedulerObservation {
  const leaseIds = new Set<string>();
  const shares = new Map<string, Fraction>();
  for (const held of observation.held) {
    if (leaseIds.has(held.leaseId)) refuse(kind, `lease ${held.leaseId} is listed twice`);
    if (held.endedAt !== undefined) refuse(kind, `lease ${held.leaseId} is held but has ended`);
    leaseIds.add(held.leaseId);
    const total = add(shares.get(held.gpuUuid) ?? ZERO, held.share);
    if (compare(total, ONE) > 0) refuse(kind, `GPU ${held.gpuUuid} is held ${formatFraction(total)} times`);
    shares.set(held.gpuUuid, total);
  }
  const nodes = new Set<string>();
  for (const node of observation.nodes) {
    if (nodes.has(node.node)) refuse(kind, `node ${node.node} is listed twice`);
    nodes.add(node.node);
    const unknown = node.gpus.flatMap((gpu) => gpu.leaseIds).find((leaseId) => !leaseIds.has(leaseId));
    if (unknown !== undefined) refuse(kind, `node ${node.node} has lease ${unknown}, which nobody holds`);
  }
  return observation;
}
