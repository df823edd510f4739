/**
 * Perfect foresight: every job starts the moment it arrives, on a node that was asked for just in time. A node is paid
 * for while it works and while it boots; between two jobs it is kept or given back and booted again, whichever costs
 * less. Packing is the scheduler's own, so a better one may exist; the GPU-hours of the work are the floor under it.
 */
import { EndQueue } from './end-queue.js';
import { Fleet } from './fleet.js';
import type { JobTrace } from './job-trace.js';
import type { Simulation } from './simulate-pool.js';

export function oracle(
  trace: JobTrace,
  { gpusPerNode, bootS }: { gpusPerNode: number; bootS: number },
): Simulation {
  const fleet = new Fleet(gpusPerNode);
  const ends = new EndQueue();
  const taken = new Map<number, readonly number[]>();
  const startedS: number[] = [];
  const sum = { provisioned: 0, used: 0, added: 0, most: 0 };
  const lastS = trace.arrivalS[trace.arrivalS.length - 1] ?? 0;
  const inTrace = (fromS: number, toS: number) => Math.max(0, Math.min(toS, lastS) - fromS);
  const endJob = () => {
    const atS = ends.nextS;
    const job = ends.pop();
    const nodes = taken.get(job) ?? [];
    fleet.release(nodes, trace.gpus[job] ?? 0, atS);
    taken.delete(job);
    for (const node of nodes) {
      if (!fleet.isIdle(node)) continue;
      sum.provisioned += inTrace(startedS[node] ?? atS, atS) * gpusPerNode;
    }
  };
  for (let job = 0; job < trace.arrivalS.length; job += 1) {
    const atS = trace.arrivalS[job] ?? 0;
    while (ends.nextS <= atS) endJob();
    const gpus = trace.gpus[job] ?? 0;
    const idleBefore = new Set(fleet.idleNodes);
    let nodes = fleet.place(gpus);
    while (nodes === undefined) {
      const node = fleet.addNode(-Infinity);
      idleBefore.add(node);
      nodes = fleet.place(gpus);
    }
    for (const node of nodes) {
      if (!idleBefore.has(node)) continue;
      const gapS = atS - fleet.idleSinceS(node);
      sum.provisioned += Math.min(gapS, bootS) * gpusPerNode;
      if (gapS > bootS) sum.added += 1;
      startedS[node] = atS;
    }
    sum.most = Math.max(sum.most, fleet.nodes - fleet.idleNodes.length);
    sum.used += gpus * inTrace(atS, atS + (trace.serviceS[job] ?? 0));
    taken.set(job, nodes);
    ends.push(atS + (trace.serviceS[job] ?? 0), job);
  }
  while (ends.size > 0) endJob();
  return {
    provisionedGpuS: sum.provisioned,
    usedGpuS: sum.used,
    waitS: new Float64Array(trace.arrivalS.length),
    nodesAdded: sum.added,
    nodesRemoved: sum.added,
    mostNodes: sum.most,
    series: [],
  };
}
