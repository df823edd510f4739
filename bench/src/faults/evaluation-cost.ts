/** What watching 10,000 GPUs costs: each look at its own pace, and judgements of the nodes that deserve one. */
import type { Figures } from '../bench.js';
import type { LookCosts } from './judge-peers.js';

/** Pauses of the monitor's defaults, in seconds. */
const everyS: Readonly<Record<string, number>> = {
  events: 1,
  fleet: 5,
  signals: 60,
  history: 15,
  peers: 300,
};
/** 1,250 nodes with an event or a change each every ten minutes: far more than fleets see outside of a storm. */
const JUDGED_PER_S = 1_250 / 600;

export function measureEvaluation({ costs }: { readonly costs: LookCosts }): Figures {
  const looks = Object.entries(everyS).map(([name, seconds]) => (costs[name] ?? Number.NaN) / seconds);
  const watching = looks.reduce((sum, one) => sum + one, 0);
  return {
    evaluation_core_share_10k_gpus: watching + (costs['node'] ?? Number.NaN) * JUDGED_PER_S,
    watching_core_share_10k_gpus: watching,
    ...Object.fromEntries(
      Object.entries(costs).map(([name, seconds]) => [`look_${name}_cpu_ms`, seconds * 1_000]),
    ),
  };
}
