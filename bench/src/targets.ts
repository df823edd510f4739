/** What the figures of a benchmark are held against. A slow machine fails no test: a miss is only told. */
import type { Figures } from './bench.js';

type Target = { readonly least: number } | { readonly most: number };

const TARGETS: Readonly<Record<string, Readonly<Record<string, Target>>>> = {
  pipeline: {
    rows_per_s: { least: 300_000 },
    ratio: { least: 3 },
    ceiling_share: { least: 0.5 },
    cpu_s_per_million_rows: { most: 4.5 },
    rss_mb: { most: 700 },
  },
  billing: {
    month_close_s: { most: 30 },
    rating_intervals_per_s: { least: 500_000 },
    verify_10k_intervals_ms: { most: 500 },
  },
  latency: {
    p99_ms: { most: 3_000 },
  },
  kills: {
    rounds: { least: 1_000 },
    differences: { most: 0 },
  },
  storage: {
    bytes_per_row: { most: 13 },
  },
  queries: {
    fleet_24h_ms: { most: 50 },
    one_gpu_24h_ms: { most: 25 },
    latest_10k_ms: { most: 15 },
    rollup_differences_rows: { most: 0 },
  },
};

export type TargetReport = Readonly<Record<string, Target & { readonly met: boolean }>>;

/** Empty for a benchmark without targets. */
export function heldAgainstTargets(bench: string, figures: Figures): TargetReport {
  const targets = Object.entries(TARGETS[bench] ?? {});
  return Object.fromEntries(
    targets.map(([figure, target]) => {
      const value = figures[figure] ?? Number.NaN;
      return [figure, { ...target, met: 'least' in target ? value >= target.least : value <= target.most }];
    }),
  );
}
