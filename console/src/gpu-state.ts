/** What may be said about a GPU's health: never more than both the fault monitor and fresh samples support. */
import type { GpuState } from './gpu-shape.js';

/** Samples missing in a row before a GPU is stale. */
const MISSED_SAMPLES = 3;

/** A clock that runs ahead must not keep a silent GPU fresh, so the earlier of both times counts. */
export function isStale(
  seen: { readonly ts: number; readonly storedAt: number },
  { nowMs, expectedIntervalMs }: { readonly nowMs: number; readonly expectedIntervalMs: number },
): boolean {
  return nowMs - Math.min(seen.ts, seen.storedAt) > MISSED_SAMPLES * expectedIntervalMs;
}

/** Without a word of the fault monitor the state is unknown; without fresh samples nothing is healthy. */
export function stateOf(monitored: GpuState | undefined, stale: boolean): GpuState {
  if (monitored === undefined) return 'unknown';
  return stale && monitored === 'healthy' ? 'unknown' : monitored;
}

export type NodeHealth = 'healthy' | 'faulty' | 'verifying' | 'unknown';

/** A node is as healthy as its worst GPU. */
export function nodeHealthOf(states: readonly GpuState[]): NodeHealth {
  if (states.includes('faulty') || states.includes('lost')) return 'faulty';
  if (states.includes('verifying')) return 'verifying';
  return states.length === 0 || states.includes('unknown') ? 'unknown' : 'healthy';
}
