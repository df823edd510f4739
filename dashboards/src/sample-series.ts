/**
 * SQL over the samples at the resolution that the time range calls for. The variable `samples` names the table; of the
 * three branches the other two have a condition that is false before a row is read. Means are sums over counts, never
 * means of means, and a step in which nothing was measured gives no value.
 */
import { timeSeriesTarget, type Target } from 'grafana-dashboard-builder';

export type Measure =
  | { readonly as: string; readonly mean: string }
  | { readonly as: string; readonly largest: string }
  /** Share of the samples that had a throttle reason, by its bit and its counter in the rollups. */
  | { readonly as: string; readonly throttleBit: number; readonly counter: string };

export interface SampleSeries {
  readonly measures: readonly Measure[];
  /** A text expression over the columns of a sample; one series per value. */
  readonly label?: string;
  readonly where: string;
  /** `gpu` when absent: MIG instances report beside their GPU and would count twice. */
  readonly rows?: 'gpu' | 'gpu_instance';
}

type SampleTable = 'gpu_samples' | 'gpu_samples_1m' | 'gpu_samples_1h';

const TABLES: readonly SampleTable[] = ['gpu_samples', 'gpu_samples_1m', 'gpu_samples_1h'];

/** Start of the step, never shorter than the distance of the rows. */
export const stepStart = `toStartOfInterval(ts, toIntervalSecond(greatest($__interval_s, multiIf('\${samples:raw}' = 'gpu_samples_1h', 3600, '\${samples:raw}' = 'gpu_samples_1m', 60, 1))))`;

export const gpuLabel = `concat(node, ' GPU ', toString(gpu_index), ' ', substring(gpu_uuid, 1, 12))`;
export const instanceLabel = `concat(node, ' GPU ', toString(gpu_index), ' ', gpu_instance, ' ', gpu_instance_profile)`;

/** Lines over time, one per label and measure. */
export function sampleSeries(series: SampleSeries): Target {
  const label = series.label === undefined ? '' : `${series.label} AS label,\n      `;
  const group = series.label === undefined ? 'time' : 'time, label';
  return timeSeriesTarget(`
    SELECT
      ${stepStart} AS time,
      ${label}${series.measures.map((measure, index) => `${outer(measure, index)} AS \`${measure.as}\``).join(',\n      ')}
    FROM (${sampleRows(series)})
    GROUP BY ${group}
    ORDER BY ${group}
  `);
}

/**
 * One value per step over all GPUs: first each GPU's own mean in the step, then their sum. GPUs that did not report are
 * not in it.
 */
export function summedOverGpus({ as, mean, where }: { as: string; mean: string; where: string }): Target {
  return timeSeriesTarget(`
    SELECT time, pool, sum(of_gpu) AS \`${as}\`
    FROM (
      SELECT ${stepStart} AS time, pool, gpu_uuid, sum(total_0) / nullIf(sum(count_0), 0) AS of_gpu
      FROM (${sampleRows({ measures: [{ as, mean }], where })})
      GROUP BY time, pool, gpu_uuid
    )
    GROUP BY time, pool
    ORDER BY time, pool
  `);
}

/** The rows of the chosen table with the parts that the measures are made of. */
export function sampleRows({ measures, where, rows = 'gpu' }: Omit<SampleSeries, 'label'>): string {
  return TABLES.map((table) => {
    const parts = measures.map((measure, index) => inner(measure, { index, isRaw: table === 'gpu_samples' }));
    return `
      SELECT ts, pool, node, gpu_uuid, gpu_instance, gpu_instance_profile, gpu_index, ${parts.join(', ')}
      FROM ${table}
      WHERE '\${samples:raw}' = '${table}'
        AND $__timeFilter(ts) AND gpu_instance ${rows === 'gpu' ? '=' : '!='} ''
        AND ${where}`;
  }).join('\n      UNION ALL');
}

function inner(measure: Measure, { index, isRaw }: { index: number; isRaw: boolean }): string {
  if ('largest' in measure) {
    return `toFloat64(${isRaw ? measure.largest : `${measure.largest}_max`}) AS largest_${index}`;
  }
  const [total, count] = totalAndCount(measure, isRaw);
  return `toFloat64(${total}) AS total_${index}, toUInt64(${count}) AS count_${index}`;
}

function totalAndCount(measure: Exclude<Measure, { largest: string }>, isRaw: boolean): [string, string] {
  if ('mean' in measure) {
    const { mean } = measure;
    return isRaw ? [mean, `isNotNull(${mean})`] : [`${mean}_sum`, `${mean}_count`];
  }
  const raw: [string, string] = [
    `bitTest(throttle_reasons, ${measure.throttleBit})`,
    'isNotNull(throttle_reasons)',
  ];
  return isRaw ? raw : [measure.counter, 'throttle_reasons_count'];
}

function outer(measure: Measure, index: number): string {
  return 'largest' in measure
    ? `max(largest_${index})`
    : `sum(total_${index}) / nullIf(sum(count_${index}), 0)`;
}
