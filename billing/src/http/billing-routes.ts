/** All routes of billing, to be mounted at the root of an API. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { createRouter, type ApiEnv } from '@poolmeter/http-api';
import type { BillingApiDeps } from './billing-api-deps.js';
import { correctionRoutes } from './correction-routes.js';
import { invoiceRoutes } from './invoice-routes.js';
import { leaseRoutes } from './lease-routes.js';
import { ledgerRoutes } from './ledger-routes.js';
import { lineRoutes } from './line-routes.js';
import { partyRoutes } from './party-routes.js';
import { priceRoutes } from './price-routes.js';
import { reconciliationRoutes } from './reconciliation-routes.js';
import { settlementRoutes } from './settlement-routes.js';
import { usageRoutes } from './usage-routes.js';

export function billingRoutes(deps: BillingApiDeps): OpenAPIHono<ApiEnv> {
  const router = createRouter();
  const parts = [
    leaseRoutes,
    partyRoutes,
    priceRoutes,
    usageRoutes,
    invoiceRoutes,
    lineRoutes,
    correctionRoutes,
    settlementRoutes,
    ledgerRoutes,
    reconciliationRoutes,
  ];
  for (const part of parts) router.route('/', part(deps));
  return router;
}
