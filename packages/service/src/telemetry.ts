/** The metrics of one process: recorded through the OpenTelemetry API, read as Prometheus text. */
import type { Meter } from '@opentelemetry/api';
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { prometheusText } from './prometheus-text.js';

export interface TelemetryOptions {
  /** The role, shown as a label of `poolmeter_service_info`. */
  readonly service: string;
  /**
   * How many label sets one metric may have; 1000 when absent. Further ones are added up under the single label
   * `otel_metric_overflow="true"`, so that a label with unbounded values cannot fill the memory.
   */
  readonly labelSetLimit?: number;
  /** Whether CPU, memory, event loop and garbage collection of this process are part of the text; true when absent. */
  readonly processMetrics?: boolean;
}

export interface Telemetry {
  /** Where every part creates its instruments, named `poolmeter.<part>.<thing>`. */
  readonly meter: Meter;
  /** The Prometheus text format 0.0.4 of everything recorded, and of the process itself. */
  metricsText(): Promise<string>;
  shutdown(): Promise<void>;
}

/** Gives readings when asked; nothing is pushed anywhere. */
class OnDemandReader extends MetricReader {
  protected override onShutdown(): Promise<void> {
    return Promise.resolve();
  }

  protected override onForceFlush(): Promise<void> {
    return Promise.resolve();
  }
}

export function createTelemetry(options: TelemetryOptions): Telemetry {
  const limit = options.labelSetLimit ?? 1_000;
  const reader = new OnDemandReader({ cardinalitySelector: () => limit });
  const provider = new MeterProvider({ readers: [reader] });
  const meter = provider.getMeter('poolmeter');
  meter
    .createObservableGauge('poolmeter.service.info', { description: 'Always 1; its label names the role.' })
    .addCallback((result) => result.observe(1, { service: options.service }));
  const processRegistry = new Registry();
  if (options.processMetrics ?? true) collectDefaultMetrics({ register: processRegistry });
  return {
    meter,
    async metricsText() {
      const collected = await reader.collect();
      // A callback that throws would otherwise make its metric vanish without a word.
      if (collected.errors.length > 0) {
        throw new AggregateError(collected.errors, 'An observable metric could not be read.');
      }
      return (await prometheusText(collected.resourceMetrics)) + (await processRegistry.metrics());
    },
    async shutdown() {
      processRegistry.clear();
      await provider.shutdown();
    },
  };
}
