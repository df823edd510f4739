/**
 * How well faults are found. A simulated pool with lemons and bursts breaks in ways that are written down as they happen;
 * what the fault monitor says is held against that. Kernel lines and scrapes are read by the collector's own code.
 * Peers are compared by the query that runs live, on an embedded ClickHouse, in a fleet with known odd ones.
 */
import type { Figures } from './bench.js';
import { judgeSimulatedPool } from './faults/judge-pool.js';
import { measureEvaluation } from './faults/evaluation-cost.js';
import { measureIncidentDelay } from './faults/incident-delay.js';
import { judgePeers } from './faults/judge-peers.js';

export async function benchFaults(): Promise<Figures> {
  const log = judgeSimulatedPool();
  const peers = await judgePeers();
  const delay = await measureIncidentDelay();
  return { ...log, ...peers.figures, ...measureEvaluation(peers), ...delay };
}
