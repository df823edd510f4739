import { describe, expect, it, onTestFinished } from 'vitest';
import { createTelemetry, type TelemetryOptions } from './telemetry.js';

function telemetryOf(options: Partial<TelemetryOptions> = {}) {
  const telemetry = createTelemetry({ service: 'collector', processMetrics: false, ...options });
  onTestFinished(() => telemetry.shutdown());
  return telemetry;
}

const linesOf = (text: string, start: string) => text.split('\n').filter((line) => line.startsWith(start));

describe('the Prometheus text', () => {
  it('names the role', async () => {
    expect(await telemetryOf().metricsText()).toContain('poolmeter_service_info{service="collector"} 1\n');
  });

  it('shows a counter with help, type, unit and labels', async () => {
    const telemetry = telemetryOf();
    const scrapes = telemetry.meter.createCounter('poolmeter.collector.scraped', {
      description: 'Bytes read.',
      unit: 'By',
    });
    scrapes.add(5, { outcome: 'ok', 'http.status': 200 });
    scrapes.add(7, { outcome: 'ok', 'http.status': 200 });
    const text = await telemetry.metricsText();
    expect(text).toContain('# HELP poolmeter_collector_scraped_bytes_total Bytes read.\n');
    expect(text).toContain('# TYPE poolmeter_collector_scraped_bytes_total counter\n');
    expect(linesOf(text, 'poolmeter_collector_scraped')).toEqual([
      'poolmeter_collector_scraped_bytes_total{outcome="ok",http_status="200"} 12',
    ]);
    expect(linesOf(await telemetry.metricsText(), 'poolmeter_collector_scraped')[0]).toMatch(/ 12$/);
  });

  it('escapes label values', async () => {
    const telemetry = telemetryOf();
    telemetry.meter.createCounter('odd').add(1, { name: 'a"b\\c\nd' });
    expect(linesOf(await telemetry.metricsText(), 'odd_total')).toEqual([
      'odd_total{name="a\\"b\\\\c\\nd"} 1',
    ]);
  });

  it('shows what goes up and down as a gauge', async () => {
    const telemetry = telemetryOf();
    telemetry.meter.createUpDownCounter('poolmeter.queue').add(-2);
    telemetry.meter
      .createObservableGauge('poolmeter.lag', { unit: 's' })
      .addCallback((result) => result.observe(1.5));
    const text = await telemetry.metricsText();
    expect(text).toContain('# TYPE poolmeter_queue gauge\npoolmeter_queue -2\n');
    expect(text).toContain('# TYPE poolmeter_lag_seconds gauge\npoolmeter_lag_seconds 1.5\n');
  });

  it('adds up the buckets of a histogram', async () => {
    const telemetry = telemetryOf();
    const took = telemetry.meter.createHistogram('took', {
      unit: 's',
      advice: { explicitBucketBoundaries: [1, 5] },
    });
    for (const value of [0.5, 1, 3, 9]) took.record(value);
    expect(linesOf(await telemetry.metricsText(), 'took_')).toEqual([
      'took_seconds_bucket{le="1"} 2',
      'took_seconds_bucket{le="5"} 3',
      'took_seconds_bucket{le="+Inf"} 4',
      'took_seconds_sum 13.5',
      'took_seconds_count 4',
    ]);
  });

  it('limits the label sets of one metric and loses no count', async () => {
    const telemetry = telemetryOf({ labelSetLimit: 3 });
    const hits = telemetry.meter.createCounter('hits');
    for (let id = 0; id < 10; id += 1) hits.add(1, { id: String(id) });
    const lines = linesOf(await telemetry.metricsText(), 'hits_total');
    expect(lines).toHaveLength(3);
    expect(lines).toContain('hits_total{otel_metric_overflow="true"} 8');
  });

  it('refuses to call one name two things', async () => {
    const telemetry = telemetryOf();
    telemetry.meter.createUpDownCounter('same.total').add(1);
    telemetry.meter.createCounter('same').add(1);
    await expect(telemetry.metricsText()).rejects.toThrow(/same_total is recorded both as/);
  });

  it('fails rather than leave out a metric whose callback fails', async () => {
    const telemetry = telemetryOf();
    telemetry.meter.createObservableGauge('broken').addCallback(() => {
      throw new Error('no disk');
    });
    await expect(telemetry.metricsText()).rejects.toThrow(/could not be read/);
  });

  it('carries CPU and memory of the process', async () => {
    const text = await telemetryOf({ processMetrics: true }).metricsText();
    expect(Number(linesOf(text, 'process_resident_memory_bytes ')[0]?.split(' ')[1])).toBeGreaterThan(1e6);
    expect(linesOf(text, 'process_cpu_seconds_total ')).toHaveLength(1);
  });
});
