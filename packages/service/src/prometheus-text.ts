/** Turns collected OpenTelemetry metrics into the Prometheus text format, through prom-client's registry. */
import {
  DataPointType,
  type Histogram,
  type MetricData,
  type ResourceMetrics,
} from '@opentelemetry/sdk-metrics';
import { Registry, type Metric } from 'prom-client';

interface PrometheusValue {
  readonly metricName?: string;
  readonly labels: Record<string, string>;
  readonly value: number;
}

interface PrometheusFamily {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly values: PrometheusValue[];
}

/** UCUM units of OpenTelemetry as the words that Prometheus names end with; annotations such as `{row}` add nothing. */
const UNIT_WORDS: Readonly<Record<string, string>> = {
  s: 'seconds',
  ms: 'milliseconds',
  By: 'bytes',
  W: 'watts',
  J: 'joules',
  Cel: 'celsius',
};

/** The text of everything in one collection. Two instruments that end up with one name share one family. */
export async function prometheusText(metrics: ResourceMetrics): Promise<string> {
  const families = new Map<string, PrometheusFamily>();
  for (const data of metrics.scopeMetrics.flatMap((scope) => scope.metrics)) {
    const family = familyOf(data);
    const known = families.get(family.name);
    if (known === undefined) families.set(family.name, family);
    else if (known.type === family.type) known.values.push(...family.values);
    else
      throw new Error(`The metric ${family.name} is recorded both as ${known.type} and as ${family.type}.`);
  }
  const registry = new Registry();
  for (const family of families.values()) {
    // A registry asks a metric only for its name and its values at the time of reading.
    const metric = { name: family.name, get: () => Promise.resolve(family) };
    registry.registerMetric(metric as unknown as Metric);
  }
  return registry.metrics();
}

function familyOf(data: MetricData): PrometheusFamily {
  const monotonic = data.dataPointType === DataPointType.SUM && data.isMonotonic;
  const name = familyName(data.descriptor, monotonic);
  const help = data.descriptor.description === '' ? name : data.descriptor.description;
  switch (data.dataPointType) {
    case DataPointType.SUM:
    case DataPointType.GAUGE: {
      const values = data.dataPoints.map((point) => ({
        labels: labelsOf(point.attributes),
        value: point.value,
      }));
      return { name, help, type: monotonic ? 'counter' : 'gauge', values };
    }
    case DataPointType.HISTOGRAM: {
      const values = data.dataPoints.flatMap((point) =>
        histogramValues(name, labelsOf(point.attributes), point.value),
      );
      return { name, help, type: 'histogram', values };
    }
    case DataPointType.EXPONENTIAL_HISTOGRAM:
      throw new Error(`${name} is an exponential histogram, which the Prometheus text format cannot carry.`);
  }
}

function familyName(descriptor: { name: string; unit: string }, monotonic: boolean): string {
  const base = descriptor.name.replace(/[^a-zA-Z0-9_:]+/g, '_').replace(/^(?=\d)/, '_');
  const word = UNIT_WORDS[descriptor.unit];
  const withUnit = word === undefined || base.endsWith(`_${word}`) ? base : `${base}_${word}`;
  return monotonic && !withUnit.endsWith('_total') ? `${withUnit}_total` : withUnit;
}

function labelsOf(attributes: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [
      name.replace(/[^a-zA-Z0-9_]/g, '_').replace(/^(?=\d)/, '_'),
      typeof value === 'string' ? value : JSON.stringify(value),
    ]),
  );
}

/** Prometheus buckets hold everything up to their bound, OpenTelemetry's only what lies between two. */
function histogramValues(
  name: string,
  labels: Record<string, string>,
  histogram: Histogram,
): PrometheusValue[] {
  const { boundaries, counts } = histogram.buckets;
  let below = 0;
  const buckets = counts.map((count, index) => {
    below += count;
    const bound = boundaries[index];
    return {
      metricName: `${name}_bucket`,
      labels: { ...labels, le: bound === undefined ? '+Inf' : String(bound) },
      value: below,
    };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: histogram.sum ?? 0 },
    { metricName: `${name}_count`, labels, value: histogram.count },
  ];
}
