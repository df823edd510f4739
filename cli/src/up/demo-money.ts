/** Customers, providers and prices of the demo pool, told to the API as a person would tell them. Once per folder. */
import { gpuModels } from '@poolmeter/pool-simulator';
import type { Component } from '@poolmeter/service';
import { createApiClient } from '../api-client.js';

const CUSTOMERS = {
  customers: [
    {
      id: 'acme',
      name: 'Acme GmbH (demo)',
      zone: 'Europe/Berlin',
      currency: 'USD',
      tax: { rate: '0.19', inclusive: false },
    },
    { id: 'globex', name: 'Globex Corporation (demo)', zone: 'America/New_York', currency: 'USD' },
    { id: 'initech', name: 'Initech LLC (demo)', zone: 'America/Chicago', currency: 'USD' },
    { id: 'hooli', name: 'Hooli Inc. (demo)', zone: 'UTC', currency: 'USD' },
  ],
  providers: [
    { id: 'north', name: 'North Hosting (demo)', currency: 'USD', payout_share: '0.80' },
    { id: 'south', name: 'South Compute (demo)', currency: 'USD', payout_share: '0.75' },
  ],
};

const rate = (model: string, pricing_mode: string, per_gpu_hour: string) => ({
  gpu_model: model,
  pool: '*',
  pricing_mode,
  per_gpu_hour,
});

function demoPrices() {
  const { h100, a100, l40s } = gpuModels;
  return {
    currency: 'USD',
    effective_from: '2026-01-01T00:00:00Z',
    rates: [
      rate(h100.name, 'on_demand', '2.50'),
      rate(h100.name, 'reserved', '1.95'),
      rate(h100.name, 'spot', '1.20'),
      rate(a100.name, 'on_demand', '1.60'),
      rate(a100.name, 'reserved', '1.25'),
      rate(a100.name, 'spot', '0.75'),
      rate(l40s.name, 'on_demand', '0.95'),
      rate(l40s.name, 'reserved', '0.80'),
      rate(l40s.name, 'spot', '0.45'),
    ],
  };
}

interface Origin {
  readonly url: string;
  readonly token: string;
}

/** Runs after the API listens and before leases are read, so that every lease meets its price. */
export function createDemoMoney(origin: () => Origin): Component {
  return {
    name: 'demo prices',
    async start() {
      const api = createApiClient(origin());
      const books = await api.get<{ data: readonly unknown[] }>('/v1/prices', { limit: 1 });
      // A folder that has prices keeps them: they may be a person's by now.
      if (books.data.length > 0) return;
      await api.post('/v1/prices', demoPrices());
      await api.post('/v1/customers', CUSTOMERS);
    },
    stop: () => Promise.resolve(),
  };
}
