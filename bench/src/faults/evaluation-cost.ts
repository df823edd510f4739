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
/** Of 1,250 nodes each is judged six times a day. Real fleets see one fault per node in 140 days, and some looks for each. */
const JUDGED_PER_S = (1_250 * 6) / 86_400;

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
