/**
 * The identity of events that the agent itself observes: (boot id, sequence) with a boot id of its own, so that they
 * never meet those of a kernel log.
 */
export interface EventIdentity {
  readonly bootId: string;
  next(): bigint;
}

/** `epoch` must grow with each start of the agent: its count begins at 0 again. */
export function agentEventIdentity(agent: string, epoch: bigint): EventIdentity {
  let sequence = -1n;
  return {
    bootId: `agent:${agent}:${epoch}`,
    next() {
      sequence += 1n;
      return sequence;
    },
  };
}
