/**
 * Compares GPUs with their peers, a step of whole minutes at a time. A step is looked at once, when it has had time to
 * arrive, and what was found is kept as evidence: samples that come later do not change what a comparison said.
 */
import { instantFromMs, interval, type EpochMs } from '@poolmeter/domain';
import { peerSignals, type MetricsStore } from '@poolmeter/metrics-store';
import { limitOf } from '../policy/conditions.js';
import type { FaultPolicy } from '../policy/fault-policy.js';
import { signals, type SignalName } from '../policy/signals.js';
import type { SignalStretch } from '../verdict/evidence.js';
import { signalFault } from '../verdict/signals.js';

export const PEER_STEP_MS = 300_000;
/** Samples are held up by spools and batches; a comparison waits for them. */
const PEER_SETTLE_MS = 120_000;
/** Fewer peers than this say nothing about what is usual. */
const PEERS_MIN = 8;
const NEVER = 1e300;

/** The last whole step that has settled. */
export function newestStep(asOf: EpochMs): EpochMs {
  const settled = Math.floor((asOf - PEER_SETTLE_MS) / PEER_STEP_MS) * PEER_STEP_MS;
  return instantFromMs(Math.max(0, settled - PEER_STEP_MS));
}

/** What differs from its peers in the step that begins at `step`. */
export async function comparePeers(
  store: MetricsStore,
  of: { readonly policy: FaultPolicy; readonly step: EpochMs },
): Promise<SignalStretch[]> {
  const end = instantFromMs(of.step + PEER_STEP_MS);
  const limit = (signal: SignalName) => {
    const rule = signalFault(of.policy, signal);
    return rule === undefined ? (signals[signal].bad === 'below' ? -NEVER : NEVER) : limitOf(rule.when);
  };
  const rows = await store.query(peerSignals, {
    from_ms: of.step,
    to_ms: end,
    peers_min: PEERS_MIN,
    temperature_outlier_z: limit('temperature_outlier_z'),
    clock_to_peers_ratio: limit('clock_to_peers_ratio'),
    job_pace_ratio: limit('job_pace_ratio'),
    sample_loss_ratio: limit('sample_loss_ratio'),
  });
  return rows.map((row) => ({
    signal: row.signal as SignalName,
    node: row.node,
    gpuUuid: row.gpu_uuid,
    gpuInstance: '',
    during: interval(of.step, end),
    extreme: row.value,
  }));
}
