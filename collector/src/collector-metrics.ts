import type { Spool } from '@poolmeter/event-bus';
import type { Telemetry } from '@poolmeter/service';
import type { DeliveryMetrics } from './delivery.js';

/** What the collector counts about itself. */
export interface CollectorMetrics extends DeliveryMetrics {
  /** `outcome`: `ok`, `partial`, or the reason of the failure. */
  scraped(outcome: string, durationMs: number): void;
  /** Bad lines of a scrape, by reason. */
  badLines(reason: string, count: number): void;
  /** Grid points that were missed because the scrape before took too long. */
  skippedScrape(): void;
  samples(count: number): void;
  implausible(column: string): void;
  event(kind: string): void;
  kernelLines(count: number): void;
  watchSpool(spool: Pick<Spool, 'state'>): () => void;
}

export function collectorMetrics(telemetry: Pick<Telemetry, 'meter'>): CollectorMetrics {
  const count = (name: string, description: string) =>
    telemetry.meter.createCounter(`poolmeter.collector.${name}`, { description });
  const scrapes = count('scrapes', 'Scrapes, by outcome.');
  const duration = telemetry.meter.createHistogram('poolmeter.collector.scrape_duration', {
    description: 'Time of a scrape, from the request to the parsed answer.',
    unit: 's',
    advice: { explicitBucketBoundaries: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] },
  });
  const badLines = count('bad_lines', 'Lines of scrapes that could not be used, by reason.');
  const skipped = count('skipped_scrapes', 'Scrapes left out because the one before took too long.');
  const samples = count('samples', 'Samples built.');
  const implausible = count(
    'implausible_values',
    'Values that cannot be true and travel as missing, by column.',
  );
  const events = count('events', 'GPU events observed, by kind.');
  const kernelLines = count('kernel_lines', 'Lines of kernel logs read.');
  const published = count('published_messages', 'Messages that the bus took.');
  const publishFailures = count('publish_failures', 'Publishes that the bus did not take.');
  const spooled = count('spooled_messages', 'Messages written to the spool.');
  const dropped = count('dropped_messages', 'Messages lost because the spool was full.');
  const spoolMessages = telemetry.meter.createObservableGauge('poolmeter.collector.spool_messages', {
    description: 'Messages waiting in the spool.',
  });
  const spoolBytes = telemetry.meter.createObservableGauge('poolmeter.collector.spool_size', {
    description: 'Size of the messages waiting in the spool.',
    unit: 'By',
  });
  return {
    scraped(outcome, durationMs) {
      scrapes.add(1, { outcome });
      duration.record(durationMs / 1000);
    },
    badLines: (reason, lines) => badLines.add(lines, { reason }),
    skippedScrape: () => skipped.add(1),
    samples: (rows) => samples.add(rows),
    implausible: (column) => implausible.add(1, { column }),
    event: (kind) => events.add(1, { kind }),
    kernelLines: (lines) => kernelLines.add(lines),
    published: (messages) => published.add(messages),
    publishFailed: () => publishFailures.add(1),
    spooled: (messages) => spooled.add(messages),
    dropped: (messages) => dropped.add(messages),
    watchSpool(spool) {
      const observeMessages = (result: { observe(value: number): void }) =>
        result.observe(spool.state().messages);
      const observeBytes = (result: { observe(value: number): void }) => result.observe(spool.state().bytes);
      spoolMessages.addCallback(observeMessages);
      spoolBytes.addCallback(observeBytes);
      return () => {
        spoolMessages.removeCallback(observeMessages);
        spoolBytes.removeCallback(observeBytes);
      };
    },
  };
}
