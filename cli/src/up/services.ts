/** Every role in one process, over the same three parts: what `poolmeter up` runs. */
import {
  createFaultMonitor,
  defaultPolicyFile,
  loadFaultPolicy,
  type AlertsDatabase,
} from '@poolmeter/alerts';
import { createAutoscaler, gpuUuidsByPlace, type AutoscalerDatabase, type Pool } from '@poolmeter/autoscaler';
import {
  billingDefaults,
  createBilling,
  createEvidenceSource,
  type BillingDatabase,
} from '@poolmeter/billing';
import type { PoolDatabase } from '@poolmeter/console';
import { createIdSource, type Clock } from '@poolmeter/domain';
import type { AccessDatabase } from '@poolmeter/http-api';
import { openMetricsStore, type MetricsStore } from '@poolmeter/metrics-store';
import { createPipeline, pipelineDefaults, type PipelineComponent } from '@poolmeter/pipeline';
import { createOutboxRelay, openRelationalStore, type RelationalStore } from '@poolmeter/relational-store';
import { createScheduler, type Scheduler } from '@poolmeter/scheduler';
import type { Component, Logger, Telemetry } from '@poolmeter/service';
import type { Parts } from './embedded-parts.js';

/** Connections of the roles, one small pool of connections per owner of a schema. */
export interface Stores {
  readonly metrics: MetricsStore;
  /** Reads as the user that dashboards have, where the server has one. */
  readonly reader: MetricsStore;
  readonly access: RelationalStore<AccessDatabase>;
  readonly pool: RelationalStore<PoolDatabase>;
  readonly alerts: RelationalStore<AlertsDatabase>;
  readonly billing: RelationalStore<BillingDatabase>;
  readonly autoscaler: RelationalStore<AutoscalerDatabase>;
  close(): Promise<void>;
}

const CONNECTIONS_PER_ROLE = 4;
/**
 * The embedded engine has 600 MB: smaller ranges, one at a time, stay well within it. An insert costs it about 0.1 s
 * of CPU whatever its size, so ranges wait as long as two seconds of freshness allow.
 */
const EMBEDDED_PIPELINE = { partitions: 1, flushRows: 20_000, parallelInserts: 1, flushIntervalMs: 700 };

export function openStores(parts: Parts): Stores {
  const relational = <DB>(role: string) =>
    openRelationalStore<DB>({
      url: parts.postgresUrl,
      applicationName: `poolmeter-${role}`,
      maxConnections: CONNECTIONS_PER_ROLE,
    });
  const { url, database, readerUrl } = parts.clickhouse;
  const stores = {
    metrics: openMetricsStore({ url, database, applicationName: 'poolmeter' }),
    reader: openMetricsStore({ url: readerUrl ?? url, database, applicationName: 'poolmeter-boards' }),
    access: relational<AccessDatabase>('access'),
    pool: relational<PoolDatabase>('pool'),
    alerts: relational<AlertsDatabase>('alerts'),
    billing: relational<BillingDatabase>('billing'),
    autoscaler: relational<AutoscalerDatabase>('autoscaler'),
  };
  return {
    ...stores,
    async close() {
      await Promise.all(Object.values(stores).map((store) => store.close()));
    },
  };
}

interface PipelineParts {
  readonly parts: Parts;
  readonly stores: Stores;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly telemetry: Telemetry;
}

/** Made before the others: the API tells by its readiness whether rows can be stored. */
export function createUpPipeline(options: PipelineParts): PipelineComponent {
  const { parts, stores, clock, logger, telemetry } = options;
  return createPipeline({
    bus: parts.bus,
    store: stores.metrics,
    logger: logger.child({ role: 'pipeline' }),
    telemetry,
    clock,
    config: { ...pipelineDefaults(), ...EMBEDDED_PIPELINE },
  });
}

export interface ServicesOptions {
  readonly parts: Parts;
  readonly stores: Stores;
  readonly pipeline: PipelineComponent;
  readonly pools: readonly Pool[];
  readonly clock: Clock;
  readonly logger: Logger;
  readonly telemetry: Telemetry;
}

/** The working roles, in the order in which they start. */
export function createServices({
  parts,
  stores,
  pipeline,
  pools,
  clock,
  logger,
  telemetry,
}: ServicesOptions): Component[] {
  const { bus } = parts;
  const ids = createIdSource(clock);
  const schedulerOf = (pool: Pool) => {
    const gpuUuids = gpuUuidsByPlace({ metrics: stores.metrics, clock }, pool.id);
    return createScheduler(pool.scheduler, { ...pool, gpuUuids });
  };
  const schedulers = new Map(
    pools.flatMap((pool) => (pool.scheduler === undefined ? [] : [[pool.id, schedulerOf(pool)] as const])),
  );
  const publish = bus.publish.bind(bus);
  const role = (name: string) => logger.child({ role: name });
  return [
    pipeline,
    createOutboxRelay({ store: stores.alerts, schema: 'alerts', publish, logger: role('alerts') }),
    createFaultMonitor({
      store: stores.metrics,
      relational: stores.alerts,
      clock,
      logger: role('alerts'),
      telemetry,
      policy: loadFaultPolicy(defaultPolicyFile),
    }),
    createBilling({
      store: stores.billing,
      bus,
      evidence: createEvidenceSource({ store: stores.metrics, nowMs: () => clock.now() }),
      schedulers: [...schedulers].map(([pool, scheduler]) => ({ pool, scheduler })),
      clock,
      logger: role('billing'),
      telemetry,
      settings: billingDefaults(),
    }),
    createAutoscaler({
      store: stores.autoscaler,
      metrics: stores.metrics,
      pools,
      schedulerFor: (pool): Scheduler => schedulers.get(pool.id) ?? schedulerOf(pool),
      publish,
      clock,
      ids,
      logger: role('autoscaler'),
      meter: telemetry.meter,
    }),
  ];
}
