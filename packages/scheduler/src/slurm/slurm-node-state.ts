/** Which of poolmeter's node states a Slurm node is in: one base state and any number of flags make one word. */
import type { NodeState } from '../scheduler.js';
import { gpuCounts } from './gres-text.js';
import type { SlurmNode } from './slurm-wire.js';

/** Base state and flags together, in capitals; v0.0.38 has the flags apart, later versions in one list. */
function wordsOf(node: SlurmNode): ReadonlySet<string> {
  return new Set([...node.state, ...(node.state_flags ?? []).map((flag) => flag.toUpperCase())]);
}

/** Whether Slurm has given something of the node to a job that has not left it: the scheduler's veto. */
export function isAllocated(node: SlurmNode): boolean {
  const words = wordsOf(node);
  const used = gpuCounts(node.gres_used).length > 0 || (node.alloc_cpus ?? 0) > 0;
  return used || ['ALLOCATED', 'MIXED', 'COMPLETING'].some((word) => words.has(word));
}

/** Slurm cannot take back a suspend program that has begun: until it is over, asking for power is lost. */
export function isPoweringDown(node: SlurmNode): boolean {
  const words = wordsOf(node);
  return words.has('POWERING_DOWN') || words.has('POWER_DOWN');
}

export function isDrained(node: SlurmNode): boolean {
  return wordsOf(node).has('DRAIN');
}

export function nodeStateOf(node: SlurmNode): NodeState {
  const words = wordsOf(node);
  const has = (...any: string[]) => any.some((word) => words.has(word));
  if (has('POWERING_DOWN')) return 'powered_down';
  if (has('POWERED_DOWN')) return has('POWER_UP') ? 'booting' : 'powered_down';
  // Marked for power-down: it takes no work, and goes when its jobs have ended.
  if (has('POWER_DOWN')) return isAllocated(node) ? 'draining' : 'powered_down';
  if (has('POWERING_UP', 'POWER_UP', 'REBOOT_ISSUED')) return 'booting';
  if (has('DOWN', 'ERROR', 'INVALID_REG')) return 'down';
  if (has('UNKNOWN', 'FUTURE', 'NOT_RESPONDING', 'NO_RESPOND', 'INVALID')) return 'unknown';
  // Closed to the queue at large, for whatever reason; what runs goes on.
  const closed = has('DRAIN', 'FAIL', 'MAINTENANCE', 'RESERVED', 'REBOOT', 'REBOOT_REQUESTED');
  if (closed) return isAllocated(node) ? 'draining' : 'cordoned';
  return has('IDLE', 'MIXED', 'ALLOCATED', 'COMPLETING', 'PLANNED') ? 'ready' : 'unknown';
}
