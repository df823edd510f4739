/** Billing's own work: leases in from the bus and from schedulers, drafts kept current, messages carried out. */
import type { Clock } from '@poolmeter/domain';
import type { EventBus } from '@poolmeter/event-bus';
import { createOutboxRelay } from '@poolmeter/relational-store';
import {
  createLifecycle,
  repeatEvery,
  type Component,
  type Logger,
  type Telemetry,
} from '@poolmeter/service';
import { topics } from '@poolmeter/telemetry-schema';
import type { BillingSettings } from './config.js';
import type { BillingStore } from './database.js';
import type { ReaderGroup } from './invoicing/meter-position.js';
import { refreshDrafts } from './invoicing/refresh-drafts.js';
import { createLeaseEventConsumer } from './leases/consume-lease-events.js';
import { lookAtScheduler, type WatchedPool } from './leases/watch-scheduler.js';
import type { EvidenceSource } from './metering/evidence.js';

export interface BillingDeps {
  readonly store: BillingStore;
  readonly bus: EventBus;
  readonly evidence: EvidenceSource;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly telemetry: Pick<Telemetry, 'meter'>;
  readonly settings: BillingSettings;
  /** Pools whose scheduler tells who holds what. */
  readonly schedulers: readonly WatchedPool[];
}

/** Version of the time-zone data that this process cuts periods with. */
export function timeZoneDataVersion(): string {
  return process.versions.tz ?? 'unknown';
}

/** Who must have read a period before an invoice of it is final: samples and events into the store, lease events here. */
export function billingReaderGroups(settings: BillingSettings): ReaderGroup[] {
  return [
    { group: settings.pipelineGroup, topics: [topics.gpuSamples, topics.gpuEvents] },
    { group: settings.leaseEventsGroup, topics: [topics.leaseEvents] },
  ];
}

export function createBilling(deps: BillingDeps): Component {
  const { clock, logger, store, bus, settings } = deps;
  const { meter } = deps.telemetry;
  const parts = createLifecycle({ logger, clock })
    .add(createOutboxRelay({ store, schema: 'billing', logger, clock, publish: bus.publish.bind(bus) }))
    .add(createLeaseEventConsumer({ ...deps, group: settings.leaseEventsGroup }));
  for (const pool of deps.schedulers) {
    parts.add(
      repeatEvery({
        name: `lease watcher of ${pool.pool}`,
        everyMs: settings.watchIntervalMs,
        clock,
        logger,
        meter,
        run: async (signal) => {
          const look = await lookAtScheduler(deps, pool, signal);
          if (look.newEvents > 0)
            logger.info({ pool: pool.pool, ...look }, 'Lease events from the scheduler.');
        },
      }),
    );
  }
  parts.add(
    repeatEvery({
      name: 'invoice drafts',
      everyMs: settings.draftIntervalMs,
      clock,
      logger,
      meter,
      run: async (signal) => {
        const counts = await refreshDrafts({ ...deps, tzdataVersion: timeZoneDataVersion() }, signal);
        if (counts.refreshed + counts.failed > 0) logger.info(counts, 'Invoice drafts are current.');
      },
    }),
  );
  return {
    name: 'billing',
    async start() {
      await bus.ensureTopics(
        [topics.leaseEvents, topics.billing, topics.deadLetter].map((name) => ({
          name,
          partitions: settings.partitions,
        })),
      );
      await parts.start();
    },
    stop: () => parts.stop(),
  };
}
