/** contracts.yaml: what customers agreed to beside list prices. */
import { z } from '@hono/zod-openapi';
import { rateSchema } from '../rating/rate-json.js';
import { slaSchema } from '../sla/sla-terms.js';
import { instantText } from './prices-file.js';
import { readYamlDocument } from './yaml-document.js';

const discountText = z.string().regex(/^0(\.\d{1,9})?$/, 'write a part of one in quotes, such as "0.10"');
const amountText = z.string().regex(/^\d{1,15}(\.\d{1,3})?$/, 'write an amount in quotes, such as "5000.00"');
const secondsText = z.string().regex(/^\d{1,7}(\.\d{1,3})?$/, 'write seconds in quotes, such as "60"');

// What was added later has no default: a contract that leaves it out keeps its digest.
export const contractSchema = z.strictObject({
  id: z.string().min(1).max(200),
  customer: z.string().min(1).max(200),
  effective_from: instantText,
  effective_until: instantText.optional(),
  rates: z.array(rateSchema).default([]).describe('Go before the price book.'),
  discount: discountText.optional().describe('On list prices.'),
  discount_amount: amountText.optional().describe('Off the charges of a period, never more than they are.'),
  minimum_spend: amountText.optional().describe("Per period, in the customer's currency, before tax."),
  minimum_duration_s: secondsText.optional().describe('A lease is charged for this long at least.'),
  increment_s: secondsText
    .refine((text) => Number(text) > 0, 'must be above 0')
    .optional()
    .describe('A lease is charged for whole increments, from its start to its end; 0.001 when left out.'),
  fees: z
    .array(
      z.strictObject({
        id: z.string().min(1).max(100),
        description: z.string().min(1).max(500),
        amount: amountText,
      }),
    )
    .optional()
    .describe('Due once per period that the contract covers from end to end.'),
  fault_time: z
    .enum(['exclude', 'bill'])
    .default('exclude')
    .describe('Whether time under a credited verdict is charged.'),
  telemetry_gap: z
    .enum(['bill'])
    .default('bill')
    .describe('A gap in telemetry alone never changes an amount.'),
  sla: z.array(slaSchema).optional().describe('What is promised about availability, and credited.'),
  signed: z
    .strictObject({
      rates: z.array(rateSchema).optional(),
      discount: discountText.optional(),
      minimum_spend: amountText.optional(),
    })
    .optional()
    .describe('The terms as they were signed: an invoice on which they differ from the above is held.'),
});

export const contractsFileSchema = z.strictObject({ contracts: z.array(contractSchema) });

export type ContractEntry = z.output<typeof contractSchema>;
export type ContractsFile = z.output<typeof contractsFileSchema>;

/** Reads contracts.yaml; faults carry line numbers. */
export function readContractsFile(text: string, name = 'contracts.yaml'): ContractsFile {
  return readYamlDocument(text, { schema: contractsFileSchema, name });
}
