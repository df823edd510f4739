/** What the monitor counts about itself. */
import type { Meter } from '@opentelemetry/api';
import type { Severity } from '../policy/fault-policy.js';

export interface MonitorMetrics {
  evaluated(durationMs: number): void;
  incidentsChanged(count: number): void;
  uncleared(counts: readonly { readonly severity: Severity; readonly count: number }[]): void;
  positionLag(partition: number, messages: bigint): void;
}

const severities: readonly Severity[] = ['info', 'warn', 'critical', 'fatal'];

export function createMonitorMetrics(meter: Meter): MonitorMetrics {
  const evaluation = meter.createHistogram('poolmeter.alerts.evaluation', {
    unit: 's',
    description: 'Time to judge one node, evidence included.',
    advice: { explicitBucketBoundaries: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10] },
  });
  const changes = meter.createCounter('poolmeter.alerts.incident_changes', {
    description: 'Incidents opened or changed.',
  });
  const open = new Map<Severity, number>(severities.map((severity) => [severity, 0]));
  meter
    .createObservableGauge('poolmeter.alerts.open_incidents', {
      description: 'Incidents that are not cleared.',
    })
    .addCallback((result) => {
      for (const [severity, count] of open) result.observe(count, { severity });
    });
  const lags = new Map<number, number>();
  meter
    .createObservableGauge('poolmeter.alerts.position_lag', {
      description: 'Offsets of stored events that the monitor has not taken into account.',
    })
    .addCallback((result) => {
      for (const [partition, lag] of lags) result.observe(lag, { partition });
    });
  return {
    evaluated: (ms) => evaluation.record(ms / 1_000),
    incidentsChanged: (count) => changes.add(count),
    uncleared(counts) {
      for (const severity of severities) open.set(severity, 0);
      for (const { severity, count } of counts) open.set(severity, count);
    },
    positionLag: (partition, messages) => lags.set(partition, Number(messages)),
  };
}
