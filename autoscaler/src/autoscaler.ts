/** The autoscaler: a loop per pool, and the relay of its outbox. */
import type { Meter } from '@opentelemetry/api';
import type { Clock, IdSource } from '@poolmeter/domain';
import type { MetricsStore } from '@poolmeter/metrics-store';
import { createOutboxRelay, type OutboxRelayOptions } from '@poolmeter/relational-store';
import { createScheduler, type Scheduler } from '@poolmeter/scheduler';
import { repeatEvery, type Component, type Logger } from '@poolmeter/service';
import type { AutoscalerDatabase } from './autoscaler-database.js';
import type { AutoscalerStore } from './decision-store.js';
import { gpuUuidsByPlace } from './gpu-places.js';
import { createLeadership } from './leadership.js';
import { registerPool } from './pool-memory.js';
import { takePoolTurn, type PoolTurnDeps } from './pool-turn.js';
import type { Pool } from './pools-file.js';
import { createSampleReader } from './sample-reader.js';

export interface AutoscalerDeps {
  readonly store: AutoscalerStore;
  readonly metrics: Pick<MetricsStore, 'query'>;
  readonly pools: readonly Pool[];
  /** The adapter for a pool that names a scheduler; the one of its kind when absent. */
  readonly schedulerFor?: (pool: Pool) => Scheduler;
  /** Where decisions are announced; resolves once the messages are durable. */
  readonly publish: OutboxRelayOptions<AutoscalerDatabase>['publish'];
  readonly clock: Clock;
  readonly ids: IdSource;
  readonly logger: Logger;
  readonly meter?: Meter;
  /** From one look at a pool to the next; 15 s when absent. */
  readonly everyMs?: number;
}

export function createAutoscaler(deps: AutoscalerDeps): Component {
  const leadership = createLeadership(deps);
  const scaled = deps.pools.filter((pool) => pool.scheduler !== undefined);
  const schedulerFor =
    deps.schedulerFor ??
    ((pool: Pool) => createScheduler(pool.scheduler, { ...pool, gpuUuids: gpuUuidsByPlace(deps, pool.id) }));
  const loops = scaled.map((pool) => poolLoop(deps, { pool, scheduler: schedulerFor(pool), leadership }));
  const relay = createOutboxRelay({ ...deps, schema: 'autoscaler' });
  return {
    name: 'autoscaler',
    async start() {
      const at = new Date(deps.clock.now());
      for (const pool of deps.pools) await registerPool(deps.store, { pool, at });
      for (const part of [relay, ...loops]) await part.start();
    },
    async stop() {
      await Promise.all(loops.map((loop) => loop.stop()));
      await leadership.release();
      await relay.stop();
    },
  };
}

function poolLoop(
  deps: AutoscalerDeps,
  {
    pool,
    scheduler,
    leadership,
  }: { pool: Pool; scheduler: Scheduler; leadership: ReturnType<typeof createLeadership> },
): Component {
  const decisions = deps.meter?.createCounter('poolmeter.autoscaler.decisions', {
    description: 'Scaling decisions stored, by pool, action and status.',
  });
  const turn: PoolTurnDeps = {
    ...deps,
    samples: createSampleReader(deps.metrics),
    ...(decisions === undefined ? {} : { decisions }),
  };
  return repeatEvery({
    name: `autoscaler:${pool.id}`,
    everyMs: deps.everyMs ?? 15_000,
    clock: deps.clock,
    logger: deps.logger,
    ...(deps.meter === undefined ? {} : { meter: deps.meter }),
    run: async (signal) => {
      const term = await leadership.take();
      if (term === undefined) return;
      const { sinceMs: decidingSinceMs, epoch } = term;
      await takePoolTurn(turn, { pool, scheduler, decidingSinceMs, epoch, signal });
    },
  });
}
