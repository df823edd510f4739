/** How old the newest sample is, and whether the demo pool made it up. */
import { getJson } from './api.js';
import { formatAge } from './format-value.js';

export interface NodeFacts {
  readonly last_seen_at: string | null;
  readonly gpu_count: number;
  readonly demo: boolean;
}

export interface Freshness {
  readonly text: string;
  readonly level: 'fresh' | 'late' | 'old' | 'none';
  readonly demo: boolean;
}

const LATE_MS = 60_000;
const OLD_MS = 300_000;

/** `hasMore`: there are nodes beyond these, so that their number is a least. */
export function freshnessOf(
  nodes: readonly NodeFacts[],
  { nowMs, hasMore }: { readonly nowMs: number; readonly hasMore: boolean },
): Freshness {
  const seen = nodes.flatMap((node) => (node.last_seen_at === null ? [] : [Date.parse(node.last_seen_at)]));
  const demo = nodes.some((node) => node.demo);
  if (seen.length === 0) return { text: 'no sample has arrived yet', level: 'none', demo };
  const ageMs = nowMs - seen.reduce((a, b) => Math.max(a, b));
  const silent = seen.filter((at) => nowMs - at > OLD_MS).length;
  const gpus = nodes.reduce((sum, node) => sum + node.gpu_count, 0);
  const size = `${gpus}${hasMore ? ' or more' : ''} GPUs on ${nodes.length}${hasMore ? ' or more' : ''} nodes`;
  const quiet = silent === 0 ? '' : `, ${silent} silent`;
  const level = ageMs > OLD_MS ? 'old' : ageMs > LATE_MS ? 'late' : 'fresh';
  return { text: `newest sample ${formatAge(ageMs)} · ${size}${quiet}`, level, demo };
}

export async function readFreshness(signal: AbortSignal): Promise<Freshness> {
  const { data, next_cursor } = await getJson<{
    readonly data: readonly NodeFacts[];
    readonly next_cursor: string | null;
  }>('/v1/nodes?limit=1000', signal);
  return freshnessOf(data, { nowMs: Date.now(), hasMore: next_cursor !== null });
}
