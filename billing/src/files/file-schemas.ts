/** The JSON Schemas of the files that people write, for editors and for docs/schemas/. */
import { z } from '@hono/zod-openapi';
import { contractsFileSchema } from './contracts-file.js';
import { customersFileSchema } from './customers-file.js';
import { pricesFileSchema } from './prices-file.js';

const files = {
  customers: { title: 'poolmeter customers and providers', schema: customersFileSchema },
  prices: { title: 'poolmeter price book version', schema: pricesFileSchema },
  contracts: { title: 'poolmeter contracts', schema: contractsFileSchema },
} as const;

/** File name → text, as it stands in docs/schemas/. */
export function billingFileSchemas(): Record<string, string> {
  const entries = Object.entries(files).map(([name, { title, schema }]) => {
    const json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
    const document = { title, ...json };
    return [`${name}.schema.json`, `${JSON.stringify(document, null, 2)}\n`];
  });
  return Object.fromEntries(entries) as Record<string, string>;
}
