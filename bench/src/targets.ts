/** What the figures of a benchmark are held against. A slow machine fails no test: a miss is only told. */
import type { Figures } from './bench.js';

type Target = { readonly least: number } | { readonly most: number };

const TARGETS: Readonly<Record<string, Readonly<Record<string, Target>>>> = {
  pipeline: {
    pipeline_rows_per_second: { least: 300_000 },
    pipeline_to_kafka_engine_ratio: { least: 3 },
    pipeline_to_files_ratio: { least: 0.5 },
    pipeline_cpu_seconds_per_million_rows: { most: 4.5 },
    pipeline_resident_megabytes: { most: 700 },
  },
  billing: {
    month_close_s: { most: 30 },
    rating_intervals_per_s: { least: 500_000 },
    verify_10k_intervals_ms: { most: 500 },
  },
  storage: {
    raw_bytes_per_row: { most: 13 },
  },
  queries: {
    fleet_chart_24h_ms: { most: 50 },
    one_gpu_24h_ms: { most: 25 },
    now_of_10000_gpus_ms: { most: 15 },
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
