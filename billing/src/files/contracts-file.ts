/** contracts.yaml: what customers agreed to beside list prices. */
import { z } from '@hono/zod-openapi';
import { rateSchema } from '../rating/rate-json.js';
import { instantText } from './prices-file.js';
import { readYamlDocument } from './yaml-document.js';

export const contractSchema = z.strictObject({
  id: z.string().min(1).max(200),
  customer: z.string().min(1).max(200),
  effective_from: instantText,
  effective_until: instantText.optional(),
  rates: z.array(rateSchema).default([]).describe('Go before the price book.'),
  discount: z
    .string()
    .regex(/^0(\.\d{1,9})?$/, 'write a part of one in quotes, such as "0.10"')
    .optional()
    .describe('On list prices.'),
  minimum_spend: z
    .string()
    .regex(/^\d{1,15}(\.\d{1,3})?$/, 'write an amount in quotes, such as "5000.00"')
    .optional()
    .describe("Per period, in the customer's currency, before tax."),
  fault_time: z
    .enum(['exclude', 'bill'])
    .default('exclude')
    .describe('Whether time under a credited verdict is charged.'),
  telemetry_gap: z
    .enum(['bill'])
    .default('bill')
    .describe('A gap in telemetry alone never changes an amount.'),
});

export const contractsFileSchema = z.strictObject({ contracts: z.array(contractSchema) });

export type ContractEntry = z.output<typeof contractSchema>;
export type ContractsFile = z.output<typeof contractsFileSchema>;

/** Reads contracts.yaml; faults carry line numbers. */
export function readContractsFile(text: string, name = 'contracts.yaml'): ContractsFile {
  return readYamlDocument(text, { schema: contractsFileSchema, name });
}
