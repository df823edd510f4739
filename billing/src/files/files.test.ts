import { fileURLToPath } from 'node:url';
import { isPoolmeterError } from '@poolmeter/domain';
import { describe, expect, it } from 'vitest';
import { readContractsFile } from './contracts-file.js';
import { readCustomersFile } from './customers-file.js';
import { billingFileSchemas } from './file-schemas.js';
import { readPricesFile } from './prices-file.js';

function messageOfFault(read: () => unknown): string {
  try {
    read();
  } catch (fault) {
    if (isPoolmeterError(fault)) return fault.message;
    throw fault;
  }
  throw new Error('The file was read, and should have been refused.');
}

describe('files', () => {
  it('reads the smallest forms', () => {
    const customers = readCustomersFile(`customers:
  - {id: acme, name: Acme GmbH, zone: Europe/Berlin, currency: USD, tax: {rate: "0.19", inclusive: false}}
providers:
  - {id: north, name: North Hosting, currency: USD, payout_share: "0.80"}
`);
    expect(customers.customers[0]).toMatchObject({ id: 'acme', tax: { rate: '0.19', exemption: '' } });
    const prices = readPricesFile(`currency: USD
effective_from: 2026-01-01T00:00:00Z
rates:                                        # the most specific match wins; "*" matches all
  - {gpu_model: "NVIDIA H100 80GB HBM3", pool: "*", pricing_mode: on_demand, per_gpu_hour: "2.50"}
  - {gpu_model: "*", pool: "*", pricing_mode: "*", per_gpu_hour: "1.00"}
`);
    expect(prices.rates).toHaveLength(2);
    const contracts = readContractsFile(`contracts:
  - {id: c1, customer: acme, effective_from: 2026-01-01T00:00:00Z, minimum_spend: "5000.00", discount: "0.10"}
`);
    expect(contracts.contracts[0]).toMatchObject({ fault_time: 'exclude', rates: [] });
  });

  const faults = [
    {
      says: 'a price that YAML read as a float',
      text: 'currency: USD\neffective_from: 2026-01-01T00:00:00Z\nrates:\n  - per_gpu_hour: 2.50\n',
      message: /prices.yaml:4: rates.0.per_gpu_hour/,
    },
    {
      says: 'a rate without a shape',
      text: 'currency: USD\neffective_from: 2026-01-01T00:00:00Z\nrates:\n  - gpu_model: H100\n',
      message: /prices.yaml:4: rates.0: give exactly one of/,
    },
    {
      says: 'a typing error in a key, and a bad currency, both at once',
      text: 'currency: usd\neffective_from: 2026-01-01T00:00:00Z\nrates:\n  - per_gpu_hours: "2.50"\n',
      message: /prices.yaml:1: currency.*prices.yaml:4: rates.0.*per_gpu_hours/s,
    },
    {
      says: 'tiers that do not grow',
      text: 'currency: USD\neffective_from: 2026-01-01T00:00:00Z\nrates:\n  - graduated:\n      - {up_to_gpu_hours: "10", per_gpu_hour: "2"}\n      - {up_to_gpu_hours: "10", per_gpu_hour: "1"}\n      - {per_gpu_hour: "1"}\n',
      message: /prices.yaml:4: rates.0: up_to_gpu_hours must grow/,
    },
    {
      says: 'a commitment in the price book',
      text: 'currency: USD\neffective_from: 2026-01-01T00:00:00Z\nrates:\n  - committed: {gpu_hours: "100", per_gpu_hour: "2", burst_per_gpu_hour: "3"}\n',
      message: /prices.yaml:4: rates.0.committed: a commitment belongs to a contract/,
    },
    { says: 'no YAML', text: 'currency: [USD\nrates: 1\n', message: /prices.yaml:2: / },
  ];
  it.each(faults)('says on which line $says stands', ({ text, message }) => {
    expect(messageOfFault(() => readPricesFile(text))).toMatch(message);
  });

  // `npx vitest run --project unit -u billing/src/files` writes them anew.
  it.each(Object.entries(billingFileSchemas()))(
    'docs/schemas/%s is the schema of this code',
    async (name, text) => {
      await expect(text).toMatchFileSnapshot(
        fileURLToPath(new URL(`../../../docs/schemas/${name}`, import.meta.url)),
      );
    },
  );
});
