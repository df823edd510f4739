/** Billing's own work: leases in from the bus and from schedulers, drafts kept current, messages carried out. */
import { instantFromMs, type Clock } from '@poolmeter/domain';
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
import { checkBudgets } from './budgets/check-budgets.js';
import type { BillingSettings } from './config.js';
import type { BillingStore } from './database.js';
import { lockCustomer } from './invoicing/draft-invoice.js';
import type { ReaderGroup } from './invoicing/meter-position.js';
import { billingPeriodAt } from './invoicing/period.js';
import { refreshDrafts } from './invoicing/refresh-drafts.js';
import { createLeaseEventConsumer } from './leases/consume-lease-events.js';
import { lookAtScheduler, type WatchedPool } from './leases/watch-scheduler.js';
import type { EvidenceSource } from './metering/evidence.js';
import { reconcile } from './reconciliation/reconcile.js';
import { customersWithGrants, expireGrants } from './wallets/wallet-store.js';

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

/** Ends prepaid money whose term is over, and checks the laws of the running month and the one before. */
async function keepBooks(deps: BillingDeps, signal: AbortSignal): Promise<void> {
  const { clock, logger, store } = deps;
  const now = clock.now();
  for (const customerId of await customersWithGrants(store.db)) {
    signal.throwIfAborted();
    await store.transaction(
      async (trx) => {
        await lockCustomer(trx, customerId);
        await expireGrants(trx, customerId, now);
      },
      { isolation: 'read committed' },
    );
  }
  const running = billingPeriodAt(now, 'UTC');
  const before = billingPeriodAt(instantFromMs(running.start - 1), 'UTC');
  for (const { month } of [before, running]) {
    signal.throwIfAborted();
    const { checks, parked } = await reconcile(deps, month);
    const broken = checks
      .filter((one) => !one.ok)
      .map(({ law, findings }) => ({ law, found: findings.length }));
    if (broken.length > 0) logger.warn({ month, broken }, 'Laws of the books do not hold.');
    if (parked.length > 0)
      logger.error({ month, parked }, 'Accounts are parked: nothing is invoiced to them.');
  }
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
        await checkBudgets(deps);
      },
    }),
  );
  parts.add(
    repeatEvery({
      name: 'reconciliation',
      everyMs: settings.reconcileIntervalMs,
      clock,
      logger,
      meter,
      run: (signal) => keepBooks(deps, signal),
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
