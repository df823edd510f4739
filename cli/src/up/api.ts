/** The one origin: every role's routes under one roof, health and metrics, the console. */
import { incidentRoutes } from '@poolmeter/alerts';
import { autoscalerRoutes } from '@poolmeter/autoscaler';
import {
  billingDefaults,
  billingRoutes,
  billingReaderGroups,
  createBusMeterPosition,
  createEvidenceSource,
  timeZoneDataVersion,
  type BillingApiDeps,
} from '@poolmeter/billing';
import { consoleRoutes, poolRoutes } from '@poolmeter/console';
import { loadBoards } from '@poolmeter/dashboards';
import { createIdSource, type Clock } from '@poolmeter/domain';
import {
  accessRoutes,
  createApi,
  createIdempotencyStore,
  createRateLimit,
  createSignIn,
  createTokenStore,
  type SignIn,
  type TokenStore,
} from '@poolmeter/http-api';
import {
  createOpsRoutes,
  repeatEvery,
  type Component,
  type Logger,
  type ReadinessCheck,
  type Telemetry,
} from '@poolmeter/service';
import type { EventBus } from '@poolmeter/event-bus';
import type { Stores } from './services.js';

export interface OriginOptions {
  readonly bus: EventBus;
  readonly stores: Stores;
  readonly readiness: readonly ReadinessCheck[];
  readonly clock: Clock;
  readonly logger: Logger;
  readonly telemetry: Telemetry;
  readonly scrapeIntervalMs: number;
}

export interface Origin {
  readonly api: ReturnType<typeof createApi>;
  readonly tokens: TokenStore;
  readonly signIn: SignIn;
  /** Forgets old idempotency keys. */
  readonly housekeeping: Component;
}

const KEY_AGE_MS = 24 * 3_600_000;
const HOUSEKEEPING_MS = 10 * 60_000;
/** A page of the console asks for a dozen panels at once; a script that never stops is slowed down. */
const RATE = { burst: 400, perSecond: 100 };

export function createOrigin(options: OriginOptions): Origin {
  const { stores, clock, logger, telemetry, readiness } = options;
  const ids = createIdSource(clock);
  const { db } = stores.access;
  const tokens = createTokenStore({ db, clock, ids });
  const idempotency = createIdempotencyStore({ db, clock });
  const signIn = createSignIn({ db, clock, tokens });
  const api = createApi({
    logger,
    clock,
    telemetry,
    tokens,
    idempotency,
    rateLimit: createRateLimit({ ...RATE, clock }),
    ids,
  });
  const boards = loadBoards();
  api.route('/', createOpsRoutes({ telemetry, readiness, logger }));
  api.route('/', signIn.routes);
  api.route('/', accessRoutes({ db, clock, ids }));
  api.route('/', incidentRoutes({ store: stores.alerts, clock, ids }));
  api.route('/', billingRoutes(billingDeps(options)));
  api.route('/', autoscalerRoutes({ store: stores.autoscaler, clock }));
  api.route(
    '/',
    poolRoutes({
      metrics: stores.metrics,
      reader: stores.reader,
      store: stores.pool,
      boards,
      clock,
      expectedIntervalMs: options.scrapeIntervalMs,
    }),
  );
  api.route('/', consoleRoutes());
  const housekeeping = repeatEvery({
    name: 'idempotency keys',
    everyMs: HOUSEKEEPING_MS,
    clock,
    logger,
    run: async () => {
      await idempotency.forgetOlderThan(KEY_AGE_MS);
    },
  });
  return { api, tokens, signIn, housekeeping };
}

/** Finalizing waits until everyone who turns the bus into money has read past the period's end. */
function billingDeps({ bus, stores, clock, logger }: OriginOptions): BillingApiDeps {
  const settings = billingDefaults();
  return {
    store: stores.billing,
    clock,
    logger,
    evidence: createEvidenceSource({ store: stores.metrics, nowMs: () => clock.now() }),
    tzdataVersion: timeZoneDataVersion(),
    meterPosition: createBusMeterPosition(bus, billingReaderGroups(settings)),
    graceMs: settings.graceMs,
    positionWaitMs: settings.positionWaitMs,
  };
}
